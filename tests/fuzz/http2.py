"""HTTP/2 conversations: proper ones, and the same bent in bytes, frames, headers and windows.

Frames are made and read here by hand; of the libraries that Craton uses only HPACK's is shared.
"""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from hpack import Encoder

from tests.fuzz.request import Sent
from tests.fuzz.signing import HOST

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
WIDE = 2**31 - 1
WIDE_OPEN = WIDE - 65_535
"""What opens the connection's window to the widest."""

Fields = Sequence[tuple[bytes, bytes]]
Make = Callable[[], Sent]


class Ending(StrEnum):
    """How the client ends."""

    WAITS = "waits"
    """For every answer that is due."""
    WAITS_FOR_CLOSE = "waits for close"
    """The server must say what was wrong, and close."""
    HALF_CLOSES = "half closes"
    """After what comes of itself."""
    RESETS = "resets"


@dataclass(slots=True)
class Conversation:
    """What a client sends over one connection, in pieces, and what it is owed."""

    kind: str
    pieces: list[bytes]
    ending: Ending = Ending.HALF_CLOSES
    due: dict[int, Sent] = field(default_factory=dict[int, Sent])
    """By stream."""
    refused: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    """Streams whose request is malformed, and what may be the answer's status."""
    window: int = WIDE
    """Of each stream; small ones are widened as answers come."""

    @property
    def whole(self) -> bytes:
        return b"".join(self.pieces)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return struct.pack(">HBBBL", size >> 8 & 0xFFFF, size & 0xFF, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in pairs))


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", size & 0xFFFF_FFFF))


def opening(window: int = WIDE) -> bytes:
    opened = window_update(0, WIDE_OPEN) if window == WIDE else b""
    return PREFACE + settings((4, window), (2, 0)) + opened


def fields_of(sent: Sent) -> list[tuple[bytes, bytes]]:
    """A request's fields as HTTP/2 has them."""
    line, *lines = sent.head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, _, rest = line.partition(b" ")
    target = rest.rpartition(b" ")[0]
    named = [text.partition(b": ")[::2] for text in lines]
    others = [(name, value) for name, value in named if name != b"host"]
    pseudo = [
        (b":method", method), (b":scheme", b"http"), (b":path", target),
        (b":authority", HOST.encode()),
    ]  # fmt: skip
    return pseudo + others


def header_frames(dice: random.Random, stream: int, block: bytes, *, is_last: bool) -> bytes:
    """A header block in one frame or several."""
    flags = END_STREAM if is_last else 0
    pieces = [block] if dice.random() < 0.7 else _cut(block, dice, 4)
    pieces = [
        piece[at : at + 16_000] for piece in pieces for at in range(0, len(piece) or 1, 16_000)
    ]
    first, front, back = pieces[0], b"", b""
    if dice.random() < 0.2:
        flags |= PRIORITIZED
        depends = dice.choice((0, 0, stream + 2))
        front = struct.pack(">LB", depends, dice.randrange(256))
    if dice.random() < 0.2:
        pad = dice.randrange(40)
        flags |= PADDED
        front, back = bytes([pad]) + front, b"\0" * pad
    if len(pieces) == 1:
        return frame(HEADERS, flags | END_HEADERS, stream, front + first + back)
    frames = [frame(HEADERS, flags, stream, front + first + back)]
    frames += [frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1]]
    return b"".join([*frames, frame(CONTINUATION, END_HEADERS, stream, pieces[-1])])


def data_frames(dice: random.Random, stream: int, body: bytes) -> list[bytes]:
    """A body in one frame or several, the last of which ends the stream."""
    cut = _cut(body, dice, dice.choice((1, 1, 3, 8)))
    pieces = [piece[at : at + 16_000] for piece in cut for at in range(0, len(piece) or 1, 16_000)]
    frames: list[bytes] = []
    for place, piece in enumerate(pieces):
        flags = END_STREAM if place == len(pieces) - 1 else 0
        if dice.random() < 0.1:
            pad = dice.randrange(100)
            padded = bytes([pad]) + piece + b"\0" * pad
            frames.append(frame(DATA, flags | PADDED, stream, padded))
        else:
            frames.append(frame(DATA, flags, stream, piece))
    if dice.random() < 0.1:
        frames.insert(0, frame(DATA, 0, stream))
    return frames


