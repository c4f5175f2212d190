"""OpenTelemetry traces, where an endpoint for them is set: a span a request, one a model's answer.

Names follow OpenTelemetry's semantic conventions for HTTP servers and for generative AI. No text of
a prompt or an answer is ever in a span. A caller's `traceparent` makes the spans part of its trace,
and the model's span is the parent of what the server of a remote model makes of the request (W3C
Trace Context). Not told of it is a server that only counts a prompt's tokens.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from craton.apis.exchange import Exchange
from craton.http.message import HeaderPairs

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind
    from opentelemetry.util.types import AttributeValue

PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "aws": "aws.bedrock"}
"""The convention's name of the provider whose protocol was spoken, by the wire's name."""
SERVICE = "craton"
HTTP_ERROR_MIN = 500


@dataclass(slots=True)
class _UnderWay:
    """A request that hasn't ended, and its spans so far."""

    exchange: Exchange
    server: "Span"
    model: "Span | None" = None
    """There as soon as the trace has gone on to a server elsewhere."""


class OpenTelemetry:
    """Makes spans of requests; `provider` is told what to do with them."""

    def __init__(self, provider: "TracerProvider", *, wall_less_monotonic_ns: int) -> None:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an optional dependency
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE)
        self._offset_ns = wall_less_monotonic_ns
        self._kinds = SpanKind
        self._context = tracecontext.TraceContextTextMapPropagator()
        self._under_way: dict[str, _UnderWay] = {}

    def began(self, exchange: Exchange) -> None:
        """Begin the span of a request."""
        span = self._tracer.start_span(
            f"{exchange.request.method} {_path(exchange)}",
            context=self._parent(exchange),
            kind=self._kinds.SERVER,
            attributes=_of_request(exchange),
            start_time=exchange.started_ns + self._offset_ns,
        )
        self._under_way[exchange.request_id] = _UnderWay(exchange, span)

    def onward(self, request_id: str) -> HeaderPairs:
        """`traceparent`, and `tracestate` if there is one; nothing for a request not under way."""
        found = self._under_way.get(request_id)
        if found is None:
            return ()
        if found.model is None:
            found.model = self._begin_model(found, self._kinds.CLIENT)
        carrier: dict[str, str] = {}
        self._context.inject(carrier, _within(found.model))
        return [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]

    def finished(self, exchange: Exchange, status: int, ended_ns: int) -> None:
        """End the spans of one request."""
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

        found = self._under_way.pop(exchange.request_id)
        ended_ns += self._offset_ns
        failed = Status(StatusCode.ERROR) if status >= HTTP_ERROR_MIN else None
        if exchange.model:
            inner = found.model or self._begin_model(found, self._kinds.INTERNAL)
            inner.set_attributes(_of_model(exchange))
            if exchange.first_ns:
                inner.add_event("first_chunk", timestamp=exchange.first_ns + self._offset_ns)
            if failed is not None:
                inner.set_status(failed)
            inner.end(ended_ns)
        found.server.set_attributes(_of_answer(exchange, status))
        if failed is not None:
            found.server.set_status(failed)
        found.server.end(ended_ns)

    def close(self) -> None:
        """Send what is still held back."""
        self._provider.shutdown()

    def _begin_model(self, found: _UnderWay, kind: "SpanKind") -> "Span":
        """The span of the model's answer: a client's where a server elsewhere gives it."""
        exchange = found.exchange
        return self._tracer.start_span(
            f"{exchange.operation} {exchange.model}",
            context=_within(found.server),
            kind=kind,
            start_time=exchange.started_ns + self._offset_ns,
        )

    def _parent(self, exchange: Exchange) -> "Context | None":
        headers = exchange.request.headers
        parent = headers.get(b"traceparent")
        if parent is None or headers.is_repeated(b"traceparent"):
            return None  # of two, none can be believed
        state = b",".join(headers.get_all(b"tracestate"))
        carrier = {"traceparent": parent.decode("latin-1"), "tracestate": state.decode("latin-1")}
        return self._context.extract(carrier)


def _within(span: "Span") -> "Context":
    from opentelemetry.context import Context  # noqa: PLC0415 - an optional dependency
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

    return set_span_in_context(span, Context())


def _path(exchange: Exchange) -> str:
    return exchange.request.raw_path[:256].decode("latin-1")


def _of_request(exchange: Exchange) -> "dict[str, AttributeValue]":
    return {
        "http.request.method": exchange.request.method,
        "url.path": _path(exchange),
        "client.address": exchange.request.peer,
        "craton.request_id": exchange.request_id,
        "craton.wire": exchange.wire.name,
    }


def _of_answer(exchange: Exchange, status: int) -> "dict[str, AttributeValue]":
    found: dict[str, AttributeValue] = {"http.response.status_code": status}
    if exchange.principal is not None:
        found["craton.account"] = exchange.principal.account
        found["craton.project"] = exchange.principal.project
        found["craton.key"] = exchange.principal.key
    if exchange.fault:
        found["error.type"] = exchange.fault
    return found


def _of_model(exchange: Exchange) -> "dict[str, AttributeValue]":
    asked = exchange.asked
    wire = exchange.wire.name
    found: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": exchange.operation,
        "gen_ai.provider.name": PROVIDERS.get(wire, wire),
        "gen_ai.response.model": exchange.model,
        "gen_ai.response.id": exchange.request_id,
        "gen_ai.usage.input_tokens": exchange.input_tokens,
        "gen_ai.usage.output_tokens": exchange.output_tokens,
        "gen_ai.response.finish_reasons": [exchange.stop_reason] if exchange.stop_reason else None,
        "error.type": exchange.fault or None,
    }
    if asked is not None:
        found |= {
            "gen_ai.request.model": asked.model,
            "gen_ai.request.max_tokens": asked.max_tokens,
            "gen_ai.request.temperature": asked.temperature,
            "gen_ai.request.top_p": asked.top_p,
            "gen_ai.request.top_k": asked.top_k,
            "gen_ai.request.seed": asked.seed,
            "gen_ai.request.frequency_penalty": asked.frequency_penalty,
            "gen_ai.request.presence_penalty": asked.presence_penalty,
            "gen_ai.request.stop_sequences": asked.stop_sequences or None,
            "gen_ai.request.stream": asked.stream or None,
        }
    return {name: value for name, value in found.items() if value is not None}


def open_tracing(endpoint: str, *, process: str, wall_less_monotonic_ns: int) -> OpenTelemetry:
    """Traces that are sent to an OTLP endpoint over HTTP, in batches, from a thread of its own."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": SERVICE, "service.instance.id": process})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetry(provider, wall_less_monotonic_ns=wall_less_monotonic_ns)
