"""Texts that policies match against: wildcards, policy variables, and the parts of an ARN.

`*` stands for any run of characters and `?` for one. In an ARN neither crosses a colon before the
sixth part, so that `arn:aws:bedrock:*:*:x/*` can't be stretched over another service's ARN. A
variable (`${aws:username}`, with a default `${key, 'text'}`) becomes the request's value, taken
literally: a wildcard that a caller smuggled into it matches only itself. Sources: "IAM JSON policy
elements: Resource" and "Variables and tags" in the IAM User Guide.

Patterns become regular expressions whose work grows with the length of the text times that of the
pattern and no faster: each `*` but the last is atomic, as the leftmost match is always as good.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Protocol

import msgspec

Value = str | Sequence[str]


class Facts(Protocol):
    """What is known of a request: condition keys in lower case, and their values."""

    def get(self, key: str, /) -> Value | None:
        """The value of a key; None if the request has none."""
        ...


class Wild(Enum):
    """A wildcard."""

    ANY = "*"
    ONE = "?"


class Variable(msgspec.Struct, frozen=True):
    """A place for a value of the request. `key` is in lower case."""

    key: str
    default: str | None = None


Piece = str | Wild | Variable
Fixed = str | Wild


class Style(StrEnum):
    """How the texts of a list are compared."""

    EXACT = "exact"
    EXACT_ANY_CASE = "exact, in upper or lower case"
    LIKE = "with wildcards"
    LIKE_ANY_CASE = "with wildcards, in upper or lower case"
    ARN = "with wildcards, part by part"


_ANY_CASE = frozenset({Style.EXACT_ANY_CASE, Style.LIKE_ANY_CASE})
_LITERAL = frozenset({Style.EXACT, Style.EXACT_ANY_CASE})
_ESCAPED = frozenset("*?$")
ARN_PARTS = 6
_VARIABLE = re.compile(r"([^\s,'{}$*?]+:[^,'{}$*?]*[^\s,'{}$*?])\s*(?:,\s*'([^']*)'\s*)?")


def pieces_of(text: str, *, wildcards: bool, variables: bool) -> tuple[Piece, ...]:
    """A pattern's text as pieces; ValueError says what is wrong with a variable in it."""
    pieces: list[Piece] = []
    literal: list[str] = []

    def flush() -> None:
        if literal:
            pieces.append("".join(literal))
            literal.clear()

    at = 0
    while at < len(text):
        if variables and text.startswith("${", at):
            end = text.find("}", at)
            if end < 0:
                raise ValueError(f"{text[at : at + 40]!r} opens a variable and doesn't close it")
            inside, at = text[at + 2 : end], end + 1
            if inside in _ESCAPED:
                literal.append(inside)
                continue
            flush()
            pieces.append(_variable(inside))
        elif wildcards and text[at] in "*?":
            flush()
            wild = Wild(text[at])
            if wild is Wild.ONE or not pieces or pieces[-1] is not Wild.ANY:
                pieces.append(wild)
            at += 1
        else:
            literal.append(text[at])
            at += 1
    flush()
    return tuple(pieces)


def _variable(inside: str) -> Variable:
    match = _VARIABLE.fullmatch(inside)
    if match is None:
        raise ValueError(
            f"'${{{inside}}}' is no variable. Write ${{aws:username}} or "
            "${aws:PrincipalTag/team, 'nobody'}; ${*}, ${?} and ${$} stand for the character"
        )
    return Variable(match[1].lower(), match[2])


def completed_arn(text: str) -> str:
    """An ARN with `*` for each part it lacks, as IAM completes one."""
    missing = ARN_PARTS - 1 - text.count(":")
    return text + ":*" * missing if missing > 0 and "${" not in text else text


