"""An answer of an AWS operation beside its service model, as it left: status, headers, body."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

import botocore.session
import msgspec
from botocore import parsers
from botocore.eventstream import EventStreamBuffer
from botocore.model import OperationModel

from craton.apis.aws.operations import Entry
from tests.conformance.recording import Record
from tests.conformance.shapes import breaches, document_of, wire_name

COMMON: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MalformedQueryString": 400,
    "MissingAuthenticationTokenException": 403,
    "SerializationException": 400,
    "ThrottlingException": 429,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
    # The same in the query protocol's words.
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "IncompleteSignature": 403,
    "InvalidClientTokenId": 403,
    "MissingAuthenticationToken": 403,
    "SignatureDoesNotMatch": 403,
    "Throttling": 429,
    "ValidationError": 400,
    # HTTP's own, which no service declares.
    "ServiceUnavailableException": 503,
}
"""Errors that an operation needn't declare ("Common errors" of the API references)."""
NOT_BUILT = frozenset({"UnsupportedOperationException", "UnsupportedOperation"})
HTTP_REFUSALS = frozenset({405, 408, 411, 413, 414, 415, 417, 431, 501, 503, 505})
"""What is refused before it is anybody's request has HTTP's own status."""

EC2_STATUSES = frozenset({400, 401, 403, 404, 412, 500, 503})
"""What EC2's errors come with ("Error codes for the Amazon EC2 API")."""


@lru_cache(maxsize=64)
def operation_model(service: str, name: str) -> OperationModel:
    return _session().get_service_model(service).operation_model(name)


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return botocore.session.Session()


class Judged(msgspec.Struct, frozen=True):
    """What came of a request, and what of its answer breaks the model."""

    outcome: str
    breaches: list[str]


def judged(entry: Entry, record: Record) -> Judged:
    """The outcome of a call of an operation: answered, streamed, refused with a code, not built."""
    model = operation_model(*entry.key)
    headers = {name.decode().lower(): value.decode() for name, value in record.answer_headers}
    if record.method == "HEAD":
        return Judged("asked by HEAD", [])
    wrong = [] if "x-amzn-requestid" in headers else ["no x-amzn-requestid"]
    if record.status >= 300:
        code, found = _of_error(model, entry, record, headers)
        outcome = "not built" if code in NOT_BUILT else f"refused: {code}"
        return Judged(outcome, wrong + list(found))
    if record.is_stream:
        return Judged("streamed", wrong + list(_of_stream(model, record.answer)))
    if entry.protocol != "rest-json":
        return Judged("answered", wrong + list(_of_xml(model, entry, record)))
    return Judged("answered", wrong + list(_of_answer(model, record, headers)))


def _of_answer(model: OperationModel, record: Record, headers: dict[str, str]) -> Iterator[str]:
    shape: Any = model.output_shape
    expected = model.http.get("responseCode", 200)
    if record.status != expected:
        yield f"status {record.status}, and the model says {expected}"
    if shape is None:
        return
    for name, member in shape.members.items():
        located = member.serialization.get("location")
        if located == "header":
            value = headers.get(wire_name(name, member).lower())
            if value is not None:
                yield from breaches(member, value, f"the header of {name}")
            elif name in shape.required_members:
                yield f"the header of {name}: required, and not there"
    payload = shape.serialization.get("payload")
    if payload is not None and shape.members[payload].type_name in ("blob", "string"):
        return
    document = msgspec.json.decode(record.answer)
    yield from breaches(shape if payload is None else shape.members[payload], document)


def _of_stream(model: OperationModel, body: bytes) -> Iterator[str]:
    """Each frame is an event or an exception that the stream's union has."""
    union: Any = model.get_event_stream_output()
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    for number, frame in enumerate(buffer):
        kind = frame.headers.get(":message-type")
        name = frame.headers.get(f":{kind}-type")
        member = union.members.get(name)
        if kind not in ("event", "exception") or member is None:
            yield f"frame {number}: {kind} {name!r} is none of {union.name}"
        elif member.metadata.get("exception", False) is not (kind == "exception"):
            yield f"frame {number}: {name} as {kind}"
        else:
            document = msgspec.json.decode(frame.payload)
            yield from breaches(member, document, f"frame {number}, {name}")


def _of_xml(model: OperationModel, entry: Entry, record: Record) -> Iterator[str]:
    """The result stands in a wrapper of the operation's name, or in EC2's case is the whole."""
    shape: Any = model.output_shape
    root = ElementTree.fromstring(record.answer)
    tag = root.tag.rpartition("}")[2]
    if tag != f"{entry.name}Response":
        yield f"the answer is called {tag}"
    parts = {child.tag.rpartition("}")[2]: child for child in root}
    if shape is None:
        if parts.keys() != {"requestId" if entry.protocol == "ec2" else "ResponseMetadata"}:
            yield f"an answer without output has {sorted(parts)}"
        return
    wrapper = shape.serialization.get("resultWrapper")
    if wrapper is not None:
        result = parts.pop(wrapper, None)
        if result is None or parts.keys() != {"ResponseMetadata"}:
            yield f"no {wrapper} beside ResponseMetadata"
            return
        yield from breaches(shape, document_of(shape, result))
    elif "requestId" not in parts:
        yield "no requestId"
    else:
        root.remove(parts["requestId"])
        yield from breaches(shape, document_of(shape, root))


def _of_error(
    model: OperationModel, entry: Entry, record: Record, headers: dict[str, str]
) -> tuple[str, list[str]]:
    parser = parsers.create_parser(entry.protocol)
    parsed = parser.parse(
        {"body": record.answer, "headers": headers, "status_code": record.status},
        model.output_shape,
    )
    code, message = str(parsed["Error"]["Code"]), parsed["Error"]["Message"]
    found = [] if message else ["an error without a message"]
    declared: Any = {shape.name: shape for shape in model.error_shapes}
    services: Any = {shape.name: shape for shape in model.service_model.error_shapes}
    shape = declared.get(code) or services.get(code)
    if code in NOT_BUILT:
        expected = 501
    elif shape is not None and "error" in shape.metadata:
        expected = shape.metadata["error"]["httpStatusCode"]
        if entry.protocol == "rest-json":
            found += breaches(shape, msgspec.json.decode(record.answer))
    elif entry.protocol == "ec2":
        # EC2's model declares no error of any operation, so the status is all there is to judge.
        expected = record.status if record.status in EC2_STATUSES else None
    else:
        expected = COMMON.get(code)
    if record.status != expected and record.status not in HTTP_REFUSALS:
        found.append(f"the error {code} with status {record.status}, and it has {expected}")
    return code, found
