"""What a gateway worker of a test answers, kept as it leaves: a line of a file for each answer.

The worker writes before its answer's last byte leaves, so whoever has an answer finds it recorded.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from craton.apis.app import App
from craton.http import HttpRequest, HttpResponder, Reply
from craton.http.message import HeaderPairs
from craton.kernel.errors import CratonError

VARIABLE = "CONFORMANCE_RECORDS"
"""The environment variable with the folder to record in; no folder, no recording."""
_LENGTH_BYTES = 4


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One request, as far as it tells what was asked, and its whole answer."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    form: bytes
    """The request's body where that names the operation, which it does for the path `/` alone."""
    status: int
    answer_headers: list[tuple[bytes, bytes]]
    answer: bytes
    is_stream: bool


class Recorder:
    """Appends records to a file of this process's own."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(
            folder / f"{os.getpid()}.records", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )

    def note(
        self,
        request: HttpRequest,
        status: int,
        headers: HeaderPairs,
        answer: bytes,
        *,
        is_stream: bool = False,
    ) -> None:
        record = Record(
            request.method,
            request.raw_path,
            request.raw_query,
            list(request.headers),
            request.body if request.raw_path == b"/" else b"",
            status,
            list(headers),
            answer,
            is_stream,
        )
        data = msgspec.msgpack.encode(record)
        os.write(self._file, len(data).to_bytes(_LENGTH_BYTES, "big") + data)


class RecordedApp:
    """The app, with every answer of its noted."""

    def __init__(self, app: App, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder
        self.internal_error = app.internal_error

    async def handle(self, request: HttpRequest, responder: HttpResponder) -> None:
        await self._app.handle(request, Watched(request, responder, self._recorder))

    def refuse(self, request: HttpRequest | None, error: CratonError) -> Reply:
        reply = self._app.refuse(request, error)
        if request is not None:
            self._recorder.note(request, *reply)
        return reply


class Watched:
    """A responder that notes a whole answer just before the rest of it leaves."""

    def __init__(self, request: HttpRequest, responder: HttpResponder, recorder: Recorder) -> None:
        self._request = request
        self._responder = responder
        self._recorder = recorder
        self._begun: tuple[int, HeaderPairs] | None = None
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._responder, name)

    def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        self._recorder.note(self._request, status, headers, body)
        self._responder.respond(status, headers, body)

    def start(self, status: int, headers: HeaderPairs) -> None:
        self._begun = status, headers
        self._responder.start(status, headers)

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._responder.write(data)

    def finish(self) -> None:
        if self._begun is not None and not self._responder.is_finished:
            status, headers = self._begun
            body = b"".join(self._pieces)
            self._recorder.note(self._request, status, headers, body, is_stream=True)
        self._responder.finish()


class Reader:
    """Reads what has been recorded in a folder since it last did."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes: dict[Path, int] = {}
        self._decode = msgspec.msgpack.Decoder(Record).decode

    def new(self) -> Iterator[Record]:
        """Every record that is new; one that is still being written comes the next time."""
        for path in sorted(self._folder.iterdir()):
            at = self._read_bytes.get(path, 0)
            with path.open("rb") as file:
                file.seek(at)
                data = file.read()
            place = 0
            while len(data) - place >= _LENGTH_BYTES:
                start = place + _LENGTH_BYTES
                end = start + int.from_bytes(data[place:start], "big")
                if end > len(data):
                    break
                yield self._decode(memoryview(data)[start:end])
                place = end
            self._read_bytes[path] = at + place
