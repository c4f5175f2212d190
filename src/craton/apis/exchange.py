"""What a request and its answer share on their way through the server."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from craton.access.records import Principal
from craton.apis.permit import Permit
from craton.dialects.dialect import ChoicesWriter, Stamp, StreamWriter
from craton.economics.meters import UsageRecord
from craton.http import HttpRequest, HttpResponder, Reply
from craton.kernel.errors import CratonError
from craton.messages import Answer, Choices, Request

HeaderPairs = Sequence[tuple[bytes, bytes]]


class Wire(Protocol):
    """One protocol's face for one request: how it says no."""

    name: str

    def error(self, error: CratonError, request_id: str) -> Reply:
        """Status, headers and body of an error in this protocol."""
        ...


class InferenceWire(Wire, Protocol):
    """A wire that can carry an answer of a model."""

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of a whole answer."""
        ...

    def stream_writer(self, request: Request, stamp: Stamp) -> StreamWriter:
        """A writer for one streamed answer."""
        ...

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a whole answer."""
        ...

    def stream_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a streamed answer."""
        ...


@runtime_checkable
class ChoicesWire(InferenceWire, Protocol):
    """A wire that can carry several answers to one request."""

    def choices(self, choices: Choices, stamp: Stamp) -> bytes:
        """The body of several whole answers."""
        ...

    def choices_writer(self, request: Request, stamp: Stamp) -> ChoicesWriter:
        """A writer for several streamed answers."""
        ...


class Told(Exception):
    """The client was told of this error in its stream already."""

    def __init__(self, error: CratonError) -> None:
        super().__init__(error.message)
        self.error = error


class Exchange(msgspec.Struct):
    """One request under way. Later steps fill in what they learn, for the log line at the end."""

    request: HttpRequest
    responder: HttpResponder
    request_id: str
    started_ns: int
    wire: Wire
    principal: Principal | None = None
    permit: Permit | None = None
    """What the principal may do; there as soon as the principal is."""
    model: str = ""
    asked: Request | None = None
    """What a model was asked, where this is a turn of one."""
    operation: str = "chat"
    """What a model was asked for: `chat` or `embeddings`, as OpenTelemetry names them."""
    stop_reason: str = ""
    status: int = 0
    fault: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    first_ns: int = 0
    recalled_bytes: int = 0
    """Bytes of the prompt that didn't come with the request but from what was kept for it."""
    keep: Callable[[UsageRecord], tuple[str, bytes]] | None = None
    """The command that posts the record of a whole answer, where that is more than `post`."""

    @property
    def allowed(self) -> Permit:
        """The permit of a request that was admitted."""
        assert self.permit is not None, "asked before its caller was admitted"
        return self.permit

    def respond(self, reply: Reply) -> None:
        """Give a whole answer."""
        status, headers, body = reply
        self.status = status
        self.responder.respond(status, headers, body)
