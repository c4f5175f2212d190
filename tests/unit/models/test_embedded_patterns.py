"""Patterns as automata: never wider than the expression, and rarely narrower."""

import random
import re

import pytest

from craton.models.engines.embedded.grammar_automaton import (
    TooManyStates,
    intersection,
    of_lengths,
    of_words,
    without_words,
)
from craton.models.engines.embedded.grammar_formats import FORMATS
from craton.models.engines.embedded.grammar_patterns import BadPattern, of_pattern

LETTERS = "abcdefoxZ0129 ,-.@_#{}é\x1c\n"
EXPRESSIONS = [
    r"^[a-z]+$",
    r"a|b",
    r"^(a|b){2,3}$",
    r"(^|\s)foo($|,)",
    r"^\d{2}-\d{2}$",
    r"[^\d\s]x",
    r"^(?:[a-c]x?)*$",
    r"^$",
    r"",
    r"^a{0}b$",
    r"^\W\S\D$",
    r"^[\w.-]+@[\w-]+\.[a-z]{2,}$",
    r"a{3,}?",
    r"^(?<name>ab|cd)?e*$",
    r"^[^a-c\-]\x61\u0062$",
    r"^\{\}|\#$",
    r"^a.c$",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_whatever_is_accepted_matches(expression: str) -> None:
    automaton = of_pattern(expression)
    python = re.compile(expression.replace("(?<", "(?P<"))
    rnd = random.Random(expression)
    for _ in range(1500):
        text = "".join(rnd.choice(LETTERS) for _ in range(rnd.randint(0, 6)))
        if automaton.accepts(text):
            assert python.search(text), text
        elif text.isascii() and text.isprintable():
            assert not python.search(text), text


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (r"(?=a)", "look-around"),
        (r"(?<!a)b", "look-around"),
        (r"(a)\1", "back reference"),
        (r"\bword\b", "word boundary"),
        (r"\p{L}", "Unicode property"),
        (r"(a", "not closed"),
        (r"a)", "none opened"),
        (r"[a", "not closed"),
        (r"*a", "nothing to repeat"),
        (r"a**", "nothing to repeat"),
        (r"a{2,1}", "out of order"),
        (r"a{,3}", "begins no count"),
        (r"[b-a]", "out of order"),
        ("a\\", "backslash"),
        (r"a{9999}", "over 2000"),
        (r"\ud800", "names no character"),
    ],
)
def test_what_cant_be_served_is_told(expression: str, reason: str) -> None:
    with pytest.raises(BadPattern, match=re.escape(reason)):
        of_pattern(expression)


def test_an_automaton_too_large_is_refused() -> None:
    with pytest.raises(TooManyStates):
        of_pattern(r"(a|b)*a(a|b){18}")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_strings(name: str) -> None:
    assert not of_pattern(FORMATS[name]).is_empty


def test_sets_of_words_and_lengths_combine() -> None:
    words = of_words(["a", "ab", "abc", "é", ""])
    assert [w for w in ("", "a", "ab", "abc", "abcd", "b", "é") if words.accepts(w)] == [
        "",
        "a",
        "ab",
        "abc",
        "é",
    ]
    others = without_words(["a", "abc"])
    assert [w for w in ("", "a", "ab", "abc", "abcd") if others.accepts(w)] == ["", "ab", "abcd"]
    short = intersection(others, of_lengths(1, 2))
    assert [w for w in ("", "a", "ab", "abcd") if short.accepts(w)] == ["ab"]
    assert intersection(of_words(["a"]), of_lengths(2, 3)).is_empty
