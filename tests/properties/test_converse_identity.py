"""Every member of Converse's model has a place: what is read is written again, unchanged.

The documents come from the service model itself: a strategy for every shape, so that a member that
botocore adds tomorrow is generated tomorrow.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from craton.apis.aws.coerce import coerce
from craton.apis.aws.model import Models, Shape
from craton.apis.aws.validate import violations
from craton.dialects.converse import ConverseClient, ConverseServer
from craton.dialects.converse_members import DIALECT
from craton.dialects.eventstream import FrameReader, write_event
from craton.messages import fold, unfold
from craton.messages.events import Metadata
from craton.messages.request import Request

MODEL = Models().service("bedrock-runtime")
SERVER, CLIENT = ConverseServer(), ConverseClient()
SETTINGS = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
# A null at the top of a free-form member is an absent member on this wire.
FREE_FORM = JSON.filter(lambda value: value is not None)
SCHEMA_TEXT = JSON.map(lambda value: msgspec.json.encode(value).decode())
MATCHING = {
    "ToolUseId": "tooluse_1",
    "ToolName": "get_weather",
    "S3Uri": "s3://bucket/key",
    "AccountId": "123456789012",
    "GuardrailIdentifier": "abc123",
    "GuardrailVersion": "DRAFT",
    "ConversationalModelId": "anthropic.claude",
    "RequestMetadataKeyString": "team",
    "RequestMetadataValueString": "blue",
    "InvokedModelId": "arn:aws:bedrock:us-east-1::foundation-model/a.b-cc",
    "NonBlankString": "text",
}
"""Texts for shapes with a pattern."""


def values(shape: Shape, path: str = "") -> st.SearchStrategy[Any]:
    """Values of a shape, within its constraints."""
    if shape.is_document:
        return FREE_FORM
    if shape.name == "TokenUsage":
        return token_usage()
    if shape.name == "CacheDetailsList":
        ttls = st.dictionaries(st.sampled_from(["5m", "1h"]), st.integers(0, 1000), max_size=2)
        return ttls.map(lambda found: [{"ttl": k, "inputTokens": v} for k, v in found.items()])
    match shape.kind:
        case "structure":
            return structures(shape, path)
        case "list":
            assert shape.element is not None
            least = int(shape.minimum or 0)
            return st.lists(values(shape.element, path), min_size=least, max_size=least + 2)
        case "map":
            assert shape.key is not None
            assert shape.value is not None
            inner = values(shape.value, path)
            least = int(shape.minimum or 0)
            return st.dictionaries(values(shape.key), inner, min_size=least, max_size=least + 1)
        case "string" if shape.enum is not None:
            return st.sampled_from(sorted(shape.enum))
        case "string" if path.endswith("JsonSchemaDefinition.schema"):
            return SCHEMA_TEXT
        case "string" if shape.pattern is not None:
            fixed = MATCHING.get(shape.name)
            return st.just(fixed) if fixed else st.from_regex(shape.pattern, fullmatch=True)
        case "string":
            return st.text(min_size=int(shape.minimum or 0), max_size=8)
        case "integer" | "long":
            return st.integers(int(shape.minimum or 0), int(shape.maximum or 100_000))
        case "float" | "double":
            return st.floats(shape.minimum or 0, shape.maximum or 1)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(min_size=1, max_size=6)
        case _:
            raise AssertionError(f"no strategy for {shape.kind}")


def structures(shape: Shape, path: str) -> st.SearchStrategy[Any]:
    members = {
        name: st.deferred(lambda m=member, n=name: values(m.shape, f"{path}.{shape.name}.{n}"))
        for name, member in shape.members.items()
        if not (shape.name == "ConverseTrace" and name == "guardrail")
    }
    if shape.is_union:
        return st.one_of(
            st.fixed_dictionaries({name: strategy}) for name, strategy in members.items()
        )
    required = {name: members.pop(name) for name in shape.required if name in members}
    return st.fixed_dictionaries(required, optional=members)


@st.composite
def token_usage(draw: st.DrawFn) -> dict[str, Any]:
    usage = draw(
        st.fixed_dictionaries(
            {"inputTokens": st.integers(0, 9), "outputTokens": st.integers(0, 9)},
            optional={
                "cacheReadInputTokens": st.integers(1, 9),
                "cacheWriteInputTokens": st.integers(1, 9),
                "cacheDetails": values(MODEL.shape("CacheDetailsList")),
            },
        )
    )
    counts = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    return usage | {"totalTokens": sum(usage.get(name, 0) for name in counts)}


EMPTY_MEANS_ABSENT = {
    "messages",
    "system",
    "stopSequences",
    "inferenceConfig",
    "performanceConfig",
    "outputConfig",
    "promptVariables",
    "additionalModelResponseFieldPaths",
}
"""Members of a request for which an empty list or structure says what none says."""


def canonical_request(document: dict[str, Any]) -> dict[str, Any]:
    document = dict(document)
    if "inferenceConfig" in document:
        document["inferenceConfig"] = drop_empty(document["inferenceConfig"])
    return canonical(drop_empty(document))


def drop_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in document.items() if v or k not in EMPTY_MEANS_ABSENT}


def canonical(value: Any) -> Any:
    """Two documents that say the same are made one."""
    if isinstance(value, dict):
        found = {name: canonical(item) for name, item in value.items()}
        if "citationsContent" in found and isinstance(found["citationsContent"], dict):
            found["citationsContent"] = {"content": [], "citations": []} | found["citationsContent"]
        if found.get("performanceConfig") == {}:
            del found["performanceConfig"]
        if isinstance(found.get("sourceContent"), list):
            found["sourceContent"] = [{"text": ""} | piece for piece in found["sourceContent"]]
        return found
    return [canonical(item) for item in value] if isinstance(value, list) else value


def reread(shape: Shape, body: bytes) -> Any:
    """A JSON body as the wire would read it: blobs back to bytes."""
    document = coerce(shape, msgspec.json.decode(body))
    if "modelId" in shape.members:
        document["modelId"] = "anthropic.claude"  # it stands in the path
    assert violations(shape, document) == []
    return document


def unknown_parts(value: Any) -> list[Any]:
    """What was put aside as unknown anywhere in a struct."""
    found: list[Any] = []
    if isinstance(value, msgspec.Struct):
        extra = getattr(value, "extra", None) or {}
        found += [extra[DIALECT]] if DIALECT in extra else []
        for name in value.__struct_fields__:
            found += unknown_parts(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            found += unknown_parts(item)
    return found


@pytest.mark.parametrize("name", ["ConverseRequest", "ConverseStreamRequest"])
def test_a_request_comes_through_unchanged(name: str) -> None:
    shape = MODEL.shape(name)

    @SETTINGS
    @given(document=values(shape))
    def check(document: dict[str, Any]) -> None:
        request = SERVER.read_request(document, stream=name == "ConverseStreamRequest")
        written = reread(shape, CLIENT.write_request(request))
        assert request.model == "anthropic.claude"
        assert canonical_request(written) == canonical_request(document)
        # A place of its own for everything, but for an error without its message.
        assert all(part == {"error": {}} for part in unknown_parts(request))
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=Request)
        assert again == request

    check()


@SETTINGS
@given(document=values(MODEL.shape("ConverseResponse")))
def test_an_answer_comes_through_unchanged(document: dict[str, Any]) -> None:
    body = msgspec.json.encode(document)
    answer = CLIENT.read_answer(body)
    written = reread(MODEL.shape("ConverseResponse"), SERVER.write_answer_body(answer))
    assert canonical(written) == canonical(document)
    assert all(part == {"error": {}} for part in unknown_parts(answer))


@settings(SETTINGS, max_examples=25)
@given(trace=structures(MODEL.shape("GuardrailTraceAssessment"), ""))
def test_a_guardrails_trace_comes_through_unchanged(trace: dict[str, Any]) -> None:
    shape = MODEL.shape("ConverseResponse")
    document = {
        "output": {"message": {"role": "assistant", "content": [{"text": "no"}]}},
        "stopReason": "guardrail_intervened",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
        "trace": {"guardrail": trace},
    }
    answer = CLIENT.read_answer(msgspec.json.encode(document))
    assert reread(shape, SERVER.write_answer_body(answer)) == document


EVENTS = MODEL.shape("ConverseStreamOutput")
NAMES = [
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
]


def event(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return values(EVENTS.members[name].shape).map(lambda document: (name, document))


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Events of a whole answer, in the order that a server sends them."""
    delta_shape = MODEL.shape("ContentBlockDelta")
    opened = {"toolUse", "toolResult", "image"}
    events = [draw(event("messageStart"))]
    for index in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(sorted(delta_shape.members)))
        member = values(delta_shape.members[kind].shape)
        if kind in opened:
            start = values(MODEL.shape("ContentBlockStart").members[kind].shape)
            document = {"start": {kind: draw(start)}, "contentBlockIndex": index}
            events.append(("contentBlockStart", document))
        for value in draw(st.lists(member, max_size=2)):
            document = {"delta": {kind: value}, "contentBlockIndex": index}
            events.append(("contentBlockDelta", document))
        events.append(("contentBlockStop", {"contentBlockIndex": index}))
    return [*events, draw(event("messageStop")), draw(event("metadata"))]


