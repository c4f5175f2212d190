"""A client that believes nothing: plain sockets, and a note of all it was told.

Written apart from Craton's own HTTP client, so that a fault there can't hide one in the server.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

ANSWER_LIMIT_S = 60
HEAD_END = b"\r\n\r\n"


@dataclass(slots=True)
class Told:
    """What one request learnt."""

    words: int
    streamed: bool
    request_id: str = ""
    status: int = 0
    text: str = ""
    usage: dict[str, int] | None = None
    is_acknowledged: bool = False
    """The terminal frame, or the whole body, arrived."""
    error: str = ""
    """An error told in words: a refusal, or an error frame in the stream."""
    faults: list[str] = field(default_factory=list)
    """What no answer may look like, whole or broken."""


class Client:
    """Asks the model through OpenAI's wire, on a new connection each time."""

    def __init__(self, host: str, port: int, key: str, model: str) -> None:
        self._host = host
        self._port = port
        self._key = key
        self._model = model

    async def ask(self, prompt: str, *, stream: bool, max_tokens: int | None = None) -> Told:
        """Send one prompt, and read until the answer ends or the connection does."""
        told = Told(len(prompt.split()), stream)
        document: dict[str, Any] = {
            "model": self._model,
            "stream": stream,
            "messages": [{"role": "user", "content": prompt}],
        }
        if stream:
            document["stream_options"] = {"include_usage": True}
        if max_tokens is not None:
            document["max_tokens"] = max_tokens
        body = msgspec.json.encode(document)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self._host}\r\n"
            f"authorization: Bearer {self._key}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        answer = await self._exchange(head.encode() + body, told)
        read_answer(answer, told)
        return told

    async def get(self, path: str) -> tuple[int, bytes]:
        """A plain GET; status 0 if there was no whole answer."""
        told = Told(0, streamed=False)
        head = f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\nconnection: close\r\n\r\n"
        answer = await self._exchange(head.encode(), told)
        status, headers, body, is_whole = split(answer)
        del headers
        return (status, body) if is_whole else (0, b"")

    async def _exchange(self, request: bytes, told: Told) -> bytes:
        received = bytearray()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    writer.write(request)
                    while data := await reader.read(65536):
                        received += data
                finally:
                    writer.transport.abort()
        except OSError as error:
            told.error = told.error or repr(error)
        except TimeoutError:
            told.faults.append(f"no end within {ANSWER_LIMIT_S} s after {len(received)} bytes")
        return bytes(received)


def split(answer: bytes) -> tuple[int, dict[str, str], bytes, bool]:
    """Status, headers, body so far, and whether HTTP says that the body is whole."""
    head, found, rest = answer.partition(HEAD_END)
    if not found:
        return 0, {}, b"", False
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if "content-length" in headers:
        return status, headers, rest, len(rest) == int(headers["content-length"])
    body, is_whole = unchunked(rest)
    return status, headers, body, is_whole


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """The body of a chunked answer so far, and whether its last chunk came."""
    body = bytearray()
    while True:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            return bytes(body), False
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return bytes(body), rest.startswith(b"\r\n")
        body += rest[:size]
        if len(rest) < size + 2:
            return bytes(body), False
        data = rest[size + 2 :]


def read_answer(answer: bytes, told: Told) -> None:
    """Note what an answer said, and whether it was acknowledged."""
    told.status, headers, body, is_whole = split(answer)
    told.request_id = headers.get("x-request-id", "")
    if told.status == 0:
        return
    if told.status != 200:
        told.error = body.decode("utf-8", "replace")
        if told.status == 500:
            told.faults.append(f"status 500: {told.error}")
        return
    if not told.request_id:
        told.faults.append("an answer without x-request-id")
    if told.streamed:
        _read_stream(body, told)
        if is_whole and not told.is_acknowledged and not told.error:
            told.faults.append("a stream ended properly without a terminal frame or an error")
    elif is_whole:
        document = msgspec.json.decode(body)
        told.text = document["choices"][0]["message"]["content"]
        told.usage = document["usage"]
        told.is_acknowledged = True


def _read_stream(body: bytes, told: Told) -> None:
    for frame in body.split(b"\n\n")[:-1]:
        data = frame.removeprefix(b"data: ")
        if data == b"[DONE]":
            told.is_acknowledged = True
            continue
        if told.is_acknowledged:
            told.faults.append("a frame after the terminal one")
        document = msgspec.json.decode(data)
        if "error" in document:
            told.error = str(document["error"])
            continue
        for choice in document.get("choices", []):
            told.text += choice["delta"].get("content") or ""
        if document.get("usage"):
            told.usage = document["usage"]
    if told.is_acknowledged and told.usage is None:
        told.faults.append("a whole stream without its usage")
