from typing import Any

import pytest

from craton.access.policy_conditions import Condition, Quantifier, compile_condition

KEY = "aws:Some"
ALL, ANY = Quantifier.ALL, Quantifier.ANY
NEGATED = [
    ("StringNotEquals", "a"),
    ("StringNotEqualsIgnoreCase", "a"),
    ("StringNotLike", "a"),
    ("NumericNotEquals", "1"),
    ("DateNotEquals", "2026-01-01"),
    ("NotIpAddress", "10.0.0.1"),
    ("ArnNotEquals", "arn:a:b:c:d:e"),
    ("ArnNotLike", "arn:a:b:c:d:e"),
]
PLAIN = [
    ("StringEquals", "a"),
    ("StringEqualsIgnoreCase", "a"),
    ("StringLike", "a"),
    ("NumericEquals", "1"),
    ("NumericLessThan", "1"),
    ("DateEquals", "2026-01-01"),
    ("DateGreaterThan", "2026-01-01"),
    ("Bool", "true"),
    ("BinaryEquals", "YQ=="),
    ("IpAddress", "10.0.0.1"),
    ("ArnEquals", "arn:a:b:c:d:e"),
    ("ArnLike", "arn:a:b:c:d:e"),
]


def holds(
    operator: str,
    wanted: str | list[str],
    value: Any = None,
    *,
    quantifier: Quantifier | None = None,
    if_exists: bool = False,
    **facts: Any,
) -> bool:
    texts = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    condition = Condition(operator, KEY, texts, quantifier, if_exists)
    found = {name.replace("_", ":"): fact for name, fact in facts.items()}
    if value is not None:
        found[KEY.lower()] = value
    return compile_condition(condition, variables=True).holds(found)


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "expected"),
    [
        ("StringEquals", "a*", "a*", True),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", "A", "a", False),
        ("StringEqualsIgnoreCase", "A", "a", True),
        ("StringLike", "a*", "ab", True),
        ("StringNotLike", "a*", "ab", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericEquals", "0.1", "0.10", True),
        ("NumericEquals", "9007199254740993", "9007199254740992", False),
        ("NumericLessThan", "10", "9.99", True),
        ("NumericLessThan", "10", "10", False),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "-1", "0", True),
        ("NumericGreaterThanEquals", "0", "-1", False),
        ("NumericEquals", "1", "one", False),
        ("NumericNotEquals", "1", "one", True),
        ("DateEquals", "2026-06-30T12:00:00Z", "2026-06-30T14:00:00+02:00", True),
        ("DateEquals", "1782820800", "2026-06-30T12:00:00Z", True),
        ("DateEquals", "2026-06-30", "2026-06-30T00:00:00Z", True),
        ("DateEquals", "2026-06", "2026-06-01", True),
        ("DateLessThan", "2026-06-30T12:00:00.5Z", "2026-06-30T12:00:00.4Z", True),
        ("DateGreaterThan", "2026-06-30T12:00:00Z", "2026-06-30T12:00:00Z", False),
        ("DateLessThan", "2026-06-30", "yesterday", False),
        ("Bool", "true", "TRUE", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "YWJj", "YWJj", True),
        ("BinaryEquals", "YWJj", "YWJk", False),
        ("IpAddress", "10.0.0.0/8", "10.255.0.1", True),
        ("IpAddress", "10.0.0.7/8", "10.1.1.1", True),
        ("IpAddress", "10.0.0.0/8", "11.0.0.1", False),
        ("IpAddress", "0.0.0.0/0", "10.200.0.1", True),
        ("IpAddress", "10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("IpAddress", "2001:db8::/32", "2001:DB8:1::", True),
        ("IpAddress", "::/0", "10.0.0.1", False),
        ("IpAddress", "10.0.0.0/8", "somewhere", False),
        ("NotIpAddress", "10.0.0.0/8", "2001:db8::1", True),
        ("NotIpAddress", "10.1.2.3", "2001:db8::1", True),
        ("NotIpAddress", "10.0.0.0/8", "10.0.0.1", False),
        ("ArnEquals", "arn:aws:x:*:1:*", "arn:aws:x:r:1:a/b", True),
        ("ArnLike", "arn:aws:x:*:1:*", "arn:aws:x:r:2:a/b", False),
        ("ArnLike", "*", "arn:aws:x:r:2:a/b", True),
        ("Null", "true", None, True),
        ("Null", "true", "a", False),
        ("Null", "false", "a", True),
        ("Null", "false", None, False),
        ("Null", "true", [], True),
    ],
)
def test_each_operator_compares_as_the_user_guide_says(
    operator: str, wanted: str, value: Any, expected: bool
) -> None:
    assert holds(operator, wanted, value) is expected


