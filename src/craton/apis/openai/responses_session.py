"""One WebSocket of OpenAI's Responses: what it remembers, and the answers to its messages.

Sources: OpenAI's guide to WebSocket mode (https://developers.openai.com/api/docs/guides/websocket-mode),
the types of the openai Python library 3.54, and Open Responses (https://www.openresponses.org).

A message becomes a request like any that comes by POST, and goes the same way from authentication
to the commit; `SocketTurn` is the responder at the end of that way, and makes events of what is
written. What isn't stored can be continued here alone: the connection remembers its last response.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from craton.dialects.members import Json, malformed, wrong
from craton.dialects.openai_responses import SERVER
from craton.http import HttpRequest
from craton.http.message import HeaderPairs
from craton.http.websocket import WebSocket
from craton.http.websocket_frames import CloseCode
from craton.kernel.errors import BadRequest, CratonError, Unsupported
from craton.models.responses import CHAIN_BYTES_MAX

REMEMBERED_BYTES_MAX = 256 * 1024 * 1024
"""What all connections of a worker remember together; over it a response isn't remembered."""
CREATE = "response.create"
_ERROR, _FAILED, _DONE = b"event: error\n", b"event: response.failed\n", b"data: [DONE]"
_DATA = b"data: "
_STREAM_ID_MAX = 64

T = TypeVar("T", str, bool)

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


class Recalled(msgspec.Struct, frozen=True):
    """A response that only its connection knows."""

    id: str
    items: bytes
    """The whole conversation up to its end, a JSON array."""
    models: frozenset[str]
    """The names of the models that said something in it."""


class Room:
    """How much the connections of one worker may remember."""

    def __init__(self, bytes_max: int = REMEMBERED_BYTES_MAX) -> None:
        self.free_bytes = bytes_max


class Session:
    """What one connection remembers: its last response, if that is kept nowhere else."""

    def __init__(self, websocket: WebSocket, room: Room) -> None:
        self.websocket = websocket
        self._room = room
        self._last: Recalled | None = None

    def recall(self, id: str | None) -> Recalled | None:
        """The last response, if it has this id."""
        return self._last if self._last is not None and self._last.id == id else None

    def remember(self, last: Recalled) -> None:
        """Remember this one instead; nothing, where it is longer than there is room for."""
        self.forget()
        size = len(last.items)
        if size <= min(CHAIN_BYTES_MAX, self._room.free_bytes):
            self._room.free_bytes -= size
            self._last = last

    def forget(self) -> None:
        """Remember nothing."""
        if self._last is not None:
            self._room.free_bytes += len(self._last.items)
            self._last = None


class SocketTurn:
    """The answer to one message: a responder that sends events.

    Exactly one event ends it: the response's own last one, or an `error` where none had begun.
    """

    def __init__(self, session: Session, *, stream_id: str | None) -> None:
        self.session = session
        self.is_started = False
        self.is_finished = False
        self.is_failed = False
        """Whether it ended, or ends, with an error."""
        self._websocket = session.websocket
        self._head = b"{" if stream_id is None else b'{"stream_id":%b,' % _encode(stream_id)
        self._callbacks: list[Callable[[], None]] = []
        self._websocket.on_gone = self._tell_gone

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self._websocket.is_gone

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves before `finish`; at once if it has left."""
        if self.is_gone:
            callback()
        else:
            self._callbacks.append(callback)

    def _tell_gone(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:  # noqa: ARG002 - a responder's signature
        """Send what was refused before an answer had begun; nothing else comes whole here."""
        assert status >= 400, "an answer came whole where events were asked for"
        self.is_failed = self.is_started = True
        told: Json = msgspec.json.decode(body)
        self._send(_encode({"type": "error", "status": status, "error": told["error"]}))
        self._finish()

    def refuse(self, error: CratonError) -> None:
        """Send the refusal of a message that could not become a request."""
        status, body = SERVER.write_error(error, "")
        self.respond(status, (), body)

    def start(self, status: int, headers: HeaderPairs) -> None:  # noqa: ARG002 - a responder's signature
        """Begin an answer: events have no head."""
        self.is_started = True

    def write(self, data: bytes) -> None:
        """Send the events of some whole frames.

        The `error` that goes before `response.failed` in a stream is left out: who reads one
        answer after the other would take the second for the end of the next.
        """
        for frame in data.split(b"\n\n"):
            name, _, event = frame.rpartition(_DATA)
            if not event or name == _ERROR or frame == _DONE:
                continue
            self.is_failed = self.is_failed or name == _FAILED
            self._send(event)

    def _send(self, event: bytes) -> None:
        self._websocket.send(self._head + event[1:])

    async def drain(self) -> None:
        """Wait while the client reads too slowly; returns at once when it is gone."""
        await self._websocket.drain()

    def finish(self) -> None:
        """The answer is whole: its last event says so."""
        self._finish()

    def abort(self) -> None:
        """End the connection, so that the answer can't be taken for whole."""
        if not self.is_finished:
            self.is_failed = True
            self._finish()
            self._websocket.close(CloseCode.INTERNAL_ERROR, "the answer broke off; it was logged")

    def _finish(self) -> None:
        self.is_finished = True
        self._callbacks = []
        self._websocket.on_gone = None


