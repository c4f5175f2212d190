"""A smaller input that shows the same fault: the body is cut while it still does."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fuzz.request import Sent

TRIES_MAX = 150

Exchange = Callable[[Any, Sent], Awaitable[tuple[Any, list[str]]]]
Connect = Callable[[], Awaitable[Any]]


async def shrunk(sent: Sent, fault: str, connect: Connect, exchange: Exchange) -> bytes:
    """The smallest request found that has the same first fault; the request itself if none has."""
    length = b"content-length: %d\r\n" % len(sent.body)
    tries = 0

    async def shows(body: bytes) -> bool:
        nonlocal tries
        tries += 1
        head = sent.head.replace(length, b"content-length: %d\r\n" % len(body), 1)
        stream = await connect()
        try:
            _, faults = await exchange(stream, dataclasses.replace(sent, head=head, body=body))
        finally:
            stream[1].transport.abort()
        return fault in faults

    body = sent.body
    step = len(body) // 2
    while step and tries < TRIES_MAX and "within" not in fault:
        at = 0
        while at < len(body) and tries < TRIES_MAX:
            smaller = body[:at] + body[at + step :]
            if await shows(smaller):
                body = smaller
            else:
                at += step
        step //= 2
    return sent.head.replace(length, b"content-length: %d\r\n" % len(body), 1) + body
