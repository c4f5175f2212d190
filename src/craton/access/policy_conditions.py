"""The `Condition` member of a statement: operators, and how they treat absent and many values.

The rules are those of "IAM JSON policy elements: Condition operators" and "Single-valued vs.
multivalued context keys" in the IAM User Guide:

- a condition holds if *any* of its values matches; a negated one (`…Not…`) if *none* does;
- without the key in the request, a negated condition holds and any other doesn't; with `…IfExists`
  every one holds;
- `ForAllValues:` holds if every value of the request passes (so also if there is none),
  `ForAnyValue:` if at least one does (so not if there is none, `…IfExists` or not);
- a key of several values is only met by these two, never by a plain operator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import assert_never

import msgspec

from craton.access import policy_values as values
from craton.access.policy_patterns import Facts, Patterns, Style, Value

Comparison = Callable[[values.Number, values.Number], bool]


class Family(StrEnum):
    """What an operator compares."""

    TEXT = "text"
    NUMBER = "a number"
    MOMENT = "a moment"
    BOOLEAN = "true or false"
    BINARY = "base64"
    ADDRESS = "an address"
    ARN = "an ARN"
    PRESENCE = "whether a key is there"


@dataclass(frozen=True, slots=True)
class Operator:
    """One condition operator, without its prefix and suffix."""

    family: Family
    is_negated: bool = False
    style: Style = Style.EXACT
    comparison: Comparison | None = None
    """How numbers and moments compare; None is equality."""


def _comparing(family: Family, word: str) -> dict[str, Operator]:
    return {
        f"{word}Equals": Operator(family),
        f"{word}NotEquals": Operator(family, is_negated=True),
        f"{word}LessThan": Operator(family, comparison=lt),
        f"{word}LessThanEquals": Operator(family, comparison=le),
        f"{word}GreaterThan": Operator(family, comparison=gt),
        f"{word}GreaterThanEquals": Operator(family, comparison=ge),
    }


def _matching(family: Family, pairs: Mapping[tuple[str, str], Style]) -> dict[str, Operator]:
    found: dict[str, Operator] = {}
    for (plain, negated), style in pairs.items():
        found[plain] = Operator(family, style=style)
        found[negated] = Operator(family, is_negated=True, style=style)
    return found


OPERATORS: Mapping[str, Operator] = {
    **_matching(
        Family.TEXT,
        {
            ("StringEquals", "StringNotEquals"): Style.EXACT,
            ("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"): Style.EXACT_ANY_CASE,
            ("StringLike", "StringNotLike"): Style.LIKE,
        },
    ),
    **_comparing(Family.NUMBER, "Numeric"),
    **_comparing(Family.MOMENT, "Date"),
    "Bool": Operator(Family.BOOLEAN),
    "BinaryEquals": Operator(Family.BINARY),
    "IpAddress": Operator(Family.ADDRESS),
    "NotIpAddress": Operator(Family.ADDRESS, is_negated=True),
    **_matching(
        Family.ARN,
        {("ArnEquals", "ArnNotEquals"): Style.ARN, ("ArnLike", "ArnNotLike"): Style.ARN},
    ),
    "Null": Operator(Family.PRESENCE),
}


class Quantifier(StrEnum):
    """How the several values of one key are treated."""

    ALL = "ForAllValues"
    ANY = "ForAnyValue"


class Condition(msgspec.Struct, frozen=True):
    """One line of a `Condition`: an operator, a key, and the values to compare with."""

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: Quantifier | None = None
    if_exists: bool = False


Test = Callable[[str, Facts], bool]
"""Whether a value of the request matches any of the policy's."""
Holds = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition ready to be asked; `keys` is every key of the request that it reads."""

    holds: Holds
    keys: frozenset[str]


def compile_condition(condition: Condition, *, variables: bool) -> Compiled:
    """Make a condition that `policy_document` accepted ready."""
    operator = OPERATORS[condition.operator]
    key = condition.key.lower()
    if operator.family is Family.PRESENCE:
        return Compiled(_presence(key, condition.values), frozenset({key}))
    test, keys = _test(operator, condition.values, variables=variables)
    # IfExists is about one value at a time, so it changes nothing for ForAnyValue without any.
    absent = (
        condition.if_exists or operator.is_negated
        if condition.quantifier is None
        else condition.quantifier is Quantifier.ALL
    )
    holds = _holds(key, test, condition.quantifier, passes=not operator.is_negated, absent=absent)
    return Compiled(holds, keys | {key})


def _holds(
    key: str, test: Test, quantifier: Quantifier | None, *, passes: bool, absent: bool
) -> Holds:
    """`passes` is what the test must say of a value; `absent` is the answer without the key."""

    def holds(facts: Facts) -> bool:
        value = facts.get(key)
        if value is None:
            return absent
        if isinstance(value, str):
            return test(value, facts) is passes
        return _holds_many(value, test, quantifier, facts, passes=passes)

    return holds


def _holds_many(
    many: Sequence[str], test: Test, quantifier: Quantifier | None, facts: Facts, *, passes: bool
) -> bool:
    match quantifier:
        case Quantifier.ALL:
            return all(test(value, facts) is passes for value in many)
        case Quantifier.ANY:
            return any(test(value, facts) is passes for value in many)
        case None:
            # An operator for one value says nothing of many, not even in the negative.
            return False
        case _:
            assert_never(quantifier)


def _presence(key: str, texts: Sequence[str]) -> Holds:
    wanted = {values.boolean(text) for text in texts}

    def holds(facts: Facts) -> bool:
        found: Value | None = facts.get(key)
        return (found is None or (not isinstance(found, str) and not found)) in wanted

    return holds


def _test(
    operator: Operator, texts: Sequence[str], *, variables: bool
) -> tuple[Test, frozenset[str]]:
    nothing = frozenset[str]()
    match operator.family:
        case Family.TEXT | Family.ARN:
            patterns = Patterns(texts, operator.style, variables=variables)
            return patterns.matches, patterns.keys
        case Family.NUMBER:
            return _ordered(values.number, operator, texts), nothing
        case Family.MOMENT:
            return _ordered(values.moment, operator, texts), nothing
        case Family.BOOLEAN:
            return _equal(values.boolean, texts), nothing
        case Family.BINARY:
            return _equal(values.binary, texts), nothing
        case Family.ADDRESS:
            return _within(texts), nothing
        case Family.PRESENCE:
            raise AssertionError("presence is asked of a key, not of its value")
        case _:
            assert_never(operator.family)


def _ordered(
    read: Callable[[str], values.Number | None], operator: Operator, texts: Sequence[str]
) -> Test:
    limits = [limit for limit in map(read, texts) if limit is not None]
    compare = operator.comparison

    def test(text: str, _: Facts) -> bool:
        value = read(text)
        if value is None:
            return False
        if compare is None:
            return value in limits
        return any(compare(value, limit) for limit in limits)

    return test


def _equal(read: Callable[[str], object], texts: Sequence[str]) -> Test:
    wanted = {read(text) for text in texts} - {None}
    return lambda text, _: read(text) in wanted


def _within(texts: Sequence[str]) -> Test:
    networks = [found for found in map(values.network, texts) if found is not None]

    def test(text: str, _: Facts) -> bool:
        found = values.address(text)
        if found is None:
            return False
        for network in networks:  # noqa: SIM110 - a generator costs more than the loop
            if network.holds(found):
                return True
        return False

    return test
