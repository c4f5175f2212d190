"""JSON values and texts to the types of a shape: strictly, as AWS does.

Nothing is guessed: a text where a number is due is a SerializationException. Members that are null
count as absent. Members that the shape doesn't have are left out, or kept as they are where the
caller asks (so that a newer client's members reach a newer upstream).
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, cast

from craton.apis.aws.model import Document, Shape
from craton.kernel.errors import BadRequest

DEPTH_MAX = 100
"""How deep JSON may nest in a member that is free-form."""

Path = tuple[Any, ...]
"""Where a value stands, innermost last and outermost first: (outer path, step)."""

_INTEGER_BITS = {"integer": 32, "long": 64}
_NAMES = {
    "string": "a String",
    "integer": "an Integer",
    "long": "a Long",
    "float": "a Float",
    "double": "a Double",
    "boolean": "a Boolean",
    "blob": "a Blob",
    "timestamp": "a Timestamp",
}
_SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# As JSON writes numbers: float() would take blanks, underscores and other scripts' digits.
_DECIMAL = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,4})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def path_text(path: Path) -> str:
    """A path as AWS writes it: `messages.1.member.role`."""
    steps: list[str] = []
    while path:
        path, step = path
        steps.append(f"{step + 1}.member" if isinstance(step, int) else str(step))
    return ".".join(reversed(steps))


def refuse(message: str, path: Path) -> NoReturn:
    """Raise a SerializationException for the value at a path."""
    where = f" (at '{path_text(path)}')" if path else ""
    raise BadRequest(f"{message}{where}", code="SerializationException")


def coerce(shape: Shape, value: object, path: Path = (), *, keep_unknown: bool = False) -> Any:  # noqa: ANN401 - what the shape says
    """A JSON value as the shape's type; BadRequest with AWS's words if it isn't one."""
    if shape.is_document:
        check_document(value, path)
        return value
    return _COERCERS[shape.kind](shape, value, path, keep_unknown)


def check_document(value: object, path: Path, *, depth: int = 0) -> None:
    """Refuse free-form JSON that nests too deep, or holds integers over 64 bits.

    Both would pass here and fail where the value is written again.
    """
    if depth > DEPTH_MAX:
        refuse(f"The value nests deeper than {DEPTH_MAX} levels", path)
    if type(value) is dict:
        for item in cast("dict[str, Any]", value).values():
            check_document(item, path, depth=depth + 1)
    elif type(value) is list:
        for item in cast("list[Any]", value):
            check_document(item, path, depth=depth + 1)
    elif type(value) is int and not -(2**63) <= value < 2**64:
        refuse("NUMBER_VALUE is out of the range of 64 bits", path)


def _members(value: object, path: Path, kind: str = "structure") -> dict[str, Any]:
    if type(value) is not dict:
        _unexpected(value, kind, path)
    return cast("dict[str, Any]", value)


def _elements(value: object, path: Path) -> list[Any]:
    if type(value) is not list:
        _unexpected(value, "list", path)
    return cast("list[Any]", value)


def _structure(shape: Shape, value: object, path: Path, keep_unknown: bool) -> Document:
    members = shape.body_members
    document: Document = {}
    for name, item in _members(value, path).items():
        if item is None:
            continue
        member = members.get(name)
        if member is not None:
            inner = member.shape
            if inner.kind == "string" and type(item) is str:  # most are: no call for them
                document[member.name] = item
            else:
                document[member.name] = coerce(
                    inner, item, (path, member.name), keep_unknown=keep_unknown
                )
        elif keep_unknown and name not in shape.members:
            check_document(item, (path, name))
            document[name] = item
    return document


def _list(shape: Shape, value: object, path: Path, keep_unknown: bool) -> list[Any]:
    element = shape.element
    assert element is not None
    return [
        None if item is None else coerce(element, item, (path, index), keep_unknown=keep_unknown)
        for index, item in enumerate(_elements(value, path))
    ]


