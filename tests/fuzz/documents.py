"""Hostile JSON: a document, bent in places, and written by a writer that can write what is wrong.

A document is plain Python values. Two more stand for what these can't hold: `Token`, bytes that are
written as they are, and `Pairs`, an object whose names may repeat.
"""

import copy
import json
import random
from dataclasses import dataclass
from typing import Any

Place = tuple[Any, Any]
"""A container and the key of one of its entries."""


@dataclass(frozen=True, slots=True)
class Token:
    """Written as it is, whether JSON or not."""

    text: bytes


@dataclass(slots=True)
class Pairs:
    """An object as a list of its members."""

    members: list[tuple[Any, Any]]


NUMBERS = (
    b"NaN", b"Infinity", b"-Infinity", b"-0", b"-0.0", b"01", b"+1", b".5", b"1.", b"0x10",
    b"1e999", b"-1e999", b"1e-999", b"1e", b"9" * 400, b"-" + b"9" * 400, b"0." + b"0" * 400 + b"1",
    b"1e308", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809",
    b"18446744073709551615", b"18446744073709551616", b"2147483648", b"-1", b"0", b"1", b"0.5",
    b"1.0", b"100001", b"1e5", b"3.0000000000000000000000001",
)  # fmt: skip
STRINGS = (
    b'""', b'" "', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\xff\xfe"',
    b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf5\x80\x80\x80"', b'"\\u0000"', b'"\x00"', b'"\n"',
    b'"\\x41"', b'"\\u12"', b'"\\"', b'"\xe2\x80\xae\xf0\x9f\x98\x80"', b'"\\ufeff\\uffff"',
    b'"../../x"', b'"data:image/png;base64,AAAA"', b'"data:;base64,%%%"', b'"AAA"', b'"====="',
    b'"s3://"', b'"null"', b'"NaN"', b'"-1"', b'"user"', b'"assistant"', b'"system"', b'"tool"',
    b'"auto"', b'"none"', b'"text"', b'"{}"', b'"[1"', b'"\\ud800\\u0041"', b'"%s%n{0}"',
)  # fmt: skip
BROKEN = (
    b"", b"tru", b"nul", b"undefined", b"'x'", b'"open', b"[", b"{", b"]", b"}", b"[,]", b"{,}",
    b'{"a"}', b'{"a":}', b"[1,]", b"// x\n1", b"/**/1", b"{1:2}", b'"a" "b"', b"\xef\xbb\xbf1",
)  # fmt: skip
NAMES = (
    "", " ", "type", "role", "content", "text", "model", "stream", "__proto__", "$ref", "id",
    "name", "é", "\x00", "a" * 300, "input", "source", "toolUse", "cachePoint", "max_tokens",
    "Type",
)  # fmt: skip


def write(value: Any) -> bytes:
    """The document as bytes."""
    match value:
        case Token():
            return value.text
        case Pairs():
            return b"{" + b",".join(_member(name, one) for name, one in value.members) + b"}"
        case dict():
            return b"{" + b",".join(_member(name, one) for name, one in value.items()) + b"}"
        case list() | tuple():
            return b"[" + b",".join(write(one) for one in value) + b"]"
        case _:
            return json.dumps(value).encode()


def _member(name: Any, value: Any) -> bytes:
    return write(name) + b":" + write(value)


def places(value: Any) -> list[Place]:
    """Every entry of every container, parents before children."""
    found: list[Place] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys: Any = ()
        if isinstance(one, dict):
            keys = list(one)
        elif isinstance(one, list):
            keys = range(len(one))
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def nested(dice: random.Random) -> Token:
    """Arrays or objects in each other, closed or not."""
    depth = dice.choice((20, 200, 1000, 5000, 30_000))
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"content":', b"}]")))
    return Token(opening * depth + b"1" + closing * (depth if dice.random() < 0.8 else 0))


