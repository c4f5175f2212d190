"""The path of every request, as one ordered list.

    route → lease → authenticate → authorize → (read → resolve → hold → generate → post → answer)

What stands in brackets is the endpoint's own; `inference.py` has it for the model endpoints. Every
error leaves in the caller's protocol. An exception outside the error tree is a fault of ours: it is
a 500, logged with its traceback, and counted.
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from craton.apis.authenticator import Authenticator
from craton.apis.exchange import Exchange, Told, Wire
from craton.apis.native.wire import NativeWire
from craton.apis.permit import Permits, Place
from craton.apis.services import Services
from craton.http import Headers, HttpRequest, HttpResponder, Reply
from craton.http.limits import Code
from craton.http.message import HeaderPairs
from craton.http.refusal import refusal_status
from craton.kernel.errors import CratonError, Fault, Internal
from craton.kernel.metrics import Distribution, Metrics, Series

LEASE_WAIT_S = 5
_NO_HEADERS = Headers()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of one protocol: its wire, what it needs, and what it does."""

    wire: Wire
    run: Callable[[Exchange], Awaitable[None]]
    action: str | None
    """What the caller must be allowed to do; None is open to everyone (health, metrics)."""
    resource: str | None = "*"
    """What it is done to; None is a model, about which the endpoint itself asks the permit."""


class RequestLine(msgspec.Struct, frozen=True):
    """What the log says of each request: ids and counts, never any text of a prompt."""

    time: float
    process: str
    request_id: str
    wire: str
    method: str
    path: str
    status: int
    fault: str
    account: str
    key: str
    model: str
    input_tokens: int
    output_tokens: int
    first_ms: float | None
    duration_ms: float
    level: str = "info"
    event: str = "request"


Finder = Callable[[HttpRequest], Endpoint | None]


@dataclass(frozen=True, slots=True)
class Routes:
    """Exact paths first, then finders in order; the fallback always finds something."""

    exact: Mapping[tuple[str, bytes], Endpoint]
    finders: Sequence[Finder]
    fallback: Callable[[HttpRequest], Endpoint]


class App:
    """Answers HTTP requests; everything it uses comes in as an argument."""

    def __init__(self, services: Services, routes: Routes, authenticator: Authenticator) -> None:
        self._process = services.process
        self._exact = routes.exact
        self._finders = routes.finders
        self._fallback = routes.fallback
        self._authenticator = authenticator
        place = Place(services.region, is_secure=services.is_secure)
        self._permits = Permits(services.directory, services.clock, place=place)
        self._state = services.state
        self._clock = services.clock
        self._ids = services.ids
        self._log = services.log
        self._meters = _Meters(services.metrics)
        self._tracing = services.tracing

    async def handle(self, request: HttpRequest, responder: HttpResponder) -> None:
        """Answer one request; never raises but for cancellation."""
        endpoint = self._find(request)
        exchange = Exchange(
            request, responder, self._ids.request_id(), self._clock.monotonic_ns(), endpoint.wire
        )
        if self._tracing is not None:
            self._tracing.began(exchange)
        try:
            if endpoint.action is not None:
                if not self._state.is_leased:
                    await self._state.wait_leased(LEASE_WAIT_S)
                principal = exchange.principal = self._authenticator.principal(request)
                permit = exchange.permit = self._permits.of(principal, request)
                permit.admit(endpoint.action, endpoint.resource)
            await endpoint.run(exchange)
        except Told as told:
            exchange.fault = told.error.fault
        except CratonError as error:
            self._refuse(exchange, error)
        except Exception as error:  # noqa: BLE001 - the top: whatever is left is our fault
            self._fail(exchange, error)
        finally:
            self._account(exchange)

    def _find(self, request: HttpRequest) -> Endpoint:
        found = self._exact.get((request.method, request.raw_path))
        if found is not None:
            return found
        try:
            for finder in self._finders:
                found = finder(request)
                if found is not None:
                    return found
            return self._fallback(request)
        except Exception as error:  # noqa: BLE001 - a finder's fault must be answered and counted
            return _failing(error)

    def _refuse(self, exchange: Exchange, error: CratonError) -> None:
        exchange.fault = error.fault
        if isinstance(error, Internal):
            self._fail(exchange, error)
        elif exchange.responder.is_started:
            exchange.responder.abort()
        else:
            status, headers, body = exchange.wire.error(error, exchange.request_id)
            exchange.respond((status, (*headers, *_when_to_retry(error)), body))

    def _fail(self, exchange: Exchange, error: Exception) -> None:
        exchange.fault = Internal.fault
        self._meters.internal_errors.add()
        self._log.error(
            "internal_error",
            request_id=exchange.request_id,
            path=exchange.request.raw_path.decode("latin-1"),
            # The traceback has code lines and no values, so no text of a prompt.
            error=type(error).__name__,
            traceback="".join(traceback.format_tb(error.__traceback__)),
        )
        if exchange.responder.is_started:
            exchange.responder.abort()
        else:
            told = Internal(
                f"Craton failed on this request ({exchange.request_id}). It was logged; the "
                "operator can find it by this id."
            )
            exchange.respond(exchange.wire.error(told, exchange.request_id))

    def refuse(self, request: HttpRequest | None, error: CratonError) -> Reply:
        """Say no to a request that HTTP itself could not take, in its protocol's words."""
        self._meters.refused.add()
        unknown = HttpRequest("GET", b"/", b"", _NO_HEADERS, b"", "")
        wire = self._find(request or unknown).wire
        status, headers, body = wire.error(error, self._ids.request_id())
        # HTTP has finer statuses for what it could not take (408, 417, 431, …) than any protocol.
        return refusal_status(error) if error.code in set(Code) else status, headers, body

    def internal_error(
        self, request: HttpRequest, responder: HttpResponder, error: Exception
    ) -> None:
        """What the server does with an exception that `handle` let through: there are none."""
        endpoint = self._find(request)
        exchange = Exchange(
            request, responder, self._ids.request_id(), self._clock.monotonic_ns(), endpoint.wire
        )
        self._fail(exchange, error)

    def _account(self, exchange: Exchange) -> None:
        ended_ns = self._clock.monotonic_ns()
        seconds = (ended_ns - exchange.started_ns) / 1e9
        status = exchange.status or 499  # nginx's number for a client that left
        self._meters.observe(exchange, status, seconds)
        if self._tracing is not None:
            self._tracing.finished(exchange, status, ended_ns)
        principal, request = exchange.principal, exchange.request
        self._log.write(
            RequestLine(
                self._clock.now_ns() // 1_000_000 / 1000,
                self._process,
                exchange.request_id,
                exchange.wire.name,
                request.method,
                request.raw_path[:256].decode("latin-1"),
                status,
                exchange.fault,
                principal.account if principal else "",
                principal.key if principal else "",
                exchange.model,
                exchange.input_tokens,
                exchange.output_tokens,
                (exchange.first_ns - exchange.started_ns) / 1e6 if exchange.first_ns else None,
                seconds * 1000,
            )
        )


