"""Converse's names for what can go wrong, both ways.

The service model declares nine exceptions for the operation and five for the stream. What has no
name of its own there takes the nearest; the message says the rest.
"""

import re

from craton.dialects.converse_members import Members
from craton.kernel.errors import CratonError, Fault, raised

CODES: dict[Fault, str] = {
    Fault.BAD_REQUEST: "ValidationException",
    Fault.UNSUPPORTED: "ValidationException",
    Fault.CONTEXT_OVERFLOW: "ValidationException",
    Fault.TOO_LARGE: "ValidationException",
    Fault.UNAUTHENTICATED: "UnrecognizedClientException",
    Fault.ACCESS_DENIED: "AccessDeniedException",
    Fault.NOT_FOUND: "ResourceNotFoundException",
    Fault.CONFLICT: "ConflictException",
    Fault.NOT_BUILT: "UnsupportedOperationException",
    Fault.THROTTLED: "ThrottlingException",
    Fault.BUDGET_EXCEEDED: "ServiceQuotaExceededException",
    Fault.ENGINE_FAILED: "ModelErrorException",
    Fault.ENGINE_TIMEOUT: "ModelTimeoutException",
    Fault.ENGINE_NOT_READY: "ModelNotReadyException",
    Fault.UNAVAILABLE: "ServiceUnavailableException",
    Fault.INTERNAL: "InternalServerException",
}
"""The exception of the service model that stands for each fault."""

_FAULTS = {
    "ValidationException": Fault.BAD_REQUEST,
    "SerializationException": Fault.BAD_REQUEST,
    "UnrecognizedClientException": Fault.UNAUTHENTICATED,
    "InvalidSignatureException": Fault.UNAUTHENTICATED,
    "IncompleteSignatureException": Fault.UNAUTHENTICATED,
    "MissingAuthenticationTokenException": Fault.UNAUTHENTICATED,
    "ExpiredTokenException": Fault.UNAUTHENTICATED,
    "AccessDeniedException": Fault.ACCESS_DENIED,
    "ResourceNotFoundException": Fault.NOT_FOUND,
    "ConflictException": Fault.CONFLICT,
    "UnsupportedOperationException": Fault.NOT_BUILT,
    "UnknownOperationException": Fault.NOT_BUILT,
    "ThrottlingException": Fault.THROTTLED,
    "ServiceQuotaExceededException": Fault.BUDGET_EXCEEDED,
    "ModelErrorException": Fault.ENGINE_FAILED,
    "ModelStreamErrorException": Fault.ENGINE_FAILED,
    "ModelTimeoutException": Fault.ENGINE_TIMEOUT,
    "ModelNotReadyException": Fault.ENGINE_NOT_READY,
    "ServiceUnavailableException": Fault.UNAVAILABLE,
    "InternalServerException": Fault.INTERNAL,
}
_FAULTS_BY_STATUS = {
    400: Fault.BAD_REQUEST,
    401: Fault.UNAUTHENTICATED,
    403: Fault.ACCESS_DENIED,
    404: Fault.NOT_FOUND,
    408: Fault.ENGINE_TIMEOUT,
    409: Fault.CONFLICT,
    413: Fault.TOO_LARGE,
    424: Fault.ENGINE_FAILED,
    429: Fault.THROTTLED,
    500: Fault.INTERNAL,
    501: Fault.NOT_BUILT,
}

_STREAM_EXCEPTIONS = {
    Fault.BAD_REQUEST: "validationException",
    Fault.UNSUPPORTED: "validationException",
    Fault.CONTEXT_OVERFLOW: "validationException",
    Fault.TOO_LARGE: "validationException",
    Fault.THROTTLED: "throttlingException",
    Fault.BUDGET_EXCEEDED: "throttlingException",
    Fault.ENGINE_FAILED: "modelStreamErrorException",
    Fault.ENGINE_TIMEOUT: "modelStreamErrorException",
    Fault.ENGINE_NOT_READY: "serviceUnavailableException",
    Fault.UNAVAILABLE: "serviceUnavailableException",
}

# Bedrock has no code of its own for a prompt that is too long; each lab's models have a phrase:
# Claude the first, Nova the second, open models the third.
_TOO_LONG = re.compile(r"too long|input tokens exceeded|maximum context length", re.IGNORECASE)


def stream_error(error: CratonError) -> tuple[str, Members]:
    """The type and members of the exception frame that stands for an error."""
    exception_type = _STREAM_EXCEPTIONS.get(error.fault, "internalServerException")
    document: Members = {"message": error.message}
    if exception_type == "modelStreamErrorException":
        document["originalStatusCode"] = 408 if error.fault is Fault.ENGINE_TIMEOUT else 424
        document["originalMessage"] = error.message
    return exception_type, document


def read_stream_error(exception_type: str, document: Members) -> CratonError:
    """The error that an exception frame stands for."""
    code = exception_type[:1].upper() + exception_type[1:]
    if code == "ModelStreamErrorException" and document.get("originalStatusCode") == 408:
        code = "ModelTimeoutException"
    return read_error(500, document, code=code)


def read_error(status: int, document: Members, *, code: str | None = None) -> CratonError:
    """The error that an upstream's refusal stands for.

    `code` is the `x-amzn-errortype` header, where the caller has it: Bedrock's bodies carry the
    message alone. Without it the status decides.
    """
    name = code or document.get("__type") or document.get("code")
    name = name.split(":")[0].rpartition("#")[2] if isinstance(name, str) else None
    default = _FAULTS_BY_STATUS.get(status)
    if default is None:
        default = Fault.UNAVAILABLE if status >= 500 else Fault.BAD_REQUEST
    fault = _FAULTS.get(name, default) if name else default
    text = document.get("message") or document.get("Message")
    message = text if isinstance(text, str) else f"The model's server answered {status}."
    if fault is Fault.BAD_REQUEST and _TOO_LONG.search(message):
        fault = Fault.CONTEXT_OVERFLOW
    return raised(fault, message, name)
