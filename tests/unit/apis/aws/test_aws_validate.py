"""Input against its model: AWS's words, all violations, and no way to hang the server."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.apis.aws.model import Models
from craton.apis.aws.parse import parse
from craton.apis.aws.patterns import _SAFE, compiled, matches
from craton.kernel.errors import BadRequest

MODELS = Models()
CONVERSE = MODELS.operation("bedrock-runtime", "Converse")


def read(
    body: Any, *, model: str = "m", keep_unknown: bool = False, operation: Any = CONVERSE
) -> dict[str, Any]:
    return parse(
        operation,
        labels={"modelId": model},
        raw_query=b"",
        headers={},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        keep_unknown=keep_unknown,
    )


def refusal(body: Any, **options: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(body, **options)
    return caught.value


def user(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


IMAGE_BYTES = "messages.1.member.content.1.member.image.source.bytes"
METADATA = r"[a-zA-Z0-9\s:_@$#=/+,-.]{0,256}"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {"inferenceConfig": {"temperature": 1.5}},
            [
                (
                    "Value at 'inferenceConfig.temperature'",
                    "Member must have value less than or equal to 1",
                )
            ],
        ),
        (
            {"inferenceConfig": {"maxTokens": 0}},
            [
                (
                    "Value at 'inferenceConfig.maxTokens'",
                    "Member must have value greater than or equal to 1",
                )
            ],
        ),
        (
            {"messages": [{"role": "boss"}]},
            [
                ("Value at 'messages.1.member.content'", "Member must not be null"),
                (
                    "Value 'boss' at 'messages.1.member.role'",
                    "Member must satisfy enum value set: [assistant, system, user]",
                ),
            ],
        ),
        (
            {"toolConfig": {"tools": []}},
            [
                (
                    "Value at 'toolConfig.tools'",
                    "Member must have length greater than or equal to 1",
                )
            ],
        ),
        (
            {"requestMetadata": {"a": "é"}},
            [
                (
                    "Value 'é' at 'requestMetadata.a'",
                    f"Member must satisfy regular expression pattern: {METADATA}",
                )
            ],
        ),
        (
            user({"image": {"format": "png", "source": {"bytes": ""}}}),
            [(f"Value at '{IMAGE_BYTES}'", "Member must have length greater than or equal to 1")],
        ),
        (
            {"messages": [None]},
            [("Value at 'messages.1.member'", "Member must not be null")],
        ),
    ],
)
def test_violations_are_told_in_awss_words(body: Any, told: list[tuple[str, str]]) -> None:
    error = refusal(body)
    noun = "error" if len(told) == 1 else "errors"
    parts = [f"{value} failed to satisfy constraint: {constraint}" for value, constraint in told]
    assert error.message == f"{len(told)} validation {noun} detected: {'; '.join(parts)}"
    assert error.code is None


@pytest.mark.parametrize("block", [{}, {"text": "a", "toolUse": {}}, {"unknown": 1}])
def test_a_union_must_have_exactly_one_member(block: dict[str, Any]) -> None:
    error = refusal(user(block))
    assert "exactly one of its members" in error.message or "must not be null" in error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"inferenceConfig": {"maxTokens": "5"}},
            "STRING_VALUE can not be converted to an Integer (at 'inferenceConfig.maxTokens')",
        ),
        ({"inferenceConfig": {"maxTokens": True}}, "TRUE_VALUE can not be converted to an Integer"),
        ({"inferenceConfig": {"maxTokens": 1.5}}, "NUMBER_VALUE can not be converted"),
        ({"inferenceConfig": {"maxTokens": 2**31}}, "out of the range of an Integer"),
        ({"inferenceConfig": {"temperature": "hot"}}, "STRING_VALUE can not be converted to a F"),
        ({"inferenceConfig": {"temperature": 10**400}}, "can not|out of the range|not JSON"),
        (user({"text": 5}), "NUMBER_VALUE can not be converted to a String"),
        (user({"text": ["a"]}), "Start of list found where not expected"),
        (user({"text": {}}), "Start of structure or map found where not expected"),
        ({"messages": {}}, "Start of structure or map found where not expected"),
        ({"messages": "a"}, "Expected list or null"),
        ({"messages": ["a"]}, "Expected structure or null"),
        ({"requestMetadata": []}, "Start of list found where not expected"),
        (user({"image": {"format": "png", "source": {"bytes": "*"}}}), "not base64"),
        ([], "Start of list found where not expected"),
        (b"{", "The body is not JSON"),
        (b"\xff", "The body is not"),
        (b'{"messages": NaN}', "The body is not JSON"),
        (b"[" * 100_000, "not JSON|nests too deep"),
        ({"additionalModelRequestFields": {"n": 2**70}}, "out of the range of 64 bits"),
    ],
)
def test_what_is_not_of_its_type_is_a_serialization_error(body: Any, message: str) -> None:
    error = refusal(body)
    assert error.code == "SerializationException"
    assert any(part in error.message for part in message.split("|")), error.message


def test_free_form_values_may_nest_to_a_limit() -> None:
    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1

    read({"additionalModelRequestFields": nested(99)})
    assert "nests deeper" in refusal({"additionalModelRequestFields": nested(150)}).message


def test_a_not_a_number_is_out_of_every_range() -> None:
    message = refusal({"inferenceConfig": {"temperature": "NaN"}}).message
    assert "greater than or equal to 0" in message
    assert "less than or equal to 1" in message


def test_null_means_absent_and_unknown_members_are_ignored() -> None:
    body = {"system": None, "tomorrow": {"a": 1}, "inferenceConfig": {"maxTokens": 5.0, "x": 1}}
    assert read(body) == {"modelId": "m", "inferenceConfig": {"maxTokens": 5}}


def test_unknown_members_are_kept_where_asked() -> None:
    body = {"tomorrow": {"a": 1}, **user({"newBlock": {"b": 2}})}
    document = read(body, keep_unknown=True)
    assert document == {"modelId": "m", **body}


def test_a_member_of_the_path_is_not_taken_from_the_body() -> None:
    assert read({"modelId": "other"}, keep_unknown=True) == {"modelId": "m"}


def test_an_empty_body_is_an_empty_document() -> None:
    assert read(b"") == {"modelId": "m"}


def test_many_violations_are_all_counted_and_some_told() -> None:
    message = refusal({"messages": [{"role": "user"}] * 500}).message
    assert message.startswith("500 validation errors detected: ")
    assert message.endswith("; and 480 more")


def test_the_length_is_checked_before_the_pattern() -> None:
    message = refusal({}, model="!" * 3000).message
    assert "length less than or equal to 2048" in message
    assert "pattern" not in message


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_body_causes_anything_but_a_refusal(body: bytes) -> None:
    try:
        read(body)
    except BadRequest as error:
        assert error.message  # noqa: PT017 - either way is right; another exception isn't


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "text", "image", "source", "json"])
            | st.text(max_size=2),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(body=st.dictionaries(st.sampled_from(sorted(CONVERSE.input.members)), JSON, max_size=4))
def test_no_document_causes_anything_but_a_refusal(body: dict[str, Any]) -> None:
    try:
        read(json.dumps(body, allow_nan=False).encode() if _is_json(body) else b"{}")
    except BadRequest as error:
        assert error.message  # noqa: PT017 - either way is right; another exception isn't


def _is_json(body: Any) -> bool:
    try:
        json.dumps(body, allow_nan=False)
    except ValueError:
        return False
    return True


# --- patterns -----------------------------------------------------------------------------------

UNITS = ["a", "A", "0", "-", ".", ":", "/", "_", " ", "a-", "a.", "0-", "a_", "aA0", "a:", "\n"]
STARTS = ["", "arn:aws:bedrock:us-east-1:123456789012:", "s3://", "https://"]


def patterns_of(service: str) -> dict[str, int]:
    """Every pattern of a service, and the longest text it is tried on."""
    return {
        shape.pattern: min(int(shape.max or 20_000), 20_000)
        for shape in MODELS.service(service)._source.shapes.values()
        if shape.pattern is not None
    }


@pytest.mark.parametrize("service", ["bedrock-runtime", "bedrock", "sts"])
def test_no_pattern_takes_long_on_hostile_text(service: str) -> None:
    for pattern, longest in patterns_of(service).items():
        expression = compiled(pattern)
        for length in (30, min(longest, 60), longest):
            for start in STARTS:
                for unit in UNITS:
                    text = (start + unit * length)[: max(length - 1, 1)] + "\x00"
                    began = time.process_time()
                    expression.fullmatch(text)
                    taken_s = time.process_time() - began
                    assert taken_s < 0.1, (pattern, start, unit, length)


@given(text=st.text(st.sampled_from("aZ0-+. /"), max_size=9))
def test_a_pattern_made_safe_means_the_same(text: str) -> None:
    import re

    for dangerous, safe in _SAFE.items():
        for whole in ("[a-zA-Z0-9]{part}*", "{part}*", "x|([a-zA-Z0-9]{part}*)"):
            before = re.compile(whole.replace("{part}", dangerous))
            after = re.compile(whole.replace("{part}", safe))
            assert bool(before.fullmatch(text)) == bool(after.fullmatch(text))


def test_the_patterns_made_safe_are_still_in_the_models() -> None:
    known = patterns_of("bedrock")
    for dangerous in _SAFE:
        assert any(dangerous in pattern for pattern in known)


def test_properties_of_unicode_are_understood() -> None:
    name = r"\p{L}[\p{L}\p{M}0-9_]*( [\p{L}\p{M}0-9_]+)*"
    assert matches(name, "Größe eins")
    assert matches(name, "変数_1")
    assert not matches(name, "1abc")
    assert matches(r"[^\p{C}]*", "plain text")
    assert not matches(r"[^\p{C}]*", "bell\x07")