class SocketRequest(HttpRequest):
    """A request that was made of a message."""

    __slots__ = ("generates", "turn")

    def __init__(
        self, opening: HttpRequest, body: bytes, turn: SocketTurn, *, generates: bool
    ) -> None:
        super().__init__("POST", opening.raw_path, b"", opening.headers, body, opening.peer)
        self.turn = turn
        self.generates = generates
        """Whether the model is to be asked; else the conversation is only remembered."""


class CreateMessage(msgspec.Struct, frozen=True):
    """A `response.create`: the body of a request, and what only a WebSocket has."""

    body: bytes
    previous: str | None
    stream_id: str | None
    generates: bool


def read_stream_id(text: bytes) -> str | None:
    """The lane that a message is for, as far as it can be told; refusals are sent there."""
    try:
        value = msgspec.json.decode(_decode_members(text).get("stream_id", b"null"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_lane = isinstance(value, str) and 0 < len(value) <= _STREAM_ID_MAX
    return value if is_lane else None


def read_message(text: bytes) -> CreateMessage:
    """Read a client's message; BadRequest or Unsupported names what is wrong."""
    try:
        members = _decode_members(text)
    except msgspec.ValidationError:
        raise BadRequest("The message is not a JSON object.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(text, error) from None
    kind = _take(members, "type", str)
    if kind == "response.steer":
        raise Unsupported(
            "`type`: 'response.steer' is not served: an answer takes no input once it has begun. "
            "Send it with the next `response.create`."
        )
    if kind != CREATE:
        raise wrong("type", f"expected `{CREATE}`")
    stream_id = _take(members, "stream_id", str)
    if stream_id is not None and not 0 < len(stream_id) <= _STREAM_ID_MAX:
        raise wrong("stream_id", f"expected 1 to {_STREAM_ID_MAX} characters")
    generates = _take(members, "generate", bool) is not False
    if _take(members, "stream", bool) is False:
        raise Unsupported("`stream`: every answer over a WebSocket is streamed. Leave it out.")
    try:
        previous = msgspec.json.decode(members.get("previous_response_id", b"null"), type=str)
    except msgspec.ValidationError:
        previous = None  # whoever reads the body refuses what is no id
    members["stream"] = msgspec.Raw(b"true")
    return CreateMessage(_encode(members), previous, stream_id, generates)


def _take(members: dict[str, msgspec.Raw], name: str, kind: type[T]) -> T | None:
    value = msgspec.json.decode(members.pop(name, b"null"))
    if value is not None and type(value) is not kind:
        raise wrong(name, f"expected a {'string' if kind is str else 'boolean'}")
    return value
