"""The body of a command or a reply: MessagePack, or JSON where that can't hold its integers.

MessagePack ends at 64 bits, and a sum of money need not: in JSON it is exact at any size. The first
byte says which of them a body is. A body is a map or an array, and those of MessagePack begin with
no brace or bracket.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

Read = TypeVar("Read")

_pack = msgspec.msgpack.Encoder().encode
_OF_JSON = b"{["


def packed(value: object) -> bytes:
    """The body of a struct or of a list of them."""
    try:
        return _pack(value)
    except OverflowError:
        return msgspec.json.encode(value)


def unpacked(body: bytes, reads: type[Read]) -> Read:
    """The value of a body; msgspec's DecodeError for what isn't one of that type."""
    is_json = body and body[0] in _OF_JSON
    decode = msgspec.json.decode if is_json else msgspec.msgpack.decode
    return decode(body, type=reads)


def unpacker(reads: type[Read]) -> Callable[[bytes], Read]:
    """The same for many bodies of one type."""
    from_msgpack = msgspec.msgpack.Decoder[Any](reads).decode
    from_json = msgspec.json.Decoder[Any](reads).decode

    def unpack(body: bytes) -> Read:
        return from_json(body) if body and body[0] in _OF_JSON else from_msgpack(body)

    return unpack
