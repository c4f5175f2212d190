"""What a client does with a connection: pieces, pauses, a close; proper and improper HTTP."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from tests.fuzz.request import Sent
from tests.fuzz.signing import HOST


class Ending(StrEnum):
    """How the client ends."""

    WAITS = "waits"
    """For every answer that is due."""
    HALF_CLOSES = "half_closes"
    """After what comes of itself: says that it will send no more, and reads to the end."""
    RESETS = "resets"


@dataclass(slots=True)
class Script:
    """What is sent, in pieces; `pauses_s[n]` comes after piece n."""

    kind: str
    pieces: list[bytes]
    ending: Ending
    pauses_s: list[float] = field(default_factory=list[float])
    due: list[Sent] = field(default_factory=list[Sent])
    """Requests that are owed an answer, in order."""
    refused_with: tuple[int, ...] = ()
    """The statuses of the one refusal that is owed; empty if none is."""

    @property
    def whole(self) -> bytes:
        return b"".join(self.pieces)


Make = Callable[[], Sent]
Kind = Callable[[Make, random.Random], Script]
LARGE = b"x" * 40_000


def script(make: Make, dice: random.Random) -> Script:
    """The next script that these dice show."""
    (kind,) = dice.choices([k for k, _ in KINDS], [weight for _, weight in KINDS])
    return kind(make, dice)


def _cut(data: bytes, dice: random.Random, pieces: int) -> list[bytes]:
    """The bytes in at most so many pieces, cut anywhere."""
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(pieces - 1))
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(bounds) if a != b]


def split(make: Make, dice: random.Random) -> Script:
    sent = make()
    return Script("split", _cut(sent.whole, dice, dice.choice((2, 3, 9))), Ending.WAITS, due=[sent])


def slow(make: Make, dice: random.Random) -> Script:
    sent = make()
    pieces = _cut(sent.whole, dice, 4)
    pauses = [dice.uniform(0, 0.02) for _ in pieces]
    return Script("slow", pieces, Ending.WAITS, pauses, [sent])


def pipelined(make: Make, dice: random.Random) -> Script:
    due = [make() for _ in range(dice.randrange(2, 7))]
    whole = b"".join(sent.whole for sent in due)
    return Script("pipelined", _cut(whole, dice, dice.choice((1, 1, 5))), Ending.WAITS, due=due)


def _with_framing(sent: Sent, *lines: bytes) -> bytes:
    """The request's head with these lines for its Content-Length."""
    old = b"content-length: %d\r\n" % len(sent.body)
    assert old in sent.head
    return sent.head.replace(old, b"".join(line + b"\r\n" for line in lines), 1)


