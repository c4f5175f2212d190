"""The status line and headers of an answer, as bytes."""

from functools import lru_cache
from http import HTTPStatus

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
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    # Two counts over all of them are cheaper than a look at each.
    count = len(headers)
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        raise ValueError("a header name or value has a line break or a NUL in it")
    return lines