def _cut(data: bytes, dice: random.Random, pieces: int) -> list[bytes]:
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(pieces - 1))
    return [data[a:b] for a, b in pairwise([0, *cuts, len(data)]) if a != b] or [b""]


class Asking:
    """Makes the frames of requests, over one HPACK state."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._encoder = Encoder()
        self.next_stream = 1

    def block(self, fields: Fields) -> bytes:
        is_long = any(len(value) > 4000 for _, value in fields)  # hpack takes seconds for those
        return self._encoder.encode(fields, huffman=not is_long and self._dice.random() < 0.5)

    def request(self, sent: Sent) -> tuple[int, bytes, list[bytes]]:
        """The stream, its header frames and its body's."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        body = data_frames(self._dice, stream, sent.body) if sent.body else []
        block = self.block(fields_of(sent))
        return stream, header_frames(self._dice, stream, block, is_last=not body), body


def script(make: Make, dice: random.Random) -> Conversation:
    """The next conversation that these dice show."""
    (kind,) = dice.choices([k for k, _ in KINDS], [weight for _, weight in KINDS])
    return kind(make, dice)


def _proper(make: Make, dice: random.Random, most: int) -> tuple[list[bytes], dict[int, Sent]]:
    """Frames of some requests side by side, and the requests by stream."""
    asking = Asking(dice)
    waiting = [make() for _ in range(dice.randrange(1, most + 1))]
    due: dict[int, Sent] = {}
    bodies: list[list[bytes]] = []
    frames: list[bytes] = []
    while waiting or bodies:
        if waiting and (not bodies or dice.random() < 0.5):
            sent = waiting.pop()
            stream, head, body = asking.request(sent)
            frames.append(head)
            due[stream] = sent
            if body:
                bodies.append(body)
        else:
            body = dice.choice(bodies)
            frames.append(body.pop(0))
            if not body:
                bodies.remove(body)
        if dice.random() < 0.1:
            frames.append(_harmless(dice, asking.next_stream))
    return frames, due


def _harmless(dice: random.Random, stream: int) -> bytes:
    return dice.choice(
        (
            frame(PING, 0, 0, dice.randbytes(8)),
            frame(PING, ACK, 0, dice.randbytes(8)),
            frame(PRIORITY, 0, stream, struct.pack(">LB", 0, 3)),
            frame(dice.randrange(10, 256), dice.randrange(256), dice.randrange(9), b"unknown"),
            settings((1, dice.choice((0, 100, 4096, 2**31)))),
            settings((0x9999, 7)),
        )
    )


def proper(make: Make, dice: random.Random) -> Conversation:
    frames, due = _proper(make, dice, 6)
    whole = opening() + b"".join(frames)
    return Conversation("proper", _cut(whole, dice, dice.choice((1, 1, 4))), Ending.WAITS, due)


def narrow(make: Make, dice: random.Random) -> Conversation:
    """Windows that open only as answers come."""
    frames, due = _proper(make, dice, 3)
    window = dice.choice((0, 1, 100, 16_384, 65_535))
    whole = opening(window) + b"".join(frames)
    return Conversation("narrow", [whole], Ending.WAITS, due, window=window)


def flipped(make: Make, dice: random.Random) -> Conversation:
    frames, _ = _proper(make, dice, 3)
    whole = bytearray(opening() + b"".join(frames))
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(3, len(whole))  # before, it would be no HTTP/2
        whole[at] ^= dice.choice((1 << dice.randrange(8), 0xFF, dice.randrange(1, 256)))
    return Conversation("flipped", _cut(bytes(whole), dice, dice.choice((1, 3))))


def spliced(make: Make, dice: random.Random) -> Conversation:
    """Frames lost, doubled, swapped, or of another kind among good ones."""
    frames, _ = _proper(make, dice, 4)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(len(frames))
        match dice.randrange(5):
            case 0 if len(frames) > 1:
                del frames[at]
            case 1:
                frames.insert(dice.randrange(len(frames) + 1), frames[at])
            case 2:
                dice.shuffle(frames)
            case 3:
                changed = bytearray(frames[at])
                changed[dice.choice((0, 1, 2, 3, 4, 5, 8))] = dice.randrange(256)
                frames[at] = bytes(changed)
            case _:
                frames.insert(at, _odd_frame(dice))
    return Conversation("spliced", [opening() + b"".join(frames)])