def chunked(make: Make, dice: random.Random) -> Script:
    sent = make()
    body = b"".join(
        dice.choice((b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n")) % len(piece)
        + piece
        + b"\r\n"
        for piece in (_cut(sent.body, dice, dice.choice((1, 2, 30))) if sent.body else [])
    )
    trailer = dice.choice((b"", b"", b"x-trailer: 1\r\n"))
    whole = _with_framing(sent, b"transfer-encoding: chunked") + body + b"0\r\n" + trailer + b"\r\n"
    return Script("chunked", _cut(whole, dice, dice.choice((1, 4))), Ending.WAITS, due=[sent])


def expecting(make: Make, dice: random.Random) -> Script:
    sent = make()
    length = b"content-length: %d" % len(sent.body)
    head = _with_framing(sent, length, b"expect: 100-continue")
    return Script("expect", [head, sent.body], Ending.WAITS, [dice.choice((0, 0.005))], [sent])


def offering_upgrade(make: Make, dice: random.Random) -> Script:
    del dice
    sent = make()
    length = b"content-length: %d" % len(sent.body)
    head = _with_framing(
        sent, length, b"upgrade: h2c", b"connection: upgrade, http2-settings", b"http2-settings: A"
    )
    return Script("upgrade", [head + sent.body], Ending.WAITS, due=[sent])


def oversize(make: Make, dice: random.Random) -> Script:
    sent = make()
    extra = dice.choice(
        (b"x-large: " + LARGE, b"\r\n".join(b"x-%d: y" % n for n in range(120)), LARGE + b": x")
    )
    if dice.random() < 0.2:
        target = b"GET /" + LARGE + b" HTTP/1.1\r\nhost: x\r\n\r\n"
        return Script("oversize", [target], Ending.WAITS, refused_with=(400, 413, 431))
    if dice.random() < 0.3:
        head = _with_framing(sent, b"content-length: %d" % dice.choice((33_554_433, 10**12)))
        return Script("oversize", [head, sent.body], Ending.WAITS, refused_with=(400, 413))
    length = b"content-length: %d" % len(sent.body)
    head = _with_framing(sent, length, extra)
    return Script("oversize", [head + sent.body], Ending.WAITS, refused_with=(400, 413, 431))


def flipped(make: Make, dice: random.Random) -> Script:
    sent = make()
    whole = bytearray(sent.whole)
    # Flips in the head are the ones that HTTP sees; those in the body are done elsewhere too.
    bound = len(sent.head) if dice.random() < 0.8 else len(whole)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.randrange(bound)
        whole[at] ^= 1 << dice.randrange(8)
    return Script("flipped", [bytes(whole)], Ending.HALF_CLOSES)


def inserted(make: Make, dice: random.Random) -> Script:
    sent = make()
    at = dice.randrange(len(sent.head) + 1)
    piece = dice.choice(
        (
            b"\r\n", b"\n", b"\r", b"\x00", b":", b" ", b"\t", b"\r\n ", b"\r\n\r\n", b"\xff" * 9,
            b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"host: other\r\n",
            dice.randbytes(dice.randrange(1, 20)),
        )
    )  # fmt: skip
    whole = sent.head[:at] + piece + sent.head[at:] + sent.body
    return Script("inserted", [whole], Ending.HALF_CLOSES)


def truncated(make: Make, dice: random.Random) -> Script:
    whole = make().whole
    ending = dice.choice((Ending.HALF_CLOSES, Ending.HALF_CLOSES, Ending.RESETS))
    return Script("truncated", [whole[: dice.randrange(1, len(whole))]], ending)


def half_closed(make: Make, dice: random.Random) -> Script:
    del dice
    # No pause before the close: the answer may or may not come, but the end must.
    return Script("half-closed", [make().whole], Ending.HALF_CLOSES, [-1])


def reset(make: Make, dice: random.Random) -> Script:
    return Script("reset", [make().whole], Ending.RESETS, [dice.choice((0, 0.001, 0.01))])


FRAMINGS: tuple[tuple[bytes, ...], ...] = (
    (b"content-length: -1",),
    (b"content-length: +5",),
    (b"content-length: 0x10",),
    (b"content-length: 1e3",),
    (b"content-length: ",),
    (b"content-length: 99999999999999999999999999",),
    (b"content-length: 18446744073709551617",),
    (b"content-length: 5, 5",),
    (b"content-length: 5", b"content-length: 6"),
    (b"content-length: 5", b"transfer-encoding: chunked"),
    (b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
    (b"transfer-encoding: gzip, chunked",),
    (b"transfer-encoding: identity",),
    (b"transfer-encoding: xchunked",),
    (b"transfer-encoding : chunked",),
    (b"transfer-encoding:\x0bchunked",),
    (b"content-length : 5",),
    (b" content-length: 5",),
    (b"x: a\r\n folded",),
    (b"expect: 200-ok", b"content-length: 3"),
    (b"host: a",),
    (b"x\x00y: z",),
    (b"x: a\x00b",),
    (b": nameless",),
    (b"nocolon",),
)
CHUNKS = (
    b"-1\r\nx\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffffff\r\n", b"5\r\nab\r\n0\r\n\r\n",
    b"1\r\nab\r\n", b"0\r\n", b"1" * 5000, b"1;" + b"e" * 40_000, b"\r\n", b"0x5\r\nhello\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    b"7fffffffffffffff\r\n", b"fffffffffffffffe\r\n",
)  # fmt: skip


def misframed(make: Make, dice: random.Random) -> Script:
    sent = make()
    if dice.random() < 0.6:
        whole = _with_framing(sent, *dice.choice(FRAMINGS)) + sent.body
    else:
        head = _with_framing(sent, b"transfer-encoding: chunked")
        whole = head + dice.choice(CHUNKS) + dice.choice((b"", sent.body))
    return Script("misframed", [whole], Ending.HALF_CLOSES)


LINES = (
    b"GET /healthz", b"GET /healthz HTTP/0.9", b"GET /healthz HTTP/1.7", b"GET /healthz HTTP/2.0",
    b"GET  /healthz  HTTP/1.1", b"BREW /pot HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"GET * HTTP/1.1",
    b"OPTIONS * HTTP/1.1", b"GET healthz HTTP/1.1", b"get /healthz HTTP/1.1", b"TRACE / HTTP/1.1",
    b"GET http://a/healthz HTTP/1.1", b"GET ftp://a/ HTTP/1.1", b"GET /a#b HTTP/1.1",
    b"\x16\x03\x01", b"GET /\x00 HTTP/1.1", b"GET / HTTP/1.1 x",
    b"HEAD /readyz HTTP/1.1",
    b"GET /readyz HTTP/1.0", b"POST /v1/messages HTTP/1.0", b"M-SEARCH /v1/models HTTP/1.1",
    b"GET https://[::1 HTTP/1.1", b"GET //a HTTP/1.1", b"GET ?a HTTP/1.1", b"GET http:// HTTP/1.1",
)  # fmt: skip


def odd_line(make: Make, dice: random.Random) -> Script:
    del make
    host = dice.choice((b"host: " + HOST.encode(), b"", b"host: a\r\nhost: b", b"host:", b"x: y"))
    line = dice.choice(LINES)
    whole = line + b"\r\n" + (host + b"\r\n" if host else b"") + b"\r\n"
    return Script("odd line", [whole], Ending.HALF_CLOSES)


def garbage(make: Make, dice: random.Random) -> Script:
    del make
    return Script("garbage", [dice.randbytes(dice.randrange(1, 300))], Ending.HALF_CLOSES)


KINDS: Sequence[tuple[Kind, int]] = (
    (split, 10),
    (slow, 3),
    (pipelined, 8),
    (chunked, 10),
    (expecting, 6),
    (offering_upgrade, 3),
    (oversize, 5),
    (flipped, 14),
    (inserted, 12),
    (truncated, 8),
    (half_closed, 5),
    (reset, 4),
    (misframed, 14),
    (odd_line, 6),
    (garbage, 3),
)
