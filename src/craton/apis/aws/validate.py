"""The constraints of a shape, with AWS's words for what breaks them.

One function for both directions: clients' input is validated here before anything sees it (SDKs
check minimums and required members only), and the tests hold our own answers to the same model.
"""

from collections.abc import Callable, Sized
from datetime import datetime
from typing import Any, NamedTuple

from craton.apis.aws.coerce import Path, path_text
from craton.apis.aws.model import Shape
from craton.apis.aws.patterns import matches
from craton.kernel.errors import BadRequest

TOLD_MAX = 20
"""How many violations a message spells out; the others are counted."""
SHOWN_CHARACTERS_MAX = 128
PATTERN_CHARACTERS_MAX = 20_000
"""The longest text that a pattern without a maximum is tried on."""
NOT_NULL = "Member must not be null"
_ANYTHING = r"[\s\S]*"


class Violation(NamedTuple):
    """One constraint that a value breaks."""

    path: Path
    constraint: str
    value: str | None
    """The value, where it may be shown."""


class Violations:
    """Collects what breaks a constraint; counts all and keeps the first few.

    `is_typed`: the values are known to be of their shapes' types, as those are that `coerce` made.
    """

    def __init__(self, *, is_typed: bool) -> None:
        self.is_typed = is_typed
        self.count = 0
        self.told: list[str] = []
        self.first: Violation | None = None

    def add(self, path: Path, constraint: str, value: str | None = None) -> None:
        """Note one violation; `value` is shown where it may be."""
        self.count += 1
        if self.first is None:
            self.first = Violation(path, constraint, value)
        if self.count <= TOLD_MAX:
            shown = "Value" if value is None else f"Value '{value}'"
            self.told.append(
                f"{shown} at '{path_text(path)}' failed to satisfy constraint: {constraint}"
            )

    def message(self) -> str:
        """All of it, as AWS says it."""
        noun = "error" if self.count == 1 else "errors"
        more = self.count - len(self.told)
        tail = f"; and {more} more" if more else ""
        return f"{self.count} validation {noun} detected: {'; '.join(self.told)}{tail}"


def validate(shape: Shape, value: object) -> None:
    """Raise BadRequest (a ValidationException) that names every violation of a coerced value."""
    found = Violations(is_typed=True)
    _check(shape, value, (), found)
    if found.count:
        raise BadRequest(found.message())


def first_violation(shape: Shape, value: object) -> Violation | None:
    """The first constraint that a coerced value breaks, for services that tell of one only."""
    found = Violations(is_typed=True)
    _check(shape, value, (), found)
    return found.first


def violations(shape: Shape, value: object) -> list[str]:
    """What breaks the model, types included; empty for a document that fits."""
    found = Violations(is_typed=False)
    _check(shape, value, (), found)
    return found.told


def _check(shape: Shape, value: Any, path: Path, found: Violations) -> None:  # noqa: ANN401 - of any type
    if found.is_typed:
        if not shape.is_plain:
            _CHECKERS[shape.kind](shape, value, path, found)
        return
    if shape.is_document:
        return
    types, check = _CHECKS[shape.kind]
    if not isinstance(value, types) or (isinstance(value, bool) and shape.kind != "boolean"):
        found.add(path, f"Member must be of type {shape.kind}, not {type(value).__name__}")
    elif check is not None:
        check(shape, value, path, found)


def _structure(shape: Shape, value: dict[str, Any], path: Path, found: Violations) -> None:
    for name in shape.required:
        if name not in value:
            found.add((path, name), NOT_NULL)
    if shape.is_union and len(value) != 1:
        names = ", ".join(sorted(shape.members))
        found.add(path, f"Member must have exactly one of its members set: [{names}]")
    members = shape.members
    for name, item in value.items():
        member = members.get(name)
        if member is not None and not (found.is_typed and member.shape.is_plain):
            _check(member.shape, item, (path, name), found)


def _list(shape: Shape, value: list[Any], path: Path, found: Violations) -> None:
    _check_length(shape, value, path, found)
    element = shape.element
    assert element is not None
    for index, item in enumerate(value):
        if item is None:
            found.add((path, index), NOT_NULL)
        else:
            _check(element, item, (path, index), found)


def _map(shape: Shape, value: dict[str, Any], path: Path, found: Violations) -> None:
    _check_length(shape, value, path, found)
    assert shape.key is not None
    assert shape.value is not None
    for key, item in value.items():
        _check(shape.key, key, (path, key[:SHOWN_CHARACTERS_MAX]), found)
        _check(shape.value, item, (path, key[:SHOWN_CHARACTERS_MAX]), found)


def _string(shape: Shape, value: str, path: Path, found: Violations) -> None:
    if shape.minimum is not None or shape.maximum is not None:
        _check_length(shape, value, path, found)
    if shape.enum is not None and value not in shape.enum:
        names = ", ".join(sorted(shape.enum))
        found.add(path, f"Member must satisfy enum value set: [{names}]", _shown(shape, value))
    if shape.pattern is not None and shape.pattern != _ANYTHING:
        _check_pattern(shape, shape.pattern, value, path, found)


def _check_pattern(shape: Shape, pattern: str, value: str, path: Path, found: Violations) -> None:
    # The length comes first: patterns are tried on texts of a bounded length only.
    if shape.maximum is not None and len(value) > shape.maximum:
        return
    if len(value) > PATTERN_CHARACTERS_MAX:
        found.add(path, f"Member must have length less than or equal to {PATTERN_CHARACTERS_MAX}")
    elif not matches(pattern, value):
        constraint = f"Member must satisfy regular expression pattern: {pattern}"
        found.add(path, constraint, _shown(shape, value))


def _shown(shape: Shape, value: str) -> str | None:
    short = len(value) <= SHOWN_CHARACTERS_MAX and value.isprintable()
    return value if short and not shape.is_sensitive else None


def _check_length(shape: Shape, value: Sized, path: Path, found: Violations) -> None:
    if shape.minimum is not None and len(value) < shape.minimum:
        found.add(path, f"Member must have length greater than or equal to {shape.minimum}")
    if shape.maximum is not None and len(value) > shape.maximum:
        found.add(path, f"Member must have length less than or equal to {shape.maximum}")


def _number(shape: Shape, value: float, path: Path, found: Violations) -> None:
    # Said so that a NaN, which is neither below nor above anything, breaks both.
    if shape.minimum is not None and not value >= shape.minimum:
        found.add(path, f"Member must have value greater than or equal to {shape.minimum}")
    if shape.maximum is not None and not value <= shape.maximum:
        found.add(path, f"Member must have value less than or equal to {shape.maximum}")


_Check = Callable[[Shape, Any, Path, Violations], None]
_CHECKS: dict[str, tuple[type | tuple[type, ...], _Check | None]] = {
    "structure": (dict, _structure),
    "list": (list, _list),
    "map": (dict, _map),
    "string": (str, _string),
    "integer": (int, _number),
    "long": (int, _number),
    "float": ((int, float), _number),
    "double": ((int, float), _number),
    "boolean": (bool, None),
    "blob": (bytes, _check_length),
    "timestamp": (datetime, None),
}
_CHECKERS = {kind: check for kind, (_, check) in _CHECKS.items() if check is not None}