def _map(shape: Shape, value: object, path: Path, keep_unknown: bool) -> Document:
    inner = shape.value
    assert inner is not None
    return {
        key: coerce(inner, item, (path, key), keep_unknown=keep_unknown)
        for key, item in _members(value, path, "map").items()
        if item is not None
    }


def _string(shape: Shape, value: object, path: Path, keep_unknown: bool) -> str:  # noqa: ARG001
    return value if isinstance(value, str) else _unexpected(value, shape.kind, path)


def _integer(shape: Shape, value: object, path: Path, keep_unknown: bool) -> int:  # noqa: ARG001
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        _unexpected(value, shape.kind, path)
    bits = _INTEGER_BITS[shape.kind]
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        refuse(f"NUMBER_VALUE is out of the range of {_NAMES[shape.kind]}", path)
    return value


def _float(shape: Shape, value: object, path: Path, keep_unknown: bool) -> float:  # noqa: ARG001
    if isinstance(value, str) and value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        _unexpected(value, shape.kind, path)
    try:
        return float(value)
    except OverflowError:
        refuse(f"NUMBER_VALUE is out of the range of {_NAMES[shape.kind]}", path)


def _boolean(shape: Shape, value: object, path: Path, keep_unknown: bool) -> bool:  # noqa: ARG001
    return value if isinstance(value, bool) else _unexpected(value, shape.kind, path)


def _blob(shape: Shape, value: object, path: Path, keep_unknown: bool) -> bytes:  # noqa: ARG001
    if not isinstance(value, str):
        _unexpected(value, shape.kind, path)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        refuse("The value of a blob is not base64", path)


def _timestamp(shape: Shape, value: object, path: Path, keep_unknown: bool) -> datetime:  # noqa: ARG001
    return read_timestamp(value, shape.timestamp_format or "unixTimestamp", path)


def read_timestamp(value: object, form: str, path: Path) -> datetime:
    """A time in one of the three forms of the service models."""
    try:
        if form == "unixTimestamp":
            if isinstance(value, bool) or not isinstance(value, int | float):
                _unexpected(value, "timestamp", path)
            return _EPOCH + timedelta(seconds=value)
        if not isinstance(value, str):
            _unexpected(value, "timestamp", path)
        moment = (
            datetime.fromisoformat(value) if form == "iso8601" else parsedate_to_datetime(value)
        )
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        refuse(f"{str(value)[:60]!r} is not a time in the form {form}", path)


_COERCERS: dict[str, Callable[[Shape, Any, Path, bool], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _timestamp,
}


def _unexpected(value: object, kind: str, path: Path) -> NoReturn:
    if isinstance(value, dict):
        refuse("Start of structure or map found where not expected", path)
    if isinstance(value, list):
        refuse("Start of list found where not expected", path)
    if kind in ("structure", "list", "map"):
        refuse(f"Expected {kind} or null", path)
    refuse(f"{_token(value)} can not be converted to {_NAMES[kind]}", path)


def _token(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    return "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"


def coerce_text(shape: Shape, text: str, path: Path, *, timestamp_format: str) -> Any:  # noqa: ANN401 - what the shape says
    """A text from path, query or header as the shape's type."""
    match shape.kind:
        case "string":
            return text
        case "boolean":
            if text not in ("true", "false"):
                refuse("STRING_VALUE can not be converted to a Boolean", path)
            return text == "true"
        case "integer" | "long":
            # A plain decimal: int() would take blanks, underscores and other scripts' digits.
            if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
                refuse(f"STRING_VALUE can not be converted to {_NAMES[shape.kind]}", path)
            return coerce(shape, int(text), path)
        case "float" | "double":
            if text in _SPECIAL_FLOATS:
                return _SPECIAL_FLOATS[text]
            number = float(text) if _DECIMAL.fullmatch(text) else math.inf
            if math.isinf(number):
                refuse(f"STRING_VALUE can not be converted to {_NAMES[shape.kind]}", path)
            return number
        case "timestamp":
            return read_timestamp(text, shape.timestamp_format or timestamp_format, path)
        case _:
            return coerce(shape, text, path)
