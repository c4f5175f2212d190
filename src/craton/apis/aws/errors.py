"""Every fault as the operation's own modelled error.

For each fault there are names in order of fitness; the first that the operation declares is used,
then the first that its service has anywhere, else the first. `CratonError.code` goes before all of
them where it is a name that this wire knows.

    Status   What a client does with it
    4xx      raises the error at once
    429, 50x tries again, as it should for trouble that passes
    501      raises the error at once: no SDK retries it, and an operation that isn't built yet
             won't be on the second try either
"""

from collections.abc import Mapping

import msgspec

from craton.apis.aws.ec2_errors import name_ec2_error
from craton.apis.aws.model import EC2, QUERY
from craton.apis.aws.operations import REST_JSON, Entry, entries
from craton.apis.aws.render import REQUEST_ID, Reply
from craton.apis.aws.xml import CONTENT_TYPES, DECLARATION, xml_text
from craton.kernel.errors import CratonError, Fault, NotBuilt, NotFound

COVERAGE_PAGE = "docs/coverage.md"

_NAMES: Mapping[Fault, tuple[tuple[str, int], ...]] = {
    Fault.BAD_REQUEST: (("ValidationException", 400),),
    Fault.UNSUPPORTED: (("ValidationException", 400),),
    Fault.CONTEXT_OVERFLOW: (("ValidationException", 400),),
    Fault.TOO_LARGE: (("ValidationException", 400),),
    Fault.UNAUTHENTICATED: (("UnrecognizedClientException", 403),),
    Fault.ACCESS_DENIED: (("AccessDeniedException", 403),),
    Fault.NOT_FOUND: (("ResourceNotFoundException", 404), ("ValidationException", 400)),
    Fault.CONFLICT: (("ConflictException", 409), ("ValidationException", 400)),
    Fault.NOT_BUILT: (("UnsupportedOperationException", 501),),
    Fault.THROTTLED: (("ThrottlingException", 429),),
    Fault.BUDGET_EXCEEDED: (("ServiceQuotaExceededException", 400),),
    Fault.ENGINE_FAILED: (("ModelErrorException", 424), ("InternalServerException", 500)),
    Fault.ENGINE_TIMEOUT: (("ModelTimeoutException", 408), ("InternalServerException", 500)),
    Fault.ENGINE_NOT_READY: (
        ("ModelNotReadyException", 429),
        ("ServiceUnavailableException", 503),
    ),
    Fault.UNAVAILABLE: (("ServiceUnavailableException", 503),),
    Fault.INTERNAL: (("InternalServerException", 500),),
}

_COMMON = {
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "IncompleteSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ExpiredTokenException": 403,
    "UnknownOperationException": 404,
    "SerializationException": 400,
    "MalformedQueryString": 400,
    "InvalidAction": 400,
    "InvalidParameterValue": 400,
    "InvalidQueryParameter": 400,
    "MissingAction": 400,
    "MissingParameter": 400,
}
"""Errors that every service has and no model declares ("Common errors" of the API references)."""

_QUERY_NAMES = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "IncompleteSignatureException": "IncompleteSignature",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "ExpiredTokenException": "ExpiredToken",
    "AccessDeniedException": "AccessDenied",
    "ValidationException": "ValidationError",
    "SerializationException": "ValidationError",
    "ThrottlingException": "Throttling",
    "ServiceUnavailableException": "ServiceUnavailable",
    "InternalServerException": "InternalFailure",
    "UnsupportedOperationException": "UnsupportedOperation",
}
"""What the query protocol's services call the same."""

_encode = msgspec.json.Encoder().encode


def render_error(error: CratonError, entry: Entry | None, request_id: str) -> Reply:
    """The answer that tells a client of an error; `entry` is None where no operation was found."""
    code, status = name_error(error, entry)
    protocol = REST_JSON if entry is None else entry.protocol
    headers = [(REQUEST_ID, request_id.encode())]
    if protocol == REST_JSON:
        headers += [(b"x-amzn-errortype", code.encode()), (b"content-type", b"application/json")]
        return status, headers, _encode({"message": error.message, **_required(code, entry)})
    if protocol == "json":
        headers.append((b"content-type", b"application/x-amz-json-1.1"))
        return status, headers, _encode({"__type": code, "message": error.message})
    if protocol == QUERY:
        code = _QUERY_NAMES.get(code, code)
    headers.append((b"content-type", CONTENT_TYPES[protocol]))
    message, request_id = xml_text(error.message), xml_text(request_id)
    if protocol == EC2:
        body = (
            f"{DECLARATION}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            f"</Errors><RequestID>{request_id}</RequestID></Response>"
        )
    else:
        side = "Sender" if status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code>"
            f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId>"
            "</ErrorResponse>"
        )
    return status, headers, body.encode()


def _required(code: str, entry: Entry | None) -> Mapping[str, str]:
    """What an error must say beside its message.

    Of all errors of all services only the ValidationException of bedrock-agentcore and its control
    plane must, and what isn't built is refused before any field of it is looked at.
    """
    is_reasoned = entry is not None and entry.service.startswith("bedrock-agentcore")
    return _REASON if is_reasoned and code == "ValidationException" else {}


_REASON = {"reason": "CannotParse"}


def name_error(error: CratonError, entry: Entry | None) -> tuple[str, int]:
    """The name and HTTP status of an error, among those the operation declares if it can be."""
    declared = {} if entry is None else entry.errors
    if entry is not None and entry.protocol == EC2:
        return name_ec2_error(error)
    code = error.code
    if code is not None:
        status = declared.get(code) or _COMMON.get(code)
        if status is not None:
            return code, status
    names = _NAMES[error.fault]
    for errors in (declared, {} if entry is None else _errors_of_service(entry.service)):
        for name, _ in names:
            if name in errors:
                return name, errors[name]
    return names[0]


_SERVICE_ERRORS: dict[str, dict[str, int]] = {}


def _errors_of_service(service: str) -> Mapping[str, int]:
    if not _SERVICE_ERRORS:
        for entry in entries():
            _SERVICE_ERRORS.setdefault(entry.service, {}).update(entry.errors)
    return _SERVICE_ERRORS.get(service, {})


def unknown_operation(method: str, raw_path: bytes) -> NotFound:
    """The error for a path that no service has."""
    path = raw_path[:200].decode("latin-1")
    return NotFound(
        f"No operation of any service answers to {method[:20]} {path}. Check the endpoint and the "
        "SDK's service.",
        code="UnknownOperationException",
    )


def not_built(entry: Entry) -> NotBuilt:
    """The error for an operation that is known and not served yet."""
    return NotBuilt(
        f"{entry.service}.{entry.name} is not built yet in Craton. {COVERAGE_PAGE} lists what is."
    )
