"""A JSON document beside a shape of botocore's service models, as strictly as the model reads.

SDKs take answers that lack required members, have members that no model knows, or break an enum.
This walks botocore's shapes, so it owes nothing to Craton's own reading of the models.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import Element

NUMBERS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}
PATTERN_CHARACTERS_MAX = 2048
"""The longest text that a pattern is tried on."""
_ISO8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def breaches(shape: Any, value: Any, place: str = "$") -> Iterator[str]:
    """What in a document, as it stood on the wire, breaks a botocore shape."""
    kind = shape.type_name
    if kind == "structure" and shape.is_document_type:
        return
    if kind == "structure" and isinstance(value, dict):
        yield from _of_structure(shape, value, place)
    elif kind == "list" and isinstance(value, list):
        yield from _of_range(shape, len(value), f"{place}: its length")
        for index, item in enumerate(value):
            yield from breaches(shape.member, item, f"{place}[{index}]")
    elif kind == "map" and isinstance(value, dict):
        yield from _of_range(shape, len(value), f"{place}: its length")
        for key, item in value.items():
            yield from breaches(shape.key, key, f"{place}.{key} (its key)")
            yield from breaches(shape.value, item, f"{place}.{key}")
    elif kind == "string" and isinstance(value, str):
        yield from _of_text(shape, value, place)
    elif kind == "blob" and isinstance(value, str):
        yield from _of_blob(shape, value, place)
    elif kind == "timestamp" and not isinstance(value, bool):
        yield from _of_time(shape, value, place)
    elif kind in NUMBERS and isinstance(value, NUMBERS[kind]) and not isinstance(value, bool):
        yield from _of_range(shape, value, f"{place}: {value}")
    elif kind != "boolean" or not isinstance(value, bool):
        yield f"{place}: expected {kind}, found {type(value).__name__}"


def wire_name(name: str, member: Any) -> str:
    """What a member is called on the wire."""
    return member.serialization.get("name", name)


def _of_structure(shape: Any, value: dict[str, Any], place: str) -> Iterator[str]:
    known = {
        wire_name(name, member): (name, member)
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    found = {known[name][0] for name in value if name in known}
    for name in sorted(value.keys() - known.keys()):
        yield f"{place}.{name}: no member of {shape.name}"
    for name in shape.required_members:
        if name not in found and "location" not in shape.members[name].serialization:
            yield f"{place}.{name}: required, and not there"
    if shape.is_tagged_union and len(found) != 1:
        yield f"{place}: a union with {len(found)} members set"
    for name, item in value.items():
        if name in known:
            yield from breaches(known[name][1], item, f"{place}.{name}")


def _of_range(shape: Any, size: float, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and not size >= low:
        yield f"{what} is below {low}"
    if high is not None and not size <= high:
        yield f"{what} is above {high}"


def _of_text(shape: Any, value: str, place: str) -> Iterator[str]:
    yield from _of_range(shape, len(value), f"{place}: its length")
    if shape.enum and value not in shape.enum:
        yield f"{place}: {value!r} is none of {list(shape.enum)}"
    pattern = _compiled(shape.metadata.get("pattern"))
    if pattern is not None and len(value) <= PATTERN_CHARACTERS_MAX and not pattern.search(value):
        yield f"{place}: {value!r} doesn't match {pattern.pattern}"


@lru_cache(maxsize=1000)
def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """A pattern whole, as AWS means it; None where there is none or it isn't one of Python's."""
    if pattern is None:
        return None
    try:
        return re.compile(rf"\A(?:{pattern})\Z")
    except re.error:
        return None


def _of_blob(shape: Any, value: str, place: str) -> Iterator[str]:
    try:
        yield from _of_range(
            shape, len(base64.b64decode(value, validate=True)), f"{place}: its length"
        )
    except binascii.Error as error:
        yield f"{place}: no base64: {error}"


def _of_time(shape: Any, value: Any, place: str) -> Iterator[str]:
    if shape.serialization.get("timestampFormat") == "iso8601":
        if not isinstance(value, str) or not _ISO8601.fullmatch(value):
            yield f"{place}: {value!r} is no time in ISO 8601"
    elif not isinstance(value, int | float):
        yield f"{place}: {value!r} is no count of seconds"


def document_of(shape: Any, element: Element) -> Any:
    """An element of the query protocols' XML as its document would be in JSON, by its own names.

    What isn't as its shape says stays as it came, for `breaches` to complain of.
    """
    kind, text = shape.type_name, element.text or ""
    if kind == "structure":
        members = {wire_name(name, member): member for name, member in shape.members.items()}
        found: dict[str, Any] = {}
        for child in element:
            name = child.tag.rpartition("}")[2]
            found[name] = document_of(members[name], child) if name in members else child.text
        return found
    if kind == "list":
        return [document_of(shape.member, child) for child in element]
    try:
        return _FROM_TEXT.get(kind, str)(text)
    except (KeyError, ValueError):
        return text


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "timestamp": lambda text: datetime.fromisoformat(text).timestamp(),
}
