"""From the fields of an HTTP/2 header block to a request, or to the reason why it is none.

RFC 9113, sections 8.2 and 8.3, and what the HTTP/1.1 reader refuses as well. h2 has such checks,
too, but ends the whole connection where one fails; here the one request is answered with 400.
"""

import re
from collections.abc import Iterable

from craton.http.limits import Code, ServerLimits
from craton.http.message import Headers, HttpRequest
from craton.http.request_reader import METHODS
from craton.kernel.errors import BadRequest, CratonError, TooLarge, Unsupported

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"[!-~]+")
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
_OF_A_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_BLANKS = b" \t"


def read_request(
    fields: Iterable[tuple[bytes, bytes]], limits: ServerLimits, *, peer: str
) -> tuple[HttpRequest | None, CratonError | None]:
    """The request of a header block, without its body, and why it can't be taken, if it can't.

    `:authority` becomes the Host header, first of all, so that a signature over `host` is checked
    the same way for each HTTP version. A request that can't be taken is told as far as its path
    was understood, and None if it wasn't.
    """
    pseudo: dict[bytes, bytes] = {}
    pairs: list[tuple[bytes, bytes]] = []
    size, reason = 0, ""
    for name, value in fields:
        size += len(name) + len(value) + 4
        if name[:1] == b":":
            if pairs or name in pseudo or name not in _PSEUDO or not _VALUE.fullmatch(value):
                reason = reason or f"the pseudo-header {_shown(name)} is misplaced or unknown"
            pseudo[name] = value
            continue
        reason = reason or _field_fault(name, value)
        pairs.append((name, value.strip(_BLANKS)))
    target = pseudo.get(b":path", b"")
    is_path = target[:1] == b"/" and _TARGET.fullmatch(target) is not None and b"#" not in target
    raw_path, _, raw_query = target.partition(b"?")
    reason = reason or _authority_fault(pseudo, pairs)
    method = pseudo.get(b":method", b"")
    name = METHODS.get(method) or method.decode("latin-1")
    is_known = is_path or (target == b"*" and method == b"OPTIONS")
    request = (
        HttpRequest(name, raw_path, raw_query, Headers(pairs), b"", peer) if is_known else None
    )
    error: CratonError | None = None
    if size > limits.head_bytes_max or len(pairs) > limits.headers_max:
        error = head_too_large(limits)
    elif not method or (method in METHODS and not pseudo.get(b":scheme")):
        error = _malformed("it needs one each of :method, :scheme and :path")
    elif reason:
        error = _malformed(reason)
    elif method not in METHODS:
        error = Unsupported(
            f"Method {name[:40]} is not served here. Use one of {', '.join(METHODS.values())}.",
            code=Code.NOT_IMPLEMENTED,
        )
    elif not is_known:
        error = BadRequest("The request target is not a path. Send one that begins with /.")
    elif b"host" not in dict(pairs):
        error = _malformed("it needs an :authority or a Host header")
    return request, error


def head_too_large(limits: ServerLimits) -> TooLarge:
    """The refusal of too many or too long headers."""
    return TooLarge(
        f"The path and headers are over {limits.head_bytes_max} bytes or {limits.headers_max} "
        "headers. Send fewer or shorter ones.",
        code=Code.HEADERS_TOO_LARGE,
    )


def refused_by_head(request: HttpRequest, limits: ServerLimits) -> CratonError | None:
    """Why a well-formed request's body need not be waited for; None if it is wanted."""
    headers = request.headers
    length = headers.get(b"content-length")
    if length is not None and int(length) > limits.body_bytes_max:
        return body_too_large(limits)
    expect = headers.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        return BadRequest(
            "The only expectation served here is '100-continue'. Leave Expect out.",
            code=Code.EXPECTATION_FAILED,
        )
    return None


def body_too_large(limits: ServerLimits) -> TooLarge:
    """The refusal of a body over the limit."""
    return TooLarge(f"The request body is over {limits.body_bytes_max} bytes. Send a smaller one.")


def _field_fault(name: bytes, value: bytes) -> str:
    if not _NAME.fullmatch(name):
        return f"the header name {_shown(name)} has a character that none may have"
    if not _VALUE.fullmatch(value):
        return f"the value of the header {_shown(name)} has a character that none may have"
    if name in _OF_A_CONNECTION or (name == b"te" and value.strip(_BLANKS).lower() != b"trailers"):
        return f"the header {_shown(name)} has no meaning in HTTP/2"
    return ""


def _authority_fault(pseudo: dict[bytes, bytes], pairs: list[tuple[bytes, bytes]]) -> str:
    hosts = [value for name, value in pairs if name == b"host"]
    authority = pseudo.get(b":authority")
    if not authority:  # empty, as some SDKs send it beside Host, says as little as none
        return "Host came more than once" if len(hosts) > 1 else ""
    if any(host != authority for host in hosts) or len(hosts) > 1:
        return "Host is not :authority"
    if not hosts:
        pairs.insert(0, (b"host", authority))
    return ""


def _malformed(reason: str) -> BadRequest:
    return BadRequest(f"Malformed HTTP/2 request: {reason}. Send a valid one.")


def _shown(name: bytes) -> str:
    return repr(name[:40].decode("latin-1"))
