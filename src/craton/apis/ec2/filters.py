"""The filters of EC2's Describe operations: names to values, with wildcards.

A thing passes if every filter has a value that fits. Names and values are compared as they are
written, upper and lower case apart; `*` stands for any run of characters, `?` for one, and a
backslash takes the meaning from the character after it. `tag:Key` asks for the tag of that key, and
`tag-key` for any tag of it. Source: "List and filter using the CLI and API" in the EC2 User Guide.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from craton.apis.aws.ec2_errors import ec2_error

VALUES_MAX = 200
"""EC2's own limit on the values of all filters of a request."""
TAG = "tag:"
TAG_KEY = "tag-key"

Field = str | bool | int | Iterable[str]
"""A field of a thing, or all of its values where it has several."""


class Wild(Enum):
    """A wildcard."""

    ANY = "*"
    ONE = "?"


Pattern = tuple[str | Wild, ...]
"""Single characters and wildcards, in order."""


class Filters:
    """What the caller of one request wants to see."""

    def __init__(
        self,
        given: Sequence[Mapping[str, Any]] | None,
        *,
        names: Collection[str],
        has_tags: bool = False,
    ) -> None:
        """Take the `Filters` of a request.

        `names` are those that the operation has; with `has_tags`, those of tags besides. Refuses
        an unknown name or one without values (InvalidParameterValue), and too many values
        (FilterLimitExceeded).
        """
        self._patterns: list[tuple[str, list[Pattern]]] = []
        count = 0
        for one in given or ():
            name: str | None = one.get("Name")
            values: list[str] = one.get("Values", [])
            is_tag = has_tags and name is not None and (name == TAG_KEY or name.startswith(TAG))
            if name is None or not (is_tag or name in names):
                shown = "null" if name is None else name[:100]
                raise ec2_error("InvalidParameterValue", f"The filter '{shown}' is invalid")
            if not values:
                raise ec2_error(
                    "InvalidParameterValue",
                    f"The filter '{name[:100]}' has no values. Give it at least one.",
                )
            count += len(values)
            if count > VALUES_MAX:
                raise ec2_error(
                    "FilterLimitExceeded",
                    "The maximum number of filter values specified on a single call is "
                    f"{VALUES_MAX}",
                )
            self._patterns.append((name, [pattern_of(value) for value in values]))

    def admit(self, fields: Mapping[str, Field], tags: Mapping[str, str] | None = None) -> bool:
        """Whether a thing passes; a field that it lacks passes no filter."""
        return all(
            any(
                fits(pattern, text) for text in _texts(name, fields, tags or {}) for pattern in some
            )
            for name, some in self._patterns
        )


def _texts(name: str, fields: Mapping[str, Field], tags: Mapping[str, str]) -> Iterable[str]:
    if name in fields:
        field = fields[name]
        if isinstance(field, bool):
            return ("true" if field else "false",)
        if isinstance(field, int):
            return (str(field),)
        return (field,) if isinstance(field, str) else field
    if name == TAG_KEY:
        return tags
    key = name.removeprefix(TAG)
    return (tags[key],) if name.startswith(TAG) and key in tags else ()


def pattern_of(text: str) -> Pattern:
    """The pattern that a filter's value is."""
    pieces: list[str | Wild] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            # At the very end there is nothing to take the meaning from: it is itself.
            pieces.append(next(characters, character))
        elif character == "*":
            if not pieces or pieces[-1] is not Wild.ANY:
                pieces.append(Wild.ANY)
        else:
            pieces.append(Wild.ONE if character == "?" else character)
    return tuple(pieces)


def fits(pattern: Pattern, text: str) -> bool:
    """Whether the whole of a text fits; the work is at most the product of both lengths."""
    at = place = 0
    star, resumed = -1, 0
    while at < len(text):
        piece = pattern[place] if place < len(pattern) else None
        if piece is Wild.ANY:
            star, resumed = place, at
            place += 1
        elif piece is Wild.ONE or piece == text[at]:
            at, place = at + 1, place + 1
        elif star >= 0:
            # The last run takes one character more; runs before it need never change.
            resumed += 1
            at, place = resumed, star + 1
        else:
            return False
    return all(piece is Wild.ANY for piece in pattern[place:])
