"""An operation's output to its answer: only what the model has, where the model puts it."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec

from craton.apis.aws.model import FORMS, Document, Location, Operation, Shape
from craton.apis.aws.validate import violations
from craton.apis.aws.xml import CONTENT_TYPES, write_answer

Reply = tuple[int, list[tuple[bytes, bytes]], bytes]
"""HTTP status, headers, body."""

REQUEST_ID = b"x-amzn-requestid"
_encode = msgspec.json.Encoder().encode


def render(operation: Operation, document: Document, request_id: str) -> Reply:
    """The answer of an operation; its output's members by botocore's names, blobs as bytes."""
    if operation.protocol in FORMS:
        content_type = (b"content-type", CONTENT_TYPES[operation.protocol])
        body = write_answer(operation, document, request_id).encode()
        return operation.status, [content_type, (REQUEST_ID, request_id.encode())], body
    shape, status = operation.output, operation.status
    headers = [(REQUEST_ID, request_id.encode())]
    if shape is None:
        return status, [(b"content-type", b"application/json"), *headers], b"{}"
    for name, member in shape.members.items():
        value = document.get(name)
        if value is None or member.location is Location.BODY:
            continue
        if member.location is Location.STATUS:
            status = int(value)
        elif member.location is Location.HEADER:
            text = _text(member.shape, value, member.timestamp_format or "rfc822")
            headers.append((member.wire_name.lower().encode(), text.encode()))
        elif member.location is Location.HEADERS:
            prefix = member.wire_name.lower()
            headers += [
                ((prefix + key.lower()).encode(), text.encode()) for key, text in value.items()
            ]
    body, content_type = _body(shape, document)
    return status, [(b"content-type", content_type), *headers], body


def check(shape: Shape, document: Document) -> list[str]:
    """What in one of our own answers breaks the model; empty for one that fits.

    For tests: SDKs silently accept answers that lack required members.
    """
    return violations(shape, document)


def _body(shape: Shape, document: Document) -> tuple[bytes, bytes]:
    if shape.payload is None:
        return _encode(project(shape, document)), b"application/json"
    member = shape.members[shape.payload]
    value = document.get(member.name)
    if member.shape.kind == "blob":
        return value or b"", b"application/octet-stream"
    if member.shape.kind == "string":
        return (value or "").encode(), b"text/plain"
    if value is None:
        return b"{}", b"application/json"
    return _encode(project(member.shape, value)), b"application/json"


def project(shape: Shape, value: Any) -> Any:  # noqa: ANN401 - what the shape says
    """A value as JSON, with the shape's members alone; bytes stay, to become base64."""
    return value if shape.is_document else _PROJECTORS.get(shape.kind, _as_it_is)(shape, value)


def _structure(shape: Shape, value: Document) -> Document:
    projected: Document = {}
    for wire_name, member in shape.body_members.items():
        item = value.get(member.name)
        if item is not None:
            projected[wire_name] = project(member.shape, item)
    return projected


def _list(shape: Shape, value: list[Any]) -> list[Any]:
    assert shape.element is not None
    element = shape.element
    return [project(element, item) for item in value]


def _map(shape: Shape, value: Document) -> Document:
    assert shape.value is not None
    inner = shape.value
    return {key: project(inner, item) for key, item in value.items()}


def _timestamp(shape: Shape, value: datetime) -> float | str:
    form = shape.timestamp_format or "unixTimestamp"
    if form != "unixTimestamp":
        return write_timestamp(value, form)
    seconds = value.timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def _as_it_is(_: Shape, value: Any) -> Any:  # noqa: ANN401 - what the shape says
    return value


_PROJECTORS: dict[str, Callable[[Shape, Any], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "timestamp": _timestamp,
}


def write_timestamp(value: datetime, form: str) -> str:
    """A time as a text: iso8601 or rfc822, in UTC."""
    moment = value.astimezone(UTC)
    if form == "rfc822":
        return format_datetime(moment.replace(microsecond=0), usegmt=True)
    return moment.isoformat().replace("+00:00", "Z")


def _text(shape: Shape, value: Any, form: str) -> str:  # noqa: ANN401 - what the shape says
    if shape.kind == "boolean":
        return "true" if value else "false"
    if shape.kind == "timestamp":
        return write_timestamp(value, shape.timestamp_format or form)
    return str(value)
