import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.access.policy_patterns import Patterns, Style, Value, pieces_of

MODEL = "arn:aws:bedrock:us-east-1::foundation-model/lab.m-1"
NOTHING: dict[str, Value] = {}


def matches(pattern: str, text: str, style: Style = Style.LIKE, **facts: Value) -> bool:
    found = {name.replace("_", ":"): value for name, value in facts.items()}
    return Patterns([pattern], style, variables=True).matches(text, found)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", ""),
        ("*", ""),
        ("*", "a:b/c\nd"),
        ("a*", "a"),
        ("a*c", "abcbc"),
        ("a*b*c", "aXbYbZc"),
        ("*aab", "aaab"),
        ("?", "x"),
        ("a?c*", "abcd"),
        ("*?", "a"),
        ("a.c", "a.c"),
        ("**", "x"),
        ("*a?b*", "xxaabyy"),
    ],
)
def test_wildcards_match_any_run_and_any_one_character(pattern: str, text: str) -> None:
    assert matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("a", "A"), ("?", ""), ("?", "xy"), ("a*c", "abcd"), ("a.c", "abc"), ("a*a", "a"), ("", "a")],
)
def test_what_differs_in_anything_else_does_not_match(pattern: str, text: str) -> None:
    assert not matches(pattern, text)


def naive(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return naive(pattern[1:], text) or (bool(text) and naive(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


@settings(max_examples=400, deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_wildcards_are_matched_as_by_the_definition(pattern: str, text: str) -> None:
    assert matches(pattern, text) == naive(pattern, text)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text("ab*?", max_size=3), min_size=6, max_size=6),
    st.lists(st.text("ab", max_size=4), min_size=6, max_size=6),
)
def test_an_arn_is_matched_part_by_part(patterns: list[str], parts: list[str]) -> None:
    found = matches(":".join(patterns), ":".join(parts), Style.ARN)
    if ":".join(patterns) == "*":
        return
    assert found == all(naive(p, t) for p, t in zip(patterns, parts, strict=True))


def test_a_wildcard_crosses_no_colon_before_the_sixth_part() -> None:
    assert not matches("arn:aws:*:1:*:m", "arn:aws:a:b:1:c:m", Style.ARN)
    assert not matches("arn:aws:a?b:1:c:m", "arn:aws:a:b:1:c:m", Style.ARN)
    assert matches("arn:aws:*:*:*:c:m", "arn:aws:a:b:1:c:m", Style.ARN)
    assert not matches("arn:aws:*:foundation-model/*", MODEL, Style.ARN)
    assert matches("arn:aws:sns:*:*:topic:*", "arn:aws:sns:r:1:topic:with:colons", Style.ARN)


def test_an_arn_that_lacks_parts_stands_for_all_that_begin_so() -> None:
    assert matches("arn:aws:bedrock", MODEL, Style.ARN)
    assert not matches("arn:aws:s3", MODEL, Style.ARN)


def test_only_a_star_matches_what_is_done_to_no_resource() -> None:
    assert matches("*", "*", Style.ARN)
    assert not matches("arn:*:*:*:*:*", "*", Style.ARN)


def test_many_wildcards_against_a_long_text_take_no_time_worth_naming() -> None:
    pattern = Patterns(["a*" * 30 + "b"], Style.LIKE, variables=False)
    begun = time.monotonic()
    assert not pattern.matches("a" * 20_000, NOTHING)
    assert time.monotonic() - begun < 1


def test_a_variable_becomes_the_requests_value_and_no_pattern() -> None:
    pattern = "arn:aws:x:::home/${aws:username}/*"
    assert matches(pattern, "arn:aws:x:::home/ann/a", Style.ARN, aws_username="ann")
    assert not matches(pattern, "arn:aws:x:::home/bob/a", Style.ARN, aws_username="*")
    assert matches(pattern, "arn:aws:x:::home/*/a", Style.ARN, aws_username="*")
    assert matches("${AWS:UserName}", "ann", aws_username="ann")


def test_a_variable_without_a_value_matches_nothing_unless_it_has_a_default() -> None:
    assert not matches("*${aws:username}*", "x")
    assert matches("${aws:username, 'guest'}", "guest")
    assert matches("${aws:username, 'guest'}", "ann", aws_username="ann")
    assert not matches("${aws:username, 'guest'}", "guest", aws_username="ann")
    assert not matches("${aws:TagKeys}", "a", aws_tagkeys=["a"])


def test_what_is_not_named_differs_only_if_every_variable_has_a_value() -> None:
    """IAM lets an element match no resource at all if a variable of it has no value."""
    patterns = Patterns(["arn:aws:x:::${aws:username}"], Style.ARN, variables=True)
    assert patterns.differs("arn:aws:x:::bob", {"aws:username": "ann"})
    assert not patterns.differs("arn:aws:x:::ann", {"aws:username": "ann"})
    assert not patterns.differs("arn:aws:x:::bob", {})


def test_an_empty_value_is_a_value() -> None:
    assert matches("a${aws:username}b", "ab", aws_username="")


@pytest.mark.parametrize("style", [Style.LIKE, Style.EXACT, Style.EXACT_ANY_CASE])
def test_an_escape_stands_for_its_character(style: Style) -> None:
    assert matches("a${*}b", "a*b", style)
    assert not matches("a${*}b", "axb", style)
    assert matches("${?}${$}", "?$", style)


def test_a_document_of_the_old_version_has_no_variables() -> None:
    old = Patterns(["${aws:username}"], Style.EXACT, variables=False)
    assert old.matches("${aws:username}", NOTHING)
    assert not old.matches("ann", {"aws:username": "ann"})


def test_case_counts_for_resources_and_not_for_actions() -> None:
    actions = Patterns(["Bedrock:INVOKE*"], Style.LIKE_ANY_CASE, variables=False)
    assert actions.matches("bedrock:InvokeModel", NOTHING)
    assert not matches(MODEL.upper(), MODEL, Style.ARN)


@pytest.mark.parametrize("text", ["${a:b", "${}", "${ab}", "${a:b,c}", "${a:b 'x'}"])
def test_what_is_no_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="variable"):
        pieces_of(text, wildcards=True, variables=True)