def _when_to_retry(error: CratonError) -> HeaderPairs:
    """What tells a client when trying again can help; SDKs wait so long, or raise at once."""
    if error.retry_after_s is not None:
        return ((b"retry-after", b"%d" % error.retry_after_s),)
    if error.fault is Fault.BUDGET_EXCEEDED:
        return ((b"x-should-retry", b"false"),)
    return ()


def _failing(error: Exception) -> Endpoint:
    """An endpoint that only raises what finding the right one raised."""

    async def fail(_: Exchange) -> None:
        raise error

    return Endpoint(NativeWire(), fail, None)


class _Row(msgspec.Struct):
    """The lines that requests of one protocol and model with one status count in."""

    requests: Series
    duration: Distribution
    input_tokens: Series | None
    output_tokens: Series | None


class _Meters:
    """The gateway's own metrics, with the lines that are used looked up once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.internal_errors = metrics.counter(
            "craton_internal_errors_total", "Requests that failed by a fault of Craton's own."
        )
        self.refused = metrics.counter(
            "craton_http_refused_total", "Requests refused before any handler could run."
        )
        self._first: dict[str, Distribution] = {}
        self._rows: dict[tuple[str, str, int], _Row] = {}

    def observe(self, exchange: Exchange, status: int, seconds: float) -> None:
        key = (exchange.wire.name, exchange.model, status)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._row(*key)
        row.requests.add()
        row.duration.observe(seconds)
        if row.input_tokens is not None and row.output_tokens is not None:
            row.input_tokens.add(exchange.input_tokens)
            row.output_tokens.add(exchange.output_tokens)
        if exchange.first_ns:
            first_s = (exchange.first_ns - exchange.started_ns) / 1e9
            self._first_chunk(exchange.model).observe(first_s)

    def _row(self, wire: str, model: str, status: int) -> _Row:
        metrics = self._metrics
        tokens, help = "craton_tokens_total", "Tokens by model and direction."
        return _Row(
            metrics.counter(
                "craton_requests_total",
                "Requests by protocol, model and HTTP status.",
                wire=wire,
                model=model,
                status=str(status),
            ),
            metrics.histogram(
                "craton_request_duration_seconds", "From whole request to last frame.", wire=wire
            ),
            metrics.counter(tokens, help, model=model, direction="input") if model else None,
            metrics.counter(tokens, help, model=model, direction="output") if model else None,
        )

    def _first_chunk(self, model: str) -> Distribution:
        found = self._first.get(model)
        if found is None:
            found = self._first[model] = self._metrics.histogram(
                "craton_time_to_first_chunk_seconds",
                "From whole request to the first piece of a streamed answer.",
                model=model,
            )
        return found
