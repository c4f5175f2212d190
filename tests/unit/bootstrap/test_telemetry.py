"""Spans of finished requests, as OpenTelemetry's own SDK collects them."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from craton.apis.exchange import Exchange
from craton.apis.openai.endpoints import WIRE
from craton.bootstrap.telemetry import OpenTelemetry
from craton.http import Headers, HttpRequest
from craton.messages import Message, Request, Role, Text
from tests.fakes.turns import PRINCIPAL, FakeResponder

OFFSET_NS = 1_000_000_000_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PARENT = (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())
SECRET = "what nobody may read in a trace"


def exchange(*headers: tuple[bytes, bytes]) -> Exchange:
    request = HttpRequest("POST", b"/v1/chat/completions", b"", Headers(headers), b"{}", "10.0.0.9")
    made = Exchange(request, FakeResponder(), "0190-x", 5_000, WIRE, PRINCIPAL)
    made.model, made.status, made.first_ns = "lab.m", 200, 7_000
    made.input_tokens, made.output_tokens, made.stop_reason = 11, 22, "end_turn"
    message = Message(role=Role.USER, content=[Text(text=SECRET)])
    made.asked = Request(
        model="gpt-5", messages=[message], max_tokens=9, temperature=0.5, stream=True
    )
    return made


def opened() -> tuple[OpenTelemetry, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetry(provider, wall_less_monotonic_ns=OFFSET_NS), exporter


def spans(of: Exchange, status: int = 200) -> dict[str, ReadableSpan]:
    return traced(of, status)[0]


def traced(
    of: Exchange, status: int = 200, *, asks_upstream: int = 0
) -> tuple[dict[str, ReadableSpan], list[dict[bytes, bytes]]]:
    """The spans of a request, and the headers of every attempt to ask an upstream for it."""
    tracing, exporter = opened()
    tracing.began(of)
    sent = [dict(tracing.onward(of.request_id)) for _ in range(asks_upstream)]
    tracing.finished(of, status, 9_000)
    tracing.close()
    return {span.name: span for span in exporter.get_finished_spans()}, sent


def test_a_turn_is_a_span_of_http_around_one_of_the_model() -> None:
    made = spans(exchange())
    outer, inner = made["POST /v1/chat/completions"], made["chat lab.m"]
    assert outer.kind is SpanKind.SERVER
    assert inner.kind is SpanKind.INTERNAL
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert (outer.start_time, outer.end_time) == (OFFSET_NS + 5_000, OFFSET_NS + 9_000)
    assert [(event.name, event.timestamp) for event in inner.events] == [
        ("first_chunk", OFFSET_NS + 7_000)
    ]


def test_the_models_span_has_the_conventions_names() -> None:
    attributes = dict(spans(exchange())["chat lab.m"].attributes or {})
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "lab.m",
        "gen_ai.response.id": "0190-x",
        "gen_ai.response.finish_reasons": ("end_turn",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 22,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stream": True,
    }


def test_no_text_of_a_prompt_is_in_a_span() -> None:
    assert not any(SECRET in span.to_json() for span in spans(exchange()).values())


def test_spans_join_the_callers_trace() -> None:
    made = spans(exchange(PARENT))
    for span in made.values():
        assert format(span.context.trace_id, "032x") == TRACE
    parent = made["POST /v1/chat/completions"].parent
    assert parent is not None
    assert format(parent.span_id, "016x") == CALLER


def test_an_upstream_is_told_the_models_span_as_its_parent_at_every_attempt() -> None:
    made, (first, second) = traced(exchange(PARENT), asks_upstream=2)
    inner = made["chat lab.m"]
    span = format(inner.context.span_id, "016x")
    assert first == second == {b"traceparent": f"00-{TRACE}-{span}-01".encode()}
    assert inner.kind is SpanKind.CLIENT
    assert (inner.attributes or {})["gen_ai.usage.output_tokens"] == 22
    assert len(made) == 2


def test_a_trace_that_begins_here_goes_on_too() -> None:
    made, (sent,) = traced(exchange(), asks_upstream=1)
    context = made["chat lab.m"].context
    ids = f"00-{context.trace_id:032x}-{context.span_id:016x}-"
    assert sent[b"traceparent"] == f"{ids}{context.trace_flags:02x}".encode()


def test_what_vendors_wrote_into_the_trace_goes_along() -> None:
    states = ((b"tracestate", b"rojo=1"), (b"tracestate", b"congo=2"))
    _, (sent,) = traced(exchange(PARENT, *states), asks_upstream=1)
    assert sent[b"tracestate"] == b"rojo=1,congo=2"


def test_a_trace_that_its_caller_does_not_record_is_not_recorded_and_goes_on_so() -> None:
    unrecorded = (b"traceparent", f"00-{TRACE}-{CALLER}-00".encode())
    made, (sent,) = traced(exchange(unrecorded), asks_upstream=1)
    assert made == {}
    assert sent[b"traceparent"].startswith(f"00-{TRACE}-".encode())
    assert sent[b"traceparent"].endswith(b"-00")


def test_a_request_that_is_not_under_way_takes_no_trace_on() -> None:
    tracing, _ = opened()
    over = exchange(PARENT)
    tracing.began(over)
    tracing.finished(over, 200, 9_000)
    assert tracing.onward(over.request_id) == ()
    tracing.close()


def test_of_two_traceparents_none_is_believed() -> None:
    other = (b"traceparent", f"00-{'1' * 32}-{CALLER}-01".encode())
    outer = spans(exchange(PARENT, other))["POST /v1/chat/completions"]
    assert format(outer.context.trace_id, "032x") not in {TRACE, "1" * 32}
    assert outer.parent is None


@pytest.mark.parametrize("value", [b"nonsense", b"\xff\xfe", b"00-0-0-0"])
def test_a_broken_traceparent_begins_a_trace_of_its_own(value: bytes) -> None:
    assert len(spans(exchange((b"traceparent", value)))) == 2


def test_our_faults_are_errors_and_the_callers_are_not() -> None:
    failed = exchange()
    failed.fault = "engine_failed"
    made = spans(failed, 502)
    assert {span.status.status_code for span in made.values()} == {StatusCode.ERROR}
    assert (made["chat lab.m"].attributes or {})["error.type"] == "engine_failed"
    refused = exchange()
    refused.fault, refused.model = "bad_request", ""
    (outer,) = spans(refused, 400).values()
    assert outer.status.status_code is StatusCode.UNSET
    assert (outer.attributes or {})["error.type"] == "bad_request"