class Patterns:
    """A list of texts of one style; matches what any of them matches."""

    __slots__ = (
        "_any_case",
        "_arn",
        "_dynamic",
        "_exact",
        "_fullmatch",
        "_needed",
        "is_everything",
        "keys",
    )

    def __init__(self, texts: Iterable[str], style: Style, *, variables: bool) -> None:
        self._any_case = style in _ANY_CASE
        self._arn = style is Style.ARN
        exact: set[str] = set()
        wild: list[tuple[Fixed, ...]] = []
        dynamic: list[tuple[Piece, ...]] = []
        for text in texts:
            whole = completed_arn(text) if self._arn and text != "*" else text
            found = pieces_of(whole, wildcards=style not in _LITERAL, variables=variables)
            fixed = tuple([piece for piece in found if not isinstance(piece, Variable)])
            if len(fixed) != len(found):
                dynamic.append(found)
            elif any(isinstance(piece, Wild) for piece in fixed):
                wild.append(fixed)
            else:
                plain = "".join(str(piece) for piece in fixed)
                exact.add(plain.lower() if self._any_case else plain)
        self.is_everything = (Wild.ANY,) in wild
        self._exact = frozenset(exact)
        self._fullmatch: Callable[[str], object] | None = None
        if wild:
            self._fullmatch = _compiled(tuple(wild), self._arn, self._any_case)
        self._dynamic = tuple(dynamic)
        self.keys = frozenset(
            piece.key for pieces in dynamic for piece in pieces if isinstance(piece, Variable)
        )
        """Condition keys that its variables read."""
        self._needed = frozenset(
            piece.key
            for pieces in dynamic
            for piece in pieces
            if isinstance(piece, Variable) and piece.default is None
        )

    def matches(self, text: str, facts: Facts) -> bool:
        """Whether any of the texts matches; one with a variable that has no value doesn't."""
        if self.is_everything:
            return True
        if self._any_case:
            text = text.lower()
        if text in self._exact:
            return True
        if self._fullmatch is not None and self._fullmatch(text) is not None:
            return True
        for pieces in self._dynamic:  # noqa: SIM110 - a generator costs more than the loop
            if self._matches_dynamic(pieces, text, facts):
                return True
        return False

    def differs(self, text: str, facts: Facts) -> bool:
        """Whether none of the texts matches, and each variable in them has a value."""
        if self.matches(text, facts):
            return False
        return all(_has_value(key, facts) for key in self._needed)

    def _matches_dynamic(self, pieces: tuple[Piece, ...], text: str, facts: Facts) -> bool:
        fixed: list[Fixed] = []
        for piece in pieces:
            if not isinstance(piece, Variable):
                fixed.append(piece)
                continue
            value = facts.get(piece.key)
            if value is None:
                value = piece.default
            if not isinstance(value, str):  # no value; a key of many values is no text either
                return False
            fixed.append(value)
        return _compiled((tuple(fixed),), self._arn, self._any_case)(text) is not None


def _has_value(key: str, facts: Facts) -> bool:
    return isinstance(facts.get(key), str)


@lru_cache(maxsize=1024)
def _compiled(
    patterns: tuple[tuple[Fixed, ...], ...], arn: bool, any_case: bool
) -> Callable[[str], object]:
    text = "|".join([_expression(pieces, arn, any_case) for pieces in patterns])
    return re.compile(text, re.DOTALL).fullmatch


def _expression(pieces: Sequence[Fixed], arn: bool, any_case: bool) -> str:
    """A regular expression of one pattern."""
    stars = [place for place, piece in enumerate(pieces) if piece is Wild.ANY]
    last = stars[-1] if stars else -1
    out: list[str] = []
    colons = 0
    is_open = False
    for place, piece in enumerate(pieces):
        one = "[^:]" if arn and colons < ARN_PARTS - 1 else "."
        if piece is Wild.ANY:
            out.append(")" if is_open else "")
            is_open = place != last
            out.append(f"(?>{one}*?" if is_open else f"{one}*")
        elif piece is Wild.ONE:
            out.append(one)
        else:
            assert isinstance(piece, str), "a wildcard is one of two"
            out.append(re.escape(piece.lower() if any_case else piece))
            colons += piece.count(":")
    return "".join(out)
