import json
from typing import Any

import pytest

from craton.access.policy_document import CHARACTERS_MAX, Effect, read_document
from craton.kernel.errors import BadRequest

ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "bedrock:*", "Resource": "*"}


def written(*statements: dict[str, Any], **members: Any) -> str:
    listed = list(statements)
    return json.dumps({"Version": "2012-10-17", "Statement": listed, **members})


def refusal(text: str) -> str:
    with pytest.raises(BadRequest) as caught:
        read_document(text)
    return caught.value.message


def conditioned(operator: str, lines: Any) -> str:
    return written({**ALLOW, "Condition": {operator: lines}})


def test_a_document_is_read_with_every_member_it_may_have() -> None:
    text = written(
        {
            "Sid": "Some",
            "Effect": "Deny",
            "NotAction": ["bedrock:Invoke*"],
            "NotResource": "arn:aws:bedrock:*::foundation-model/*",
            "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a", "b"]}},
        },
        Id="mine",
    )
    document = read_document(text)
    assert (document.id, document.has_variables) == ("mine", True)
    (statement,) = document.statements
    assert (statement.sid, statement.effect) == ("Some", Effect.DENY)
    assert (statement.actions, statement.is_not_action) == (("bedrock:Invoke*",), True)
    assert statement.is_not_resource
    (condition,) = statement.conditions
    assert (condition.operator, condition.quantifier, condition.if_exists) == (
        "StringLike",
        "ForAnyValue",
        True,
    )
    assert condition.values == ("a", "b")


def test_a_lone_statement_needs_no_list_and_a_document_no_version() -> None:
    document = read_document(json.dumps({"Statement": ALLOW}))
    assert len(document.statements) == 1
    assert not document.has_variables


def test_numbers_and_truths_may_stand_for_their_texts() -> None:
    document = read_document(
        written(
            {
                **ALLOW,
                "Condition": {
                    "Bool": {"aws:SecureTransport": True},
                    "NumericLessThan": {"x:Count": [1, 2.5]},
                },
            }
        )
    )
    assert [c.values for c in document.statements[0].conditions] == [("true",), ("1", "2.5")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["not valid JSON"]),
        ("[]", ["JSON object"]),
        ('{"Statement": {}, "Statement": {}}', ["'Statement'", "twice"]),
        ('{"Statement": NaN}', ["NaN"]),
        ('{"Id": "\\ud800", "Statement": {}}', ["half a character"]),
        ("[" * 50_000, ["nested too deeply"]),
        (written(ALLOW, Version="2020-01-01"), ["Version", "2012-10-17", "not yours"]),
        (written(ALLOW, Id=3), ["Id", "text"]),
        (written(ALLOW, Statements=[]), ["'Statements'", "Did you mean 'Statement'?"]),
        ('{"Version": "2012-10-17"}', ['no "Statement"']),
        (written(), ['no "Statement"']),
        (written({**ALLOW, "Sid": "a"}, {**ALLOW, "Sid": "a"}), ["Two statements", "'a'"]),
        (written(ALLOW, "x"), ["Statement 2", "object"]),  # type: ignore[arg-type]
        (written({**ALLOW, "Sid": "no spaces"}), ["Statement 1", "letters and digits"]),
        (
            written(ALLOW, {**ALLOW, "Sid": "Two", "Effect": "allow"}),
            ["Statement 2 (Two)", "Allow"],
        ),
        (written({**ALLOW, "Principal": "*"}), ["Statement 1", "Principal", "Leave it out"]),
        (written({**ALLOW, "Actions": "*"}), ["'Actions'", "Did you mean 'Action'?"]),
        (written({**ALLOW, "NotAction": "*"}), ["both", "NotAction"]),
        (written({"Effect": "Allow", "Action": "*"}), ["neither", "Resource"]),
        (written({**ALLOW, "Action": []}), ["empty list"]),
        (written({**ALLOW, "Action": [1]}), ["Action", "1"]),
        (written({**ALLOW, "Action": "InvokeModel"}), ["service:Operation", "'InvokeModel'"]),
        (written({**ALLOW, "Action": "bed*:Invoke"}), ["service:Operation"]),
        (written({**ALLOW, "Resource": "my-model"}), ["Resource", "ARN", "'my-model'"]),
        (written({**ALLOW, "Resource": "arn:aws:x:::${aws:username"}), ["doesn't close"]),
        (written({**ALLOW, "Resource": "arn:aws:x:::${}"}), ["is no variable"]),
        (written({**ALLOW, "Condition": []}), ["Condition", "operators"]),
        (conditioned("StringEqual", {"a:b": "c"}), ["'StringEqual'", "StringEquals?"]),
        (conditioned("Sometimes", {"a:b": "c"}), ["'Sometimes'", "BinaryEquals"]),
        (conditioned("ForSome:StringEquals", {"a:b": "c"}), ["ForSome", "ForAllValues"]),
        (conditioned("NullIfExists", {"a:b": "true"}), ["Null takes no"]),
        (conditioned("StringEquals", {}), ["StringEquals", "keys"]),
        (conditioned("StringEquals", {"nothing": "c"}), ["'nothing'", "prefix"]),
        (conditioned("StringEquals", {"a:b": []}), ["a:b", "empty list"]),
        (conditioned("StringEquals", {"a:b": {}}), ["a:b", "{}"]),
        (conditioned("StringEquals", {"a:b": "${x}"}), ["a:b", "no variable"]),
        (conditioned("NumericEquals", {"a:b": "many"}), ["'many'", "a number"]),
        (conditioned("DateLessThan", {"a:b": "tomorrow"}), ["'tomorrow'", "a moment"]),
        (conditioned("DateLessThan", {"a:b": "2026"}), ["'2026'", "a moment"]),
        (conditioned("DateLessThan", {"a:b": "2026-02-30"}), ["'2026-02-30'"]),
        (conditioned("Bool", {"a:b": "yes"}), ["'yes'", "true or false"]),
        (conditioned("Null", {"a:b": "no"}), ["'no'", "absent"]),
        (conditioned("BinaryEquals", {"a:b": "&"}), ["'&'", "base64"]),
        (conditioned("IpAddress", {"a:b": "10.0.0.0/40"}), ["'10.0.0.0/40'", "an address"]),
        (conditioned("ArnLike", {"a:b": "bedrock"}), ["'bedrock'", "no ARN"]),
    ],
)
def test_a_bad_document_is_told_which_statement_which_member_and_what_to_write(
    text: str, words: list[str]
) -> None:
    message = refusal(text)
    assert [word for word in words if word not in message] == [], message


def test_white_space_does_not_count_towards_the_limit_and_the_rest_does() -> None:
    resource = "arn:aws:bedrock:*::foundation-model/" + "m" * (CHARACTERS_MAX - 130)
    text = written({**ALLOW, "Resource": resource})
    assert read_document(text.replace(",", "," + " " * 1000)) == read_document(text)
    message = refusal(written({**ALLOW, "Resource": [resource, resource[:300]]}))
    assert str(CHARACTERS_MAX) in message


@pytest.mark.parametrize("depth", [100, 900, 990, 2000, 20_000])
def test_a_condition_nested_past_any_sense_is_refused(depth: int) -> None:
    nested = '{"a:b":' * depth + '"c"' + "}" * depth
    text = written({**ALLOW, "Condition": "HERE"}).replace('"HERE"', nested)
    if len(text) > 65_536:
        text = "[" * 60_000
    refusal(text)


def test_an_endless_text_is_refused_before_it_is_read() -> None:
    assert "65536" in refusal(" " * 70_000)
