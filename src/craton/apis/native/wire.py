"""How the native API says no: one JSON object with the error's kind, message and request id."""

import msgspec

from craton.apis.native.contract import ErrorBody, ErrorDetail
from craton.http import Reply
from craton.kernel.errors import CratonError, Fault

STATUS = {
    Fault.BAD_REQUEST: 400,
    Fault.UNSUPPORTED: 400,
    Fault.CONTEXT_OVERFLOW: 400,
    Fault.TOO_LARGE: 413,
    Fault.UNAUTHENTICATED: 401,
    Fault.ACCESS_DENIED: 403,
    Fault.NOT_FOUND: 404,
    Fault.CONFLICT: 409,
    Fault.NOT_BUILT: 501,
    Fault.THROTTLED: 429,
    Fault.BUDGET_EXCEEDED: 402,
    Fault.ENGINE_FAILED: 424,
    Fault.ENGINE_TIMEOUT: 504,
    Fault.ENGINE_NOT_READY: 503,
    Fault.UNAVAILABLE: 503,
    Fault.INTERNAL: 500,
}
JSON = (b"content-type", b"application/json")
REQUEST_ID = b"x-craton-request-id"


class NativeWire:
    """The native API's errors."""

    name = "craton"

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error as `{"error": {"type", "message", "request_id"}}`."""
        body = ErrorBody(ErrorDetail(error.fault, error.message, request_id))
        headers = (JSON, (REQUEST_ID, request_id.encode()))
        return STATUS[error.fault], headers, msgspec.json.encode(body)
