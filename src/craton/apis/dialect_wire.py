"""The wire of a protocol whose bodies are JSON and whose streams are server-sent events."""

from craton.dialects.dialect import ServerDialect, Stamp, StreamWriter
from craton.http import Reply
from craton.kernel.errors import CratonError
from craton.messages import Answer, Request

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_CACHE = (b"cache-control", b"no-cache")


class DialectWire:
    """Carries one dialect over HTTP, with the header by which its SDK reads the request's id."""

    def __init__(self, name: str, dialect: ServerDialect, *, request_id_header: bytes) -> None:
        self.name = name
        self.dialect = dialect
        self._request_id_header = request_id_header

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the dialect's own form."""
        status, body = self.dialect.write_error(error, request_id)
        return status, (_JSON, (self._request_id_header, request_id.encode())), body

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of a whole answer."""
        return self.dialect.write_answer(answer, request, stamp)

    def stream_writer(self, request: Request, stamp: Stamp) -> StreamWriter:
        """A writer for one streamed answer."""
        return self.dialect.stream_writer(request, stamp)

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a whole answer."""
        return [_JSON, (self._request_id_header, request_id.encode())]

    def stream_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a streamed answer."""
        return [_EVENTS, _NO_CACHE, (self._request_id_header, request_id.encode())]