@SETTINGS
@given(stream=streams(), cut=st.integers(1, 400))
def test_a_stream_comes_through_unchanged(
    stream: list[tuple[str, dict[str, Any]]], cut: int
) -> None:
    data = b"".join(write_event(name, msgspec.json.encode(document)) for name, document in stream)
    reader, writer = CLIENT.stream_reader(), SERVER.stream_writer()
    events = []
    for start in range(0, len(data), cut):
        events += reader.feed(data[start : start + cut])
    events += reader.close()
    frames = b"".join(writer.write(event) for event in events)
    written = []
    for frame in FrameReader().feed(frames):
        name = str(frame.headers[":event-type"])
        written.append((name, reread(EVENTS.members[name].shape, frame.payload)))
    assert canonical([list(pair) for pair in written]) == canonical([list(pair) for pair in stream])
    assert [event for event in events if isinstance(event, Metadata)] == events[-1:]


@SETTINGS
@given(stream=streams())
def test_the_fold_of_a_stream_is_an_answer_that_fits_the_model(
    stream: list[tuple[str, dict[str, Any]]],
) -> None:
    reader = CLIENT.stream_reader()
    events = []
    for name, document in stream:
        events += reader.feed(write_event(name, msgspec.json.encode(document)))
    answer = fold(events)
    assert fold(unfold(answer)) == answer