def huge(dice: random.Random) -> Token:
    """One long string: letters, blanks, many short words, or escapes."""
    size = dice.choice((300, 5000, 40_000, 40_000, 300_000))
    piece = dice.choice((b"a", b" ", b"\\n", b"a ", b"\\ud83d\\ude00", b"\xf0\x9f\x98\x80"))
    return Token(b'"' + piece * (size // len(piece)) + b'"')


def hostile(dice: random.Random) -> Any:
    """A value that hardly any member takes."""
    roll = dice.random()
    if roll < 0.25:
        return Token(dice.choice(NUMBERS))
    if roll < 0.5:
        return Token(dice.choice(STRINGS))
    if roll < 0.58:
        return Token(dice.choice(BROKEN))
    if roll < 0.62:
        return nested(dice)
    if roll < 0.65:
        return huge(dice)
    return copy.deepcopy(
        dice.choice((None, True, False, [], {}, [None], [[]], {"": None}, [{}], {"type": "x"}, 7))
    )


def bent(document: Any, dice: random.Random) -> Any:
    """A copy of the document with one to five faults; what it was may still be valid."""
    root = {"root": copy.deepcopy(document)}
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
        found = places(root)
        container, key = dice.choice(found)
        if key in container if isinstance(container, dict) else key < len(container):
            _bend(container, key, found, dice)
    return root["root"]


def _bend(container: Any, key: Any, found: list[Place], dice: random.Random) -> None:
    value = container[key]
    match dice.randrange(12):
        case 0 | 1 | 2:
            container[key] = hostile(dice)
        case 3 if key != "root":
            del container[key]
        case 4 if isinstance(container, dict) and key != "root":
            container[dice.choice(NAMES)] = container.pop(key)
        case 5 if isinstance(value, dict):
            value[dice.choice(NAMES)] = hostile(dice)
        case 6 if isinstance(value, dict) and value:
            container[key] = Pairs([*value.items(), (dice.choice(list(value)), hostile(dice))])
        case 7 if isinstance(value, dict):
            _miscount_union(value, found, dice)
        case 8 if isinstance(value, list) and value:
            container[key] = value * dice.choice((0, 2, 50, 500))
        case 9:
            other, its_key = dice.choice(found)
            if isinstance(other, dict) and its_key in other:
                container[key] = copy.deepcopy(other[its_key])
        case 10:
            container[key] = dice.choice(([value], {"value": value}, [[value]], "x"))
        case _:
            container[key] = _neighbour(value, dice)


def _miscount_union(value: dict[Any, Any], found: list[Place], dice: random.Random) -> None:
    """No member, one more, or another one, taken from elsewhere in the document."""
    roll = dice.random()
    other, key = dice.choice(found)
    taken = copy.deepcopy(other[key]) if isinstance(other, dict) and key in other else None
    if roll < 0.6:
        value.clear()
    if roll > 0.3 and isinstance(key, str):
        value[key] = hostile(dice) if dice.random() < 0.3 else taken


def _neighbour(value: Any, dice: random.Random) -> Any:
    """Nearly the value: a wrong enum member, a number next door, a text that is cut or doubled."""
    match value:
        case bool():
            return dice.choice((not value, int(value), str(value)))
        case int() | float():
            return dice.choice((-value, value + 1, value - 1, value * 1000, value / 3, str(value)))
        case str():
            return dice.choice(
                (value.upper(), value[:-1], value * 2, value + "x", "", value + "\x00", value[::-1])
            )
        case _:
            return hostile(dice)


def spoilt(body: bytes, dice: random.Random) -> bytes:
    """The bytes of a body, damaged below the level of JSON."""
    at = dice.randrange(len(body) + 1)
    return dice.choice(
        (
            lambda: body[:at],
            lambda: body[at:],
            lambda: body[:at] + bytes([dice.randrange(256)]) + body[at + 1 :],
            lambda: body[:at] + dice.randbytes(dice.randrange(1, 9)) + body[at:],
            lambda: body + dice.choice((b"x", b"}", b"\x00", body)),
            lambda: b"\xef\xbb\xbf" + body,
            lambda: body.decode("latin-1").encode("utf-16"),
            lambda: b" " * dice.choice((1, 1000, 100_000)) + body,
            lambda: b"",
            lambda: dice.randbytes(dice.randrange(200)),
        )
    )()
