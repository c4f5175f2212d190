"""The seam every dialect fits: four small roles, two for a server and two for a client.

A dialect is pure: bytes or plain documents in, `messages` values out, and back. It knows no
server, no engine and no clock; what a server says about an answer comes in as a `Stamp`.
"""

from typing import Protocol

import msgspec

from craton.kernel.errors import CratonError
from craton.messages import Answer, ChoiceEvent, Event, Metadata, Request


class Stamp(msgspec.Struct, frozen=True):
    """What a server says about one answer of its own."""

    request_id: str
    """Craton's own id of the request; the wire's answer id is derived from it."""
    model: str
    """The model's name as the caller wrote it."""
    created_s: int
    """When the request came, seconds since the epoch."""


class StreamWriter(Protocol):
    """Writes one answer's events as frames.

    All that tells a client that the answer is complete (the terminal frames: `metadata`,
    `message_delta` and `message_stop`, the usage chunk and `[DONE]`) comes from the `Metadata`
    event and no other, so that a server can hold it back until the cost is durable.
    """

    def write(self, event: Event) -> bytes:
        """The frames of one event; may be empty."""
        ...

    def write_error(self, error: CratonError) -> bytes:
        """The frame that ends a stream which had begun and then failed."""
        ...


class ChoicesWriter(Protocol):
    """Writes the events of several answers to one request as frames.

    As with one answer, all that tells a client that they are complete comes from the `Metadata`
    of them together, which ends the stream.
    """

    def write(self, event: ChoiceEvent | Metadata) -> bytes:
        """The frames of one event; may be empty."""
        ...

    def write_error(self, error: CratonError) -> bytes:
        """The frame that ends a stream which had begun and then failed."""
        ...


class StreamReader(Protocol):
    """Reads frames as they come, in whatever pieces, and yields events.

    An error frame raises the `CratonError` it stands for, after the events before it were
    returned by an earlier call; a stream that ends early raises `EngineFailed` from `close`.
    """

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by these bytes."""
        ...

    def close(self) -> list[Event]:
        """The connection ended: the events still due, or EngineFailed if the answer isn't whole."""
        ...


class ServerDialect(Protocol):
    """A server's side of a dialect."""

    def read_request(self, body: bytes) -> Request:
        """Read a request body; BadRequest or Unsupported names the member that is wrong."""
        ...

    def write_answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of a whole answer."""
        ...

    def stream_writer(self, request: Request, stamp: Stamp) -> StreamWriter:
        """A writer for one streamed answer."""
        ...

    def write_error(self, error: CratonError, request_id: str) -> tuple[int, bytes]:
        """HTTP status and body of an error."""
        ...


class ClientDialect(Protocol):
    """A client's side of a dialect, used by remote engines."""

    def write_request(self, request: Request) -> bytes:
        """The body of a request."""
        ...

    def read_answer(self, body: bytes) -> Answer:
        """Read the body of a whole answer."""
        ...

    def stream_reader(self) -> StreamReader:
        """A reader for one streamed answer."""
        ...

    def read_error(self, status: int, body: bytes) -> CratonError:
        """The error that an upstream's refusal stands for."""
        ...