def least(shape: Shape) -> Any:
    """One value of a shape: its required members only."""
    if shape.is_document:
        return {"free": ["form", 1, None]}
    match shape.kind:
        case "structure" if shape.name == "JsonSchemaDefinition":
            return {"schema": '{"type":"object"}'}
        case "structure" if shape.is_union:
            name, member = next(iter(shape.members.items()))
            return {name: least(member.shape)}
        case "structure":
            return {name: least(shape.members[name].shape) for name in shape.required}
        case "list":
            assert shape.element is not None
            return [least(shape.element)] * int(shape.minimum or 0)
        case "map":
            return {}
        case "string" if shape.enum is not None:
            return shape.enum[0]
        case "string":
            return MATCHING.get(shape.name, "text")
        case "integer" | "long":
            return int(shape.minimum or 0) or 3
        case "float" | "double":
            return 0.5
        case "boolean":
            return True
        case _:
            return b"bytes"


def each(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """For every member anywhere in a shape, and every value of an enum, a document that has it."""
    if shape.name == "GuardrailTraceAssessment":
        return  # kept whole, as a document; it has a test of its own
    if shape.is_document or shape.kind not in ("structure", "list", "map"):
        is_schema = path[-2:] == ("jsonSchema", "schema")
        for value in shape.enum or ('{"type":"object"}' if is_schema else least(shape),):
            yield ".".join(path), value
    elif shape.kind == "list":
        assert shape.element is not None
        yield from ((name, [value]) for name, value in each(shape.element, path))
    elif shape.kind == "map":
        assert shape.key is not None
        assert shape.value is not None
        yield from ((name, {least(shape.key): v}) for name, v in each(shape.value, path))
    else:
        if not shape.members:
            yield ".".join(path), {}
        for name, member in shape.members.items():
            others = {} if shape.is_union else least(shape)
            for label, value in each(member.shape, (*path, name)):
                yield label, others | {name: value}


def seen_by(shape_name: str, *, least_count: int) -> list[Any]:
    found = [
        pytest.param(document, id=label)
        for label, document in each(MODEL.shape(shape_name))
        if label != "modelId"
    ]
    assert len(found) >= least_count
    return found


@pytest.mark.parametrize("document", seen_by("ConverseStreamRequest", least_count=150))
def test_each_member_of_a_request_has_its_place(document: dict[str, Any]) -> None:
    _make_usable(document)
    request = SERVER.read_request(document, stream=True)
    written = reread(MODEL.shape("ConverseStreamRequest"), CLIENT.write_request(request))
    assert canonical(written) == canonical(document)
    assert unknown_parts(request) == []


@pytest.mark.parametrize("document", seen_by("ConverseResponse", least_count=100))
def test_each_member_of_an_answer_has_its_place(document: dict[str, Any]) -> None:
    _make_usable(document)
    answer = CLIENT.read_answer(msgspec.json.encode(document))
    written = reread(MODEL.shape("ConverseResponse"), SERVER.write_answer_body(answer))
    assert canonical(written) == canonical(document)
    assert unknown_parts(answer) == []


def _make_usable(document: dict[str, Any]) -> None:
    """A model for a request; counts that add up for an answer."""
    document.setdefault("modelId", "anthropic.claude")
    usage = document.get("usage")
    if usage is None:
        return
    del document["modelId"]
    counts = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    for name in ("cacheReadInputTokens", "cacheWriteInputTokens"):
        if usage.get(name) == 0:
            usage[name] = 7
    usage["totalTokens"] = sum(usage.get(name, 0) for name in counts)
