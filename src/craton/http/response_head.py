"""The status line and headers of an answer, as bytes."""

from functools import lru_cache
from http import HTTPStatus
from itertools import chain

from craton.http.message import HeaderPairs

BODILESS = frozenset({204, 304})
"""Statuses whose answers never have a body (RFC 9110, 6.4.1); 1xx are never given by a handler."""


@lru_cache(maxsize=128)
def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` and its line end."""
    assert 200 <= status <= 599, f"{status} is not the status of a final answer"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # a status of a protocol's own, such as 424 or 529
        phrase = "Status"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def header_lines(headers: HeaderPairs) -> bytes:
    """Headers as lines. Refuses a line break in a name or value: it would forge another header."""
    # One look at all of them together is cheaper than a look at each.
    text = b"".join(chain.from_iterable(headers))
    if b"\n" in text or b"\r" in text or b"\0" in text:
        raise ValueError("a header name or value has a line break or a NUL in it")
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])
