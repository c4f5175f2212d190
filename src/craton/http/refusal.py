"""The plain answers to what can't be taken, for whoever brings no words of their own."""

import msgspec

from craton.http.limits import Code
from craton.http.message import HttpRequest, HttpResponder, Reply
from craton.kernel.errors import CratonError, Fault

_STATUS = {
    Fault.BAD_REQUEST: 400,
    Fault.UNSUPPORTED: 400,
    Fault.TOO_LARGE: 413,
    Fault.THROTTLED: 429,
    Fault.UNAVAILABLE: 503,
}
_STATUS_OF_CODE = {
    Code.REQUEST_TIMEOUT: 408,
    Code.EXPECTATION_FAILED: 417,
    Code.HEADERS_TOO_LARGE: 431,
    Code.NOT_IMPLEMENTED: 501,
    Code.VERSION_NOT_SUPPORTED: 505,
}
_JSON = (b"content-type", b"application/json")


def refusal_status(error: CratonError) -> int:
    """The HTTP status of a refusal: RFC 9110's finer one where the error's code names it."""
    if error.code is not None and error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[Code(error.code)]
    return _STATUS.get(error.fault, 500)


def plain_refusal(request: HttpRequest | None, error: CratonError) -> Reply:  # noqa: ARG001 - the seam's form; a plain answer is the same for every path
    """A JSON object with the error's kind and message."""
    body = msgspec.json.encode({"error": {"type": error.fault, "message": error.message}})
    return refusal_status(error), (_JSON,), body


def plain_internal_error(
    request: HttpRequest,  # noqa: ARG001 - the seam's form
    responder: HttpResponder,
    exception: Exception,  # noqa: ARG001 - its text is for our log, never for the client
) -> None:
    """A 500 that tells nothing of the inside; or a cut stream, if one had begun."""
    if responder.is_started:
        responder.abort()
        return
    body = b'{"error":{"type":"internal","message":"Internal error. It was logged; try again."}}'
    responder.respond(500, (_JSON,), body)
