"""OpenTelemetry traces, where an endpoint for them is set: a span a request, one a model's answer.

Names follow OpenTelemetry's semantic conventions for HTTP servers and for generative AI. No text of
a prompt or an answer is ever in a span. A caller's `traceparent` makes the spans part of its trace.
"""

from typing import TYPE_CHECKING

from craton.apis.exchange import Exchange

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "aws": "aws.bedrock"}
"""The convention's name of the provider whose protocol was spoken, by the wire's name."""
SERVICE = "craton"
HTTP_ERROR_MIN = 500


class OpenTelemetry:
    """Makes spans of finished requests; `provider` is told what to do with them."""

    def __init__(self, provider: "TracerProvider", *, wall_less_monotonic_ns: int) -> None:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an optional dependency
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE)
        self._offset_ns = wall_less_monotonic_ns
        self._server, self._internal = SpanKind.SERVER, SpanKind.INTERNAL
        self._context = tracecontext.TraceContextTextMapPropagator()

    def finished(self, exchange: Exchange, status: int, ended_ns: int) -> None:
        """Make the spans of one request."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context  # noqa: PLC0415

        started_ns, ended_ns = exchange.started_ns + self._offset_ns, ended_ns + self._offset_ns
        span = self._tracer.start_span(
            f"{exchange.request.method} {_path(exchange)}",
            context=self._parent(exchange),
            kind=self._server,
            attributes=_of_http(exchange, status),
            start_time=started_ns,
        )
        failed = Status(StatusCode.ERROR) if status >= HTTP_ERROR_MIN else None
        if exchange.model:
            inner = self._tracer.start_span(
                f"{exchange.operation} {exchange.model}",
                context=set_span_in_context(span),
                kind=self._internal,
                attributes=_of_model(exchange),
                start_time=started_ns,
            )
            if exchange.first_ns:
                inner.add_event("first_chunk", timestamp=exchange.first_ns + self._offset_ns)
            if failed is not None:
                inner.set_status(failed)
            inner.end(ended_ns)
        if failed is not None:
            span.set_status(failed)
        span.end(ended_ns)

    def close(self) -> None:
        """Send what is still held back."""
        self._provider.shutdown()

    def _parent(self, exchange: Exchange) -> "Context | None":
        parent = exchange.request.headers.get(b"traceparent")
        if parent is None:
            return None
        state = exchange.request.headers.get(b"tracestate") or b""
        carrier = {"traceparent": parent.decode("latin-1"), "tracestate": state.decode("latin-1")}
        return self._context.extract(carrier)


def _path(exchange: Exchange) -> str:
    return exchange.request.raw_path[:256].decode("latin-1")


def _of_http(exchange: Exchange, status: int) -> "dict[str, AttributeValue]":
    found: dict[str, AttributeValue] = {
        "http.request.method": exchange.request.method,
        "url.path": _path(exchange),
        "http.response.status_code": status,
        "client.address": exchange.request.peer,
        "craton.request_id": exchange.request_id,
        "craton.wire": exchange.wire.name,
    }
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
