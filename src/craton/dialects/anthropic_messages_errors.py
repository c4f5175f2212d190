"""Errors of Anthropic's API: each fault's status and type, and the fault of each.

Sources: https://platform.claude.com/docs/en/api/errors, and how the anthropic Python library treats
each: it raises a typed exception by status, and sends a request again after 408, 409, 429 and every
5xx. So what a repetition can't mend has another status.
"""

import re
from typing import Any, cast

import msgspec

from craton.kernel.errors import CratonError, Fault, raised

_RENDERED: dict[Fault, tuple[int, str]] = {
    Fault.BAD_REQUEST: (400, "invalid_request_error"),
    Fault.UNSUPPORTED: (400, "invalid_request_error"),
    Fault.CONTEXT_OVERFLOW: (400, "invalid_request_error"),
    Fault.TOO_LARGE: (413, "request_too_large"),
    Fault.UNAUTHENTICATED: (401, "authentication_error"),
    Fault.ACCESS_DENIED: (403, "permission_error"),
    Fault.NOT_FOUND: (404, "not_found_error"),
    Fault.CONFLICT: (409, "invalid_request_error"),
    # A 501 would be sent twice more, in vain.
    Fault.NOT_BUILT: (404, "not_found_error"),
    Fault.THROTTLED: (429, "rate_limit_error"),
    Fault.BUDGET_EXCEEDED: (402, "billing_error"),
    Fault.ENGINE_FAILED: (502, "api_error"),
    Fault.ENGINE_TIMEOUT: (504, "timeout_error"),
    Fault.ENGINE_NOT_READY: (529, "overloaded_error"),
    Fault.UNAVAILABLE: (503, "api_error"),
    Fault.INTERNAL: (500, "api_error"),
}

_BY_STATUS = {
    400: Fault.BAD_REQUEST,
    401: Fault.UNAUTHENTICATED,
    402: Fault.BUDGET_EXCEEDED,
    403: Fault.ACCESS_DENIED,
    404: Fault.NOT_FOUND,
    408: Fault.ENGINE_TIMEOUT,
    409: Fault.CONFLICT,
    413: Fault.TOO_LARGE,
    422: Fault.BAD_REQUEST,
    429: Fault.THROTTLED,
    503: Fault.UNAVAILABLE,
    504: Fault.ENGINE_TIMEOUT,
    529: Fault.ENGINE_NOT_READY,
}
_BY_TYPE = {
    "invalid_request_error": Fault.BAD_REQUEST,
    "authentication_error": Fault.UNAUTHENTICATED,
    "billing_error": Fault.BUDGET_EXCEEDED,
    "permission_error": Fault.ACCESS_DENIED,
    "not_found_error": Fault.NOT_FOUND,
    "request_too_large": Fault.TOO_LARGE,
    "rate_limit_error": Fault.THROTTLED,
    "timeout_error": Fault.ENGINE_TIMEOUT,
    "overloaded_error": Fault.ENGINE_NOT_READY,
    # An upstream's internal error is not ours: to us its engine broke.
    "api_error": Fault.ENGINE_FAILED,
}

_OVERFLOW = re.compile(r"prompt is too long|context (window|limit|length)", re.IGNORECASE)
_encode = msgspec.json.encode


def error_body(error: CratonError, request_id: str) -> dict[str, Any]:
    """The error document."""
    inner = {"type": _RENDERED[error.fault][1], "message": error.message}
    return {"type": "error", "error": inner, "request_id": request_id}


def write_error(error: CratonError, request_id: str) -> tuple[int, bytes]:
    """HTTP status and body of an error."""
    return _RENDERED[error.fault][0], _encode(error_body(error, request_id))


def read_error(status: int, body: bytes) -> CratonError:
    """The error that an upstream's refusal stands for."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    error: Any = cast("dict[str, Any]", document).get("error") if type(document) is dict else None
    if type(error) is dict:
        inner = cast("dict[str, Any]", error)
        message, kind = inner.get("message"), inner.get("type")
        return error_of(
            status,
            kind if isinstance(kind, str) else None,
            message if isinstance(message, str) else None,
        )
    text = body[:200].decode(errors="replace").strip()
    return raised(_fault_of(status, None), f"The upstream answered {status}: {text or 'no body'}.")


def error_of(status: int, kind: str | None, message: str | None) -> CratonError:
    """The error of an error object; inside a stream its type alone tells the fault."""
    fault = _fault_of(status, kind)
    if fault is Fault.BAD_REQUEST and message is not None and _OVERFLOW.search(message):
        fault = Fault.CONTEXT_OVERFLOW
    return raised(fault, message or f"The upstream answered {status} without a message.")


def _fault_of(status: int, kind: str | None) -> Fault:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    return Fault.BAD_REQUEST if 400 <= status < 500 else Fault.ENGINE_FAILED
