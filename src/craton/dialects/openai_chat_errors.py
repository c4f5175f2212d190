"""Errors of OpenAI's API: each fault's status, type and code, and the fault of each.

Sources: https://platform.openai.com/docs/guides/error-codes, and how the openai Python library
treats each: it raises a typed exception by status, and sends a request again after 408, 409, 429
and every 5xx. So what a repetition can't mend has another status.
"""

import re
from typing import Any, cast

import msgspec

from craton.kernel.errors import (
    BadRequest,
    CratonError,
    EngineFailed,
    EngineNotReady,
    EngineTimeout,
    Fault,
    Throttled,
    raised,
)

_INVALID = "invalid_request_error"

_RENDERED: dict[Fault, tuple[int, str, str | None]] = {
    Fault.BAD_REQUEST: (400, _INVALID, None),
    Fault.UNSUPPORTED: (400, _INVALID, "unsupported_value"),
    Fault.CONTEXT_OVERFLOW: (400, _INVALID, "context_length_exceeded"),
    Fault.TOO_LARGE: (413, _INVALID, "request_too_large"),
    Fault.UNAUTHENTICATED: (401, _INVALID, "invalid_api_key"),
    Fault.ACCESS_DENIED: (403, _INVALID, "insufficient_permissions"),
    Fault.NOT_FOUND: (404, _INVALID, "model_not_found"),
    Fault.CONFLICT: (409, _INVALID, "conflict"),
    # An unknown URL is a 404 of theirs; a 501 would be sent twice more, in vain.
    Fault.NOT_BUILT: (404, _INVALID, "not_built"),
    Fault.THROTTLED: (429, "requests", "rate_limit_exceeded"),
    Fault.BUDGET_EXCEEDED: (429, "insufficient_quota", "insufficient_quota"),
    Fault.ENGINE_FAILED: (502, "server_error", "engine_failed"),
    Fault.ENGINE_TIMEOUT: (504, "server_error", "engine_timeout"),
    Fault.ENGINE_NOT_READY: (503, "server_error", "engine_not_ready"),
    Fault.UNAVAILABLE: (503, "server_error", "service_unavailable"),
    Fault.INTERNAL: (500, "server_error", "internal_error"),
}

_OWN_CODES = {
    "previous_response_not_found": "previous_response_not_found",
    "response_not_found": None,
}
"""Codes of errors that are finer than their fault, as OpenAI's API has them."""

_BY_CODE = {code: fault for fault, (_, _, code) in _RENDERED.items() if code is not None} | {
    "unsupported_parameter": Fault.UNSUPPORTED,
    "billing_hard_limit_reached": Fault.BUDGET_EXCEEDED,
    # An upstream's internal error is not ours: to us its engine broke.
    "internal_error": Fault.ENGINE_FAILED,
}

_BY_STATUS = {
    400: Fault.BAD_REQUEST,
    401: Fault.UNAUTHENTICATED,
    403: Fault.ACCESS_DENIED,
    404: Fault.NOT_FOUND,
    408: Fault.ENGINE_TIMEOUT,
    409: Fault.CONFLICT,
    413: Fault.TOO_LARGE,
    422: Fault.BAD_REQUEST,
    429: Fault.THROTTLED,
    503: Fault.ENGINE_NOT_READY,
    504: Fault.ENGINE_TIMEOUT,
}

_PARAM = re.compile(r"`([^`]+)`: ")
_OVERFLOW = re.compile(r"maximum context length|context window|context length", re.IGNORECASE)
_encode = msgspec.json.encode


def error_body(error: CratonError) -> dict[str, Any]:
    """The error object. `param` is the member that the message begins with, where it does."""
    _, kind, code = _RENDERED[error.fault]
    match = _PARAM.match(error.message)
    if error.code in _OWN_CODES:
        code = _OWN_CODES[error.code]
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "param": match[1] if match else None,
            "code": code,
        }
    }


def write_error(error: CratonError) -> tuple[int, bytes]:
    """HTTP status and body of an error."""
    return _RENDERED[error.fault][0], _encode(error_body(error))


def read_error(status: int, body: bytes) -> CratonError:
    """The error that an upstream's refusal stands for; by its code where it has a known one."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if isinstance(document, dict):
        return error_of(status, cast("dict[str, Any]", document))
    text = body[:200].decode(errors="replace").strip()
    return raised(_fault_of(status), f"The upstream answered {status}: {text or 'no body'}.")


def told_error(document: object) -> CratonError | None:
    """The error that stands in an answer whose HTTP status was 200, or None where none does.

    OpenRouter answers so whatever goes wrong once a model was asked, at the top or in a choice
    (https://openrouter.ai/docs/api/reference/errors-and-debugging). What is wrong between us and
    the upstream, such as our key or our budget there, is no fault of the caller's: EngineFailed.
    """
    if not isinstance(document, dict):
        return None
    body = cast("dict[str, Any]", document)
    if not body.get("error"):
        return None
    error = error_of(200, body)
    if isinstance(error, BadRequest | Throttled | EngineTimeout | EngineNotReady | EngineFailed):
        return error
    return EngineFailed(f"The upstream refused: {error.message}")


def told_error_in(body: bytes) -> CratonError | None:
    """The error in the bytes of an answer whose status was 200; None for anything else."""
    try:
        return told_error(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def error_of(status: int, document: dict[str, Any]) -> CratonError:
    """The error of an error document. Older vLLM puts its members at the top."""
    inner = document.get("error") or document
    if isinstance(inner, str):
        inner = {"message": inner}
    error = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    message = _words(error) or f"The upstream answered {status} without a message."
    code, kind = error.get("code"), error.get("type")
    if isinstance(code, int) and status < 400:
        status = code  # inside a stream the HTTP status was 200; vLLM repeats the real one here
    for name in (code, kind):
        if isinstance(name, str) and name in _BY_CODE:
            return raised(_BY_CODE[name], message)
    fault = _fault_of(status)
    if fault is Fault.BAD_REQUEST and _OVERFLOW.search(message):
        fault = Fault.CONTEXT_OVERFLOW
    return raised(fault, message)


def _words(error: dict[str, Any]) -> str:
    """What an error says; servers made with FastAPI, such as Mistral's, say it under `detail`."""
    said = error.get("message")
    if isinstance(said, dict):
        said = cast("dict[str, Any]", said).get("detail")
    elif said is None:
        said = error.get("detail")
    if isinstance(said, list):
        found = [_wrong_member(each) for each in cast("list[Any]", said)]
        return "; ".join(words for words in found if words)
    return said if isinstance(said, str) else ""


def _wrong_member(detail: object) -> str:
    """One of the members that FastAPI found wrong, by its path; what it held isn't told."""
    if not isinstance(detail, dict):
        return ""
    found = cast("dict[str, Any]", detail)
    path, what = found.get("loc"), found.get("msg")
    if not isinstance(what, str):
        return ""
    if not isinstance(path, list):
        return what
    return ".".join(str(step) for step in cast("list[Any]", path)) + ": " + what


def _fault_of(status: int) -> Fault:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Fault.BAD_REQUEST if 400 <= status < 500 else Fault.ENGINE_FAILED