def _odd_frame(dice: random.Random) -> bytes:
    stream = dice.choice((0, 1, 1, 2, 3, 5, 99, WIDE))
    size = dice.choice((0, 0, 1, 4, 5, 6, 8, 9, 40, 300, 16_384))
    kind = dice.choice((*range(10), dice.randrange(256)))
    return frame(kind, dice.choice((0, 1, 4, 5, 8, 0xFF, dice.randrange(256))), stream,
                 dice.choice((b"\0" * size, dice.randbytes(size), b"\xff" * size)))  # fmt: skip


def odd_frames(make: Make, dice: random.Random) -> Conversation:
    del make
    frames = [_odd_frame(dice) for _ in range(dice.randrange(1, 12))]
    return Conversation("odd frames", [opening() + b"".join(frames)])


def garbage(make: Make, dice: random.Random) -> Conversation:
    del make
    return Conversation("garbage", [opening() + dice.randbytes(dice.randrange(1, 400))])


def bad_preface(make: Make, dice: random.Random) -> Conversation:
    del make
    whole = bytearray(PREFACE + settings())
    whole[dice.randrange(3, 24)] ^= 1 << dice.randrange(8)
    return Conversation("bad preface", [bytes(whole)], Ending.WAITS_FOR_CLOSE)


def bad_hpack(make: Make, dice: random.Random) -> Conversation:
    """A header block that is no HPACK, or hardly."""
    asking = Asking(dice)
    good = asking.block(fields_of(make()))
    at = dice.randrange(len(good))
    block = dice.choice(
        (
            dice.randbytes(dice.randrange(1, 200)),
            good[:at],
            good[:at] + dice.randbytes(3) + good[at:],
            b"\x80" + good,
            b"\xff" * dice.randrange(1, 30),
            b"\x3f\xe1\xff\xff\xff\x7f" + good,
            b"\x20" * dice.randrange(1, 3000) + good,
            good + b"\x20",
            good + b"\x40\x01a" + b"\x7f" + b"\xff" * 9 + b"\x01",
            good + (b"\x40\x04x-xy\x7f\x81\x03" + b"y" * 512) * dice.randrange(1, 30),
            good + b"\x40\x01x\x7f\x80\x1f" + b"y" * 4095 + b"\xbe" * dice.randrange(300),
            good + b"\x00\x01x\xff\xff" * 8,
        )
    )
    frames = header_frames(dice, 1, block[:40_000], is_last=True)
    return Conversation("bad hpack", [opening() + frames])


FIELDS: Sequence[tuple[tuple[bytes, bytes], tuple[int, ...]]] = (
    ((b"X-Upper", b"a"), (400,)),
    ((b"a b", b"a"), (400,)),
    ((b"", b"a"), (400,)),
    ((b"x\xff", b"a"), (400,)),
    ((b"x", b"a\r\nb: c"), (400,)),
    ((b"x", b"\0"), (400,)),
    ((b"connection", b"keep-alive"), (400,)),
    ((b"transfer-encoding", b"chunked"), (400,)),
    ((b"te", b"gzip"), (400,)),
    ((b"host", b"another"), (400,)),
    ((b":late", b"x"), (400,)),
    ((b":status", b"200"), (400,)),
    ((b":path", b"/again"), (400,)),
    ((b"x-large", b"y" * 33_000), (431, 413)),
    ((b"expect", b"200-maybe"), (417, 400)),
    ((b"content-type", b"a\x7f"), (400,)),
)


def malformed(make: Make, dice: random.Random) -> Conversation:
    """A request that breaks a rule, beside good ones that must be answered all the same."""
    asking = Asking(dice)
    pieces = [opening()]
    due: dict[int, Sent] = {}
    refused: dict[int, tuple[int, ...]] = {}
    for _ in range(dice.randrange(2, 6)):
        sent = make()
        if dice.random() < 0.5:
            stream, head, body = asking.request(sent)
            due[stream] = sent
            pieces += [head, *body]
            continue
        stream, asking.next_stream = asking.next_stream, asking.next_stream + 2
        fields = fields_of(sent)
        if dice.random() < 0.3:
            removed = dice.randrange(3)
            fields = [pair for place, pair in enumerate(fields) if place != removed]
            statuses = (400, 501)
        else:
            field, statuses = dice.choice(FIELDS)
            fields.append(field)
        fields = [pair for pair in fields if pair[0] != b"content-length"]
        block = asking.block(fields)
        pieces.append(header_frames(dice, stream, block, is_last=True))
        refused[stream] = statuses
    whole = b"".join(pieces)
    return Conversation("malformed", [whole], Ending.WAITS, due, refused)


