"""EC2's own error codes, which no service model declares, and their HTTP statuses.

Sources: "Error codes for the Amazon EC2 API" in the EC2 Developer Guide has the codes and says that
a client's are 4xx and the server's 5xx; 401, 403, 412 and 503 are what EC2 was seen to answer with
(terraform issue 17273, moto's tests of DryRun, botocore's list of throttling errors). EC2 has one
code for each kind of thing that isn't there or is malformed, such as
`InvalidCapacityReservationId.NotFound`: those are spelled where the thing is.
"""

import re
from collections.abc import Mapping

from craton.kernel.errors import (
    AccessDenied,
    BadRequest,
    Conflict,
    CratonError,
    Fault,
    NotFound,
    Throttled,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

CODES: Mapping[str, int] = {
    "AuthFailure": 401,
    "Blocked": 403,
    "DryRunOperation": 412,
    "FilterLimitExceeded": 400,
    "IdempotentParameterMismatch": 400,
    "IncompleteSignature": 400,
    "IncorrectState": 400,
    "InsufficientInstanceCapacity": 500,
    "InternalError": 500,
    "InvalidAction": 400,
    "InvalidNextToken": 400,
    "InvalidParameter": 400,
    "InvalidParameterCombination": 400,
    "InvalidParameterValue": 400,
    "InvalidQueryParameter": 400,
    "MalformedQueryString": 400,
    "MissingAction": 400,
    "MissingParameter": 400,
    "NoSuchVersion": 400,
    "OperationNotPermitted": 400,
    "RequestExpired": 400,
    "RequestLimitExceeded": 503,
    "ReservationCapacityExceeded": 400,
    "ResourceLimitExceeded": 400,
    "SignatureDoesNotMatch": 403,
    "TagLimitExceeded": 400,
    "Unavailable": 503,
    "UnauthorizedOperation": 403,
    "UnknownParameter": 400,
    "Unsupported": 400,
    "UnsupportedOperation": 400,
    "UnsupportedProtocol": 400,
}

_OF_ONE_KIND = re.compile(r"(Invalid|Incorrect)[A-Za-z]+(\.[A-Za-z]+)?(?<!Exception)")

_SIGNING = {
    "UnrecognizedClientException": "AuthFailure",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "IncompleteSignatureException": "IncompleteSignature",
    # EC2 misses the parameter that a request signed in the old way has.
    "MissingAuthenticationTokenException": "MissingParameter",
    "ExpiredTokenException": "RequestExpired",
}
"""What EC2 calls the faults of a signature."""

_OF_FAULT: Mapping[Fault, tuple[str, int]] = {
    Fault.BAD_REQUEST: ("InvalidParameterValue", 400),
    Fault.UNSUPPORTED: ("Unsupported", 400),
    Fault.CONTEXT_OVERFLOW: ("InvalidParameterValue", 400),
    Fault.TOO_LARGE: ("InvalidParameterValue", 400),
    Fault.UNAUTHENTICATED: ("AuthFailure", 401),
    Fault.ACCESS_DENIED: ("UnauthorizedOperation", 403),
    Fault.NOT_FOUND: ("InvalidParameterValue", 400),
    Fault.CONFLICT: ("IncorrectState", 400),
    # 501 and not EC2's 400, as for every other operation that isn't built.
    Fault.NOT_BUILT: ("UnsupportedOperation", 501),
    Fault.THROTTLED: ("RequestLimitExceeded", 503),
    Fault.BUDGET_EXCEEDED: ("ResourceLimitExceeded", 400),
    Fault.ENGINE_FAILED: ("InternalError", 500),
    Fault.ENGINE_TIMEOUT: ("InternalError", 500),
    Fault.ENGINE_NOT_READY: ("Unavailable", 503),
    Fault.UNAVAILABLE: ("Unavailable", 503),
    Fault.INTERNAL: ("InternalError", 500),
}

_CLASSES: Mapping[str, type[CratonError]] = {
    "AuthFailure": Unauthenticated,
    "UnauthorizedOperation": AccessDenied,
    "RequestLimitExceeded": Throttled,
    "InsufficientInstanceCapacity": Unavailable,
    "Unavailable": Unavailable,
    "IncorrectState": Conflict,
    "IdempotentParameterMismatch": Conflict,
    "Unsupported": Unsupported,
    "UnsupportedOperation": Unsupported,
}


def name_ec2_error(error: CratonError) -> tuple[str, int]:
    """The code and HTTP status by which EC2 tells of an error."""
    code = error.code
    if code is not None:
        code = _SIGNING.get(code, code)
        status = CODES.get(code)
        if status is not None:
            return code, status
        if _OF_ONE_KIND.fullmatch(code):
            return code, 400
    return _OF_FAULT[error.fault]


def ec2_error(code: str, message: str) -> CratonError:
    """An error that EC2 has a code for; its fault follows from the code."""
    assert code in CODES or _OF_ONE_KIND.fullmatch(code), f"{code} is no code of EC2's"
    fallback: type[CratonError] = NotFound if code.endswith(".NotFound") else BadRequest
    return _CLASSES.get(code, fallback)(message, code=code)
