"""The wire of a protocol whose bodies are JSON and whose streams are server-sent events."""

from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes

from craton.apis.exchange import Exchange
from craton.dialects.dialect import ServerDialect, Stamp, StreamWriter
from craton.http import Reply
from craton.kernel.errors import CratonError, NotBuilt, NotFound
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


async def refuse_not_built(exchange: Exchange) -> None:
    """Say that the protocol has this operation and Craton hasn't built it."""
    raise NotBuilt(
        f"Craton has not built {exchange.request.raw_path.decode('latin-1')} yet. "
        "README.md lists what it serves."
    )


def refuse_unknown(served: str) -> Callable[[Exchange], Awaitable[None]]:
    """What to run for a path that the protocol doesn't have; `served` names those it has here."""

    async def refuse(exchange: Exchange) -> None:
        request = exchange.request
        raise NotFound(
            f"There is no {request.method} {request.raw_path.decode('latin-1')} here. "
            f"Served are {served}."
        )

    return refuse


def name_in_path(raw_path: bytes, folder: bytes) -> str:
    """The name at the end of a path, percent-decoded; it may hold slashes."""
    return unquote_to_bytes(raw_path[len(folder) + 1 :]).decode("utf-8", "replace")
