"""Filters as EC2 has them: every filter must have a value that fits."""

import fnmatch
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.apis.ec2.filters import VALUES_MAX, Filters, fits, pattern_of
from craton.kernel.errors import BadRequest

FIELDS: dict[str, Any] = {
    "state": "active",
    "instance-type": "p5.48xlarge",
    "is-default": True,
    "total": 16,
    "owner": ["111111111111", "222222222222"],
}
TAGS = {"Team": "red", "Cost Center": "a*b"}
NAMES = (*FIELDS, "start-date")


def passes(*given: tuple[str, list[str]]) -> bool:
    filters = Filters(
        [{"Name": name, "Values": values} for name, values in given], names=NAMES, has_tags=True
    )
    return filters.admit(FIELDS, TAGS)


@pytest.mark.parametrize(
    ("name", "values", "admitted"),
    [
        ("state", ["active"], True),
        ("state", ["failed", "active"], True),
        ("state", ["Active"], False),
        ("state", ["act*"], True),
        ("state", ["a?tive"], True),
        ("state", ["?"], False),
        ("state", ["*"], True),
        ("state", [""], False),
        ("instance-type", ["p5.*large"], True),
        ("instance-type", ["p5x48xlarge"], False),
        ("is-default", ["true"], True),
        ("is-default", ["false"], False),
        ("total", ["16"], True),
        ("owner", ["2*"], True),
        ("owner", ["3*"], False),
        ("start-date", ["*"], False),
        ("tag:Team", ["red", "blue"], True),
        ("tag:team", ["red"], False),
        ("tag:Cost Center", [r"a\*b"], True),
        ("tag:Cost Center", [r"a\*\*b"], False),
        ("tag-key", ["Te*"], True),
        ("tag-key", ["te*"], False),
    ],
)
def test_a_value_fits_or_does_not(name: str, values: list[str], admitted: bool) -> None:
    assert passes((name, values)) is admitted


def test_every_filter_must_fit() -> None:
    assert passes(("state", ["active"]), ("total", ["16"]))
    assert not passes(("state", ["active"]), ("total", ["17"]))
    assert not passes(("state", ["active"]), ("state", ["failed"]))


@pytest.mark.parametrize("given", [None, []])
def test_without_filters_everything_passes(given: list[dict[str, Any]] | None) -> None:
    assert Filters(given, names=NAMES).admit({})


@pytest.mark.parametrize(
    ("given", "code", "named"),
    [
        ({"Name": "colour", "Values": ["a"]}, "InvalidParameterValue", "'colour' is invalid"),
        ({"Name": "State", "Values": ["a"]}, "InvalidParameterValue", "'State' is invalid"),
        ({"Values": ["a"]}, "InvalidParameterValue", "'null' is invalid"),
        ({"Name": "state"}, "InvalidParameterValue", "'state' has no values"),
        ({"Name": "tag:a", "Values": ["a"]}, "InvalidParameterValue", "'tag:a' is invalid"),
        ({"Name": "state", "Values": ["a"] * (VALUES_MAX + 1)}, "FilterLimitExceeded", "200"),
    ],
)
def test_a_filter_that_the_operation_lacks_is_refused(
    given: dict[str, Any], code: str, named: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        Filters([given], names=NAMES)
    assert caught.value.code == code
    assert named in caught.value.message


@given(st.text(st.sampled_from("ab*?"), max_size=8), st.text(st.sampled_from("ab"), max_size=8))
def test_wildcards_are_those_of_a_shell(pattern: str, text: str) -> None:
    assert fits(pattern_of(pattern), text) is fnmatch.fnmatchcase(text, pattern)


@given(st.text(st.sampled_from("ab*?\\"), max_size=8))
def test_an_escaped_text_fits_itself_alone(text: str) -> None:
    escaped = "".join("\\" + character for character in text)
    assert fits(pattern_of(escaped), text)
    assert not fits(pattern_of(escaped), text + "a")


def test_many_wildcards_cost_little() -> None:
    started = time.process_time()
    assert not fits(pattern_of("*a" * 500 + "b"), "a" * 2_000)
    assert time.process_time() - started < 1.0