SIZES = (0, 1, WIDE, 2**31, 2**32 - 1)


def windows(make: Make, dice: random.Random) -> Conversation:
    """Windows that overflow, shrink below nothing, or are never opened."""
    frames, _ = _proper(make, dice, 3)
    odd = [
        dice.choice(
            (
                window_update(
                    dice.choice((0, 1, 3, 9)), dice.choice((0, 1, WIDE, 2**31, 2**32 - 1))
                ),
                settings((4, dice.choice(SIZES))),
                settings((5, dice.choice((0, 16_383, 16_384, 2**24 - 1, 2**24)))),
                settings((2, dice.choice((0, 1, 2)))),
                settings((3, dice.choice((0, 1, 2**32 - 1)))),
                settings((6, dice.choice((0, 1, 2**32 - 1)))),
                frame(DATA, 0, dice.choice((1, 3)), b"x" * 16_384) * dice.choice((1, 70)),
                frame(SETTINGS, ACK, 0, dice.choice((b"", b"x"))),
                frame(SETTINGS, 0, 0, b"\0" * dice.choice((1, 5, 7))),
                frame(SETTINGS, 0, 1),
            )
        )
        for _ in range(dice.randrange(1, 6))
    ]
    for piece in odd:
        frames.insert(dice.randrange(len(frames) + 1), piece)
    window = dice.choice((0, 1, 65_535, WIDE))
    return Conversation("windows", [opening(window) + b"".join(frames)], window=window)


def flood(make: Make, dice: random.Random) -> Conversation:
    """Many frames to no end: the server must have had enough of them."""
    block = Asking(dice).block(fields_of(make()))[:16_000]
    head = frame(HEADERS, END_HEADERS, 1, block)
    body = dice.choice(
        (
            frame(PING, 0, 0, b"12345678") * 1500,
            settings() * 400,
            settings((4, 1), (4, 2)) * 400,
            frame(PRIORITY, 0, 1, b"\0\0\0\0\1") * 1500,
            window_update(0, 1) * 1500,
            head + window_update(1, 1) * 1500,
            head + frame(DATA, 0, 1) * 1500,
            frame(0xBE, 0, 0) * 1500,
            frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1) * 100,
            frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"\0" * 16_000) * 9,
            b"".join(_asked_and_left(1 + 2 * place) for place in range(200)),
        )
    )
    return Conversation("flood", [opening() + body], Ending.WAITS_FOR_CLOSE)


def _asked_and_left(stream: int) -> bytes:
    # The static table's GET, http and /, and a literal :authority.
    head = frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x82\x86\x84\x01\x01a")
    return head + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")


def cancelled(make: Make, dice: random.Random) -> Conversation:
    """Some streams are left; the others must be answered."""
    frames, due = _proper(make, dice, 6)
    left = dice.sample(sorted(due), dice.randrange(1, len(due) + 1))
    frames += [frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in left]
    for stream in left:
        del due[stream]
    return Conversation("cancelled", [opening() + b"".join(frames)], Ending.WAITS, due)


def goodbye(make: Make, dice: random.Random) -> Conversation:
    """The client says that it will ask no more, and still gets its answers."""
    frames, due = _proper(make, dice, 3)
    frames.append(frame(GOAWAY, 0, 0, b"\0" * 8))
    return Conversation("goodbye", [opening() + b"".join(frames)], Ending.WAITS, due)


def truncated(make: Make, dice: random.Random) -> Conversation:
    frames, _ = _proper(make, dice, 3)
    whole = opening() + b"".join(frames)
    ending = dice.choice((Ending.HALF_CLOSES, Ending.RESETS))
    return Conversation("truncated", [whole[: dice.randrange(len(whole))]], ending)


KINDS: Sequence[tuple[Callable[[Make, random.Random], Conversation], int]] = (
    (proper, 22), (narrow, 8), (flipped, 14), (spliced, 10), (odd_frames, 8), (garbage, 3),
    (bad_preface, 1), (bad_hpack, 8), (malformed, 8), (windows, 7), (flood, 1), (cancelled, 5),
    (goodbye, 2), (truncated, 4),
)  # fmt: skip
