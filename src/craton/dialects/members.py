"""Typed reading of JSON bodies that keeps the members it doesn't know.

A body is first decoded straight into strict structs, which refuse any member they don't declare:
that is the whole work for nearly every request. Only when the strict way refuses is the body read
again as plain values, the unknown members are sealed away beside the known ones, and the same
structs are filled from the result. So unknown members cost nothing until one comes.

A `Sealed` value can't be written in JSON, so no body can forge one.
"""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec import inspect as shapes

from craton.kernel.errors import BadRequest

NESTING_MAX = 200
"""Levels of arrays and objects in a body. Python's own limit, 1,000 less the stack at hand, is met
at different depths by whoever handles the value next, so a lower one is held here."""

REST = "$rest"
UNKNOWN = "$unknown"

Json = dict[str, Any]
Body = TypeVar("Body")
_Gather = Callable[[Any], Any]


class Sealed:
    """A value that JSON can't forge: members or an object kept as they came."""

    __slots__ = ("value",)

    def __init__(self, value: Json) -> None:
        self.value = value


class Wire(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """An object of a wire; `rest` holds the members that the struct doesn't declare."""

    rest: Sealed | UnsetType = msgspec.field(default=UNSET, name=REST)


class UnknownKind(Wire, tag=UNKNOWN):
    """An object whose `type` is none of those its place declares, as it came."""

    value: Sealed


class BodyReader(Generic[Body]):
    """Reads bodies of one type.

    `full` may name a subclass of the strict type that declares rarely used members as well; it
    fills the place of the strict one whenever a member is unknown to it.
    """

    def __init__(self, strict: Any, full: Any = None) -> None:  # noqa: ANN401 - a type expression
        self._full = full or strict
        self._decode = msgspec.json.Decoder(strict).decode
        self._gather = _gatherer(shapes.type_info(self._full))

    def read(self, body: bytes) -> Body:
        """Read a body; BadRequest names the member that is wrong, or the byte.

        Structs bound the nesting of what they declare; a caller whose body may hold any JSON value
        in a declared member calls `check_nesting` as well.
        """
        try:
            value = self._decode(body)
        except msgspec.ValidationError:
            # An unknown member or a wrong one: reading again tells which, and keeps the first.
            value = self._read_slowly(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(body, error) from None
        return cast("Body", value)

    def _read_slowly(self, body: bytes) -> object:
        value = read_json(body)
        try:
            return msgspec.convert(self._gather(value) if self._gather else value, self._full)
        except msgspec.ValidationError as error:
            raise invalid(error) from None


_decode_any = msgspec.json.Decoder().decode


def read_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Any JSON value, or BadRequest with the position of what is malformed."""
    try:
        value = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(body, error) from None
    check_nesting(body)
    return value


def members(wire: Wire) -> Json | None:
    """The unknown members of an object, or None."""
    rest = wire.rest
    return rest.value if type(rest) is Sealed else None


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """What was read, as plain JSON values again, unknown members and all."""
    if isinstance(value, UnknownKind):
        assert isinstance(value.value, Sealed)
        return value.value.value
    if isinstance(value, Wire):
        config = value.__struct_config__
        out: Json = {config.tag_field: config.tag} if config.tag_field else {}
        for name, encoded in zip(
            value.__struct_fields__, value.__struct_encode_fields__, strict=True
        ):
            member = getattr(value, name)
            if name != "rest" and member is not None and member is not UNSET:
                out[encoded] = plain(member)
        return out | (members(value) or {})
    if isinstance(value, list):
        return [plain(item) for item in cast("list[Any]", value)]
    return value


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check_nesting(body: bytes) -> None:
    """Refuse a well-formed body that is nested deeper than NESTING_MAX."""
    # A level takes two bytes and one opening bracket: nearly every body is cleared by that. What
    # replaces finds a byte with `memchr`, what counts looks at each: ten times the instructions.
    size = len(body)
    if size <= 2 * NESTING_MAX:
        return
    if 2 * size - len(body.replace(b"[", b"")) - len(body.replace(b"{", b"")) <= NESTING_MAX:
        return
    left = _STRING.sub(b"", body).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(NESTING_MAX):  # each pass takes away the innermost level
        if not left:
            return
        left = left.replace(b"[]", b"")
    if left:
        raise _too_deep()


def check_portable(value: msgspec.Struct) -> None:
    """Refuse integers that other programs can't hold, in whatever JSON values came along.

    Values travel to engine processes as MessagePack, whose integers have 64 bits.
    """
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        raise BadRequest(
            "The body holds an integer outside 64 bits. Write it as a string or a decimal fraction."
        ) from None


def malformed(body: bytes, error: Exception) -> BadRequest:
    """The refusal of a body that isn't JSON."""
    if isinstance(error, RecursionError):
        return _too_deep()
    if isinstance(error, UnicodeDecodeError):
        try:
            body.decode()
        except UnicodeDecodeError as found:
            return BadRequest(f"The body is not UTF-8: {found.reason} (byte {found.start}).")
        return BadRequest("The body is not UTF-8.")
    text = str(error).removeprefix("JSON is malformed: ")
    if "byte" not in text:
        text += f" (byte {len(body)})"
    return BadRequest(f"The body is not valid JSON: {text[0].lower()}{text[1:]}.")


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested deeper than {NESTING_MAX} levels. Flatten it.")


_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TYPE_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "dict": "object",
    "list": "array",
    "NoneType": "null",
}


def invalid(error: msgspec.ValidationError) -> BadRequest:
    """The refusal of a member of the wrong type or out of range, by its path."""
    match = _WHERE.match(str(error))
    assert match is not None
    what, path = match["what"], (match["path"] or "$").removeprefix("$").removeprefix(".")
    missing = _MISSING.match(what)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return wrong(path, "is required and missing")
    words = re.sub(r"\b(str|int|float|bool|dict|list|NoneType)\b", _type_name, what)
    return wrong(path or "body", words[0].lower() + words[1:])


def _type_name(match: re.Match[str]) -> str:
    return _TYPE_NAMES[match[0]]


def wrong(path: str, what: str) -> BadRequest:
    """A BadRequest in the form all dialects use: the member's path, then what is wrong."""
    return BadRequest(f"`{path}`: {what}.")


def _gatherer(shape: shapes.Type) -> _Gather | None:
    """A function that seals the unknown members of values of this shape; None: nothing to seal."""
    match shape:
        case shapes.StructType():
            return _struct_gatherer(shape)
        case shapes.UnionType():
            return _union_gatherer(shape)
        case shapes.ListType():
            item = _gatherer(shape.item_type)
            return None if item is None else _list_gatherer(item)
        case _:
            return None


def _list_gatherer(item: _Gather) -> _Gather:
    def gather(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        return [item(each) for each in cast("list[Any]", value)] if type(value) is list else value

    return gather


def _struct_gatherer(shape: shapes.StructType) -> _Gather:
    inner = {f.encode_name: _gatherer(f.type) for f in shape.fields if f.encode_name != REST}

    def gather(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if type(value) is not dict:
            return value
        known: Json = {}
        unknown: Json = {}
        for name, member in cast("Json", value).items():
            if name in inner:
                gather_member = inner[name]
                known[name] = gather_member(member) if gather_member else member
            elif name == shape.tag_field:
                known[name] = member
            else:
                unknown[name] = member
        if unknown:
            known[REST] = Sealed(unknown)
        return known

    return gather


def _union_gatherer(shape: shapes.UnionType) -> _Gather | None:
    structs = [one for one in shape.types if isinstance(one, shapes.StructType)]
    lists = [one for one in shape.types if isinstance(one, shapes.ListType)]
    gather_list = _gatherer(lists[0]) if lists else None
    tag_field = structs[0].tag_field if structs else None
    by_tag = {one.tag: _struct_gatherer(one) for one in structs if one.tag != UNKNOWN}
    open_ended = any(one.tag == UNKNOWN for one in structs)
    if not structs and gather_list is None:
        return None

    def gather(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        kind = cast("type[Any]", type(value))
        if kind is list and gather_list is not None:
            return gather_list(value)
        if kind is not dict or not structs:
            return value
        document: Json = value
        tag = document.get(tag_field) if tag_field else None
        gather_struct = by_tag.get(tag) if tag is None or isinstance(tag, str) else None
        if gather_struct is not None:
            return gather_struct(document)
        if open_ended and isinstance(tag, str):
            return {"type": UNKNOWN, "value": Sealed(document)}
        return document

    return gather