@pytest.mark.parametrize(("operator", "wanted"), PLAIN)
def test_without_the_key_a_plain_operator_fails(operator: str, wanted: str) -> None:
    assert not holds(operator, wanted)
    assert holds(operator, wanted, if_exists=True)


@pytest.mark.parametrize(("operator", "wanted"), NEGATED)
def test_without_the_key_a_negated_operator_holds(operator: str, wanted: str) -> None:
    assert holds(operator, wanted)
    assert holds(operator, wanted, if_exists=True)


def test_any_of_several_values_is_enough_and_a_negated_operator_forbids_all() -> None:
    assert holds("StringEquals", ["a", "b"], "b")
    assert not holds("StringNotEquals", ["a", "b"], "b")
    assert holds("StringNotEquals", ["a", "b"], "c")


def test_for_all_values_holds_if_every_value_passes_and_also_for_none() -> None:
    assert holds("StringEquals", ["a", "b"], ["a", "b", "a"], quantifier=ALL)
    assert not holds("StringEquals", ["a", "b"], ["a", "c"], quantifier=ALL)
    assert holds("StringEquals", "a", quantifier=ALL)
    assert holds("StringEquals", "a", [], quantifier=ALL)
    assert holds("StringNotEquals", "a", ["b", "c"], quantifier=ALL)
    assert holds("StringEquals", "a", "a", quantifier=ALL)


def test_for_any_value_holds_if_one_passes_and_never_for_none() -> None:
    assert holds("StringEquals", ["a", "b"], ["c", "b"], quantifier=ANY)
    assert not holds("StringEquals", "a", ["b"], quantifier=ANY)
    assert holds("StringNotEquals", "a", ["a", "b"], quantifier=ANY)
    for operator in ("StringEquals", "StringNotEquals"):
        for if_exists in (False, True):
            assert not holds(operator, "a", quantifier=ANY, if_exists=if_exists)


@pytest.mark.parametrize("operator", ["StringEquals", "StringNotEquals"])
def test_a_plain_operator_never_meets_a_key_of_several_values(operator: str) -> None:
    assert not holds(operator, "a", ["a", "b"])
    assert not holds(operator, "a", ["b"], if_exists=True)


def test_a_variable_without_a_value_equals_nothing_so_that_a_negated_operator_holds() -> None:
    """ "Policy variables with no value" in the IAM User Guide: a Deny must not be slipped past."""
    assert not holds("StringEquals", "${aws:PrincipalTag/team}", "blue")
    assert holds("StringNotEquals", "${aws:PrincipalTag/team}", "blue")
    team = {"aws_principaltag/team": "blue"}
    assert not holds("StringNotEquals", "${aws:PrincipalTag/team}", "blue", **team)


def test_keys_are_compared_in_any_case_and_told_in_lower_case() -> None:
    condition = Condition("StringEquals", "AWS:Some", ("${aws:UserName}",))
    compiled = compile_condition(condition, variables=True)
    assert compiled.keys == {"aws:some", "aws:username"}
    assert compiled.holds({"aws:some": "x", "aws:username": "x"})
