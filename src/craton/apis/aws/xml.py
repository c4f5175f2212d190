"""A document to the XML of an answer, by the shapes of the service's model.

    query   <XResponse xmlns="…"><XResult>…</XResult><ResponseMetadata><RequestId>
    ec2     <XResponse xmlns="…/"><requestId>…</requestId>…</XResponse>

Both put the elements of a list inside it (`<member>`, EC2: `<item>`) unless the model says that it
is flattened. What isn't in the model is left out; what is null is, too.
"""

import base64
import math
import re
from datetime import UTC, datetime
from typing import Any

from craton.apis.aws.model import EC2, QUERY, Document, Member, Operation, Shape

CONTENT_TYPES = {QUERY: b"text/xml", EC2: b"text/xml;charset=UTF-8"}
"""What the services of both protocols were seen to call their XML."""
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

# What XML 1.0 can't hold at all (section 2.2, "Characters"), whichever way it is written.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A carriage return that isn't escaped reaches the reader as a line feed (section 2.11).
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def xml_text(text: str) -> str:
    """A text inside an element; characters that XML 1.0 can't hold become `?`."""
    return _FORBIDDEN.sub("?", text).translate(_ESCAPES)


def write_answer(operation: Operation, document: Document, request_id: str) -> str:
    """The whole answer of an operation of a protocol with XML."""
    inner = "" if operation.output is None else _members(operation.output, document)
    name, namespace = operation.name, operation.namespace
    declaration = ""
    if operation.protocol == EC2:
        declaration = DECLARATION
        # The model has the namespace without the slash that EC2's answers have it with.
        namespace = namespace.removesuffix("/") + "/"
        inner = f"<requestId>{xml_text(request_id)}</requestId>{inner}"
    else:
        wrapper = operation.result_wrapper
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper is not None else inner
        metadata = f"<RequestId>{xml_text(request_id)}</RequestId>"
        inner += f"<ResponseMetadata>{metadata}</ResponseMetadata>"
    return f'{declaration}<{name}Response xmlns="{namespace}">{inner}</{name}Response>'


def _members(shape: Shape, document: Document) -> str:
    parts: list[str] = []
    for name, member in shape.members.items():
        value = document.get(name)
        if value is not None:
            parts.append(_member(member, value))
    return "".join(parts)


def _member(member: Member, value: Any) -> str:  # noqa: ANN401 - what the shape says
    shape, name = member.shape, member.xml_name
    if not member.is_flattened:
        return _element(name, _value(shape, value, member.timestamp_format))
    if shape.kind == "map":
        return "".join([_element(name, entry) for entry in _entries(shape, value)])
    assert shape.element is not None, "only lists and maps are flattened"
    element = shape.element
    return "".join([_element(name, _value(element, item)) for item in value])


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>" if inner else f"<{name}/>"


def _value(shape: Shape, value: Any, timestamp_format: str | None = None) -> str:  # noqa: ANN401 - what the shape says
    match shape.kind:
        case "structure":
            return _members(shape, value)
        case "list":
            assert shape.element is not None, "a list of a model has elements"
            element, name = shape.element, shape.element_name
            return "".join([_element(name, _value(element, item)) for item in value])
        case "map":
            return "".join([_element("entry", entry) for entry in _entries(shape, value)])
        case "timestamp":
            return _time(value, timestamp_format or shape.timestamp_format)
        case "boolean":
            return "true" if value else "false"
        case "blob":
            return base64.b64encode(value).decode()
        case "float" | "double":
            return _number(value)
        case _:
            return xml_text(str(value))


def _entries(shape: Shape, value: Document) -> list[str]:
    assert shape.key is not None, "a map of a model has keys"
    assert shape.value is not None, "a map of a model has values"
    inner = shape.value
    return [
        _element(shape.key_name, xml_text(key)) + _element(shape.value_name, _value(inner, item))
        for key, item in value.items()
    ]


def _time(value: datetime, form: str | None) -> str:
    moment = value.astimezone(UTC)
    if form == "unixTimestamp":
        seconds = moment.timestamp()
        return str(int(seconds) if seconds.is_integer() else seconds)
    # To the millisecond, cut and not rounded: an answer never names a time that isn't yet.
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
