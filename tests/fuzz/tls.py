"""Malformed TLS: handshakes and records that are bent, and other protocols on the same port."""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterator, Sequence

from tests.fuzz import http2
from tests.fuzz.http2_trial import Http2Lane
from tests.fuzz.request import Sent
from tests.fuzz.requests import Maker
from tests.fuzz.trial import QUIET_S, Outcome, Plan, Stream, connect

PROPER = 0.2
"""How many inputs are HTTP/2 conversations, to see that the port still serves."""


class TlsLane:
    """One client; a connection for each input."""

    def __init__(  # noqa: PLR0917 - a player's form, and whom to trust
        self,
        plan: Plan,
        maker: Maker,
        host: str,
        port: int,
        outcome: Outcome,
        context: ssl.SSLContext,
    ) -> None:
        self._plan = plan
        self._maker = maker
        self._address = host, port
        self._outcome = outcome
        self._context = context
        self._http2 = Http2Lane(plan, maker, host, port, outcome, context)

    async def run(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            dice = random.Random(f"tls {self._plan.seed} {number}")
            if dice.random() < PROPER:
                await self._http2.play(number, await self._http2.made(dice))
            else:
                await self._play(number, dice)
            self._outcome.sent += 1

    def _make(self, dice: random.Random) -> Sent:
        return self._maker.make(dice, at_s=time.time())

    async def _play(self, number: int, dice: random.Random) -> None:
        (kind,) = dice.choices([k for k, _ in KINDS], [weight for _, weight in KINDS])
        name = f"tls {kind.__name__.replace('_', ' ')}"
        client = Handshake(self._context, self._address[0])
        stream = await connect(*self._address)
        try:
            async with asyncio.timeout(self._plan.answer_limit_s):
                await kind(client, stream, self._make(dice).whole, dice)
                stream[1].write_eof()
                while await stream[0].read(65_536):
                    pass
            self._outcome.counts[name, "closed"] += 1
        except OSError:
            self._outcome.counts[name, "reset"] += 1
        except TimeoutError:
            text = f"not closed within {self._plan.answer_limit_s} s"
            self._outcome.fault(number, name, text, client.sent)
        finally:
            stream[1].transport.abort()


class Handshake:
    """TLS without a socket, so that each of its bytes can be bent."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self.sent = b""

    def hello(self) -> bytes:
        """The first message."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    async def finish(self, stream: Stream) -> None:
        """Shake hands properly."""
        reader, writer = stream
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(self._out.read())
                data = await reader.read(65_536)
                if not data:
                    raise ConnectionResetError from None
                self._in.write(data)
            else:
                writer.write(self._out.read())
                return

    def sealed(self, data: bytes) -> bytes:
        """Data as records."""
        self._tls.write(data)
        return self._out.read()

    def send(self, stream: Stream, data: bytes) -> None:
        self.sent += data
        stream[1].write(data)


def _bent(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 20))):
        at = dice.randrange(len(changed))
        match dice.randrange(4):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.randrange(256)
            case 2 if len(changed) > 8:
                del changed[at : at + dice.randrange(1, 8)]
            case _:
                changed[at:at] = dice.randbytes(dice.randrange(1, 8))
    return bytes(changed)


ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
STARTS = (b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01", b"\x17\x03\x03")


async def garbage(client: Handshake, stream: Stream, plain: bytes, dice: random.Random) -> None:
    del plain
    start = dice.choice(STARTS)
    client.send(stream, start + dice.randbytes(dice.randrange(1, 600)))


async def bent_hello(client: Handshake, stream: Stream, plain: bytes, dice: random.Random) -> None:
    del plain
    client.send(stream, _bent(client.hello(), dice))


async def cut_hello(client: Handshake, stream: Stream, plain: bytes, dice: random.Random) -> None:
    del plain
    hello = client.hello()
    client.send(stream, hello[: dice.randrange(len(hello))])


async def no_tls(client: Handshake, stream: Stream, plain: bytes, dice: random.Random) -> None:
    client.send(stream, dice.choice((plain, http2.opening(), b"\r\n", b"\0", ALERT)))


async def old_hello(client: Handshake, stream: Stream, plain: bytes, dice: random.Random) -> None:
    del plain
    hello = bytearray(client.hello())
    hello[9:11] = dice.choice((b"\x03\x00", b"\x03\x01", b"\x03\x02", b"\x02\x00", b"\xff\xff"))
    client.send(stream, bytes(hello))


async def bent_handshake(
    client: Handshake, stream: Stream, plain: bytes, dice: random.Random
) -> None:
    """A good hello, and then no good end of the handshake."""
    client.send(stream, client.hello())
    await stream[0].read(65_536)
    client.send(stream, dice.choice((plain, dice.randbytes(200), client.sent)))


async def bent_records(
    client: Handshake, stream: Stream, plain: bytes, dice: random.Random
) -> None:
    await client.finish(stream)
    data = dice.choice((plain, http2.opening() + dice.randbytes(80)))
    client.send(stream, _bent(client.sealed(data), dice))
    await asyncio.sleep(QUIET_S * dice.random())


async def good_records_then_bent(
    client: Handshake, stream: Stream, plain: bytes, dice: random.Random
) -> None:
    await client.finish(stream)
    client.send(stream, client.sealed(plain))
    client.send(stream, dice.choice((plain, dice.randbytes(99), b"\x17\x03\x03\xff\xff", b"\x15")))


async def cut_records(client: Handshake, stream: Stream, plain: bytes, dice: random.Random) -> None:
    """An end without a close_notify."""
    await client.finish(stream)
    records = client.sealed(plain)
    client.send(stream, records[: dice.randrange(len(records))])


Kind = Callable[[Handshake, Stream, bytes, random.Random], object]
KINDS: Sequence[tuple[Kind, int]] = (
    (garbage, 10), (bent_hello, 25), (cut_hello, 8), (no_tls, 8), (old_hello, 6),
    (bent_handshake, 10), (bent_records, 15), (good_records_then_bent, 10), (cut_records, 8),
)  # fmt: skip
