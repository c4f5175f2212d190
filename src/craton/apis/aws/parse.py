"""A request to its operation's input, by where each member stands on the wire."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from craton.apis.aws.coerce import coerce, coerce_text, refuse
from craton.apis.aws.form_reader import read_document
from craton.apis.aws.forms import Form, read_form
from craton.apis.aws.model import FORMS, Document, Location, Member, Operation, Shape
from craton.apis.aws.validate import validate
from craton.kernel.errors import BadRequest

_decode = msgspec.json.Decoder().decode


def parse(
    operation: Operation,
    *,
    labels: Mapping[str, str],
    raw_query: bytes,
    headers: Mapping[str, str],
    body: bytes,
    form: Form | None = None,
    keep_unknown: bool = False,
) -> Document:
    """The operation's input, of the model's types and within its constraints.

    `labels` are the decoded labels of the path; header names are lower-case; `form` are the
    parameters where they have been read before. With `keep_unknown`, members of the body that the
    model doesn't have stay as they came. BadRequest has AWS's words and the code
    SerializationException (malformed), none (a ValidationException) or, for forms, EC2's.
    """
    shape = operation.input
    if operation.protocol in FORMS:
        read = read_form(raw_query, headers, body) if form is None else form
        return read_document(operation, read)
    if shape is None:
        return {}
    try:
        document = _parse_body(shape, body, keep_unknown=keep_unknown)
        _add_located(shape, document, labels, raw_query, headers)
        validate(shape, document)
    except RecursionError:
        refuse("The body nests too deep. Send flatter JSON", ())
    return document


def _parse_body(shape: Shape, body: bytes, *, keep_unknown: bool) -> Document:
    if shape.payload is not None:
        payload = shape.members[shape.payload]
        if not body:
            return {}
        if payload.shape.kind == "blob":
            return {payload.name: body}
        if payload.shape.kind == "string":
            return {payload.name: _utf8(body)}
        value = _json(body)
        return {payload.name: coerce(payload.shape, value, keep_unknown=keep_unknown)}
    value = _json(body) if body else None
    if value is None:
        return {}
    document: Document = coerce(shape, value, keep_unknown=keep_unknown)
    return document


def _json(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        # The decoder's message names the place and never the text.
        refuse(f"The body is not JSON: {error}. Send a JSON object", ())
    except UnicodeDecodeError:
        refuse("The body is not UTF-8. Send JSON in UTF-8", ())


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        refuse("The body is not UTF-8. Send the text in UTF-8", ())


def _add_located(
    shape: Shape,
    document: Document,
    labels: Mapping[str, str],
    raw_query: bytes,
    headers: Mapping[str, str],
) -> None:
    query: list[tuple[str, str]] | None = None
    for member in shape.located:
        name = member.name
        match member.location:
            case Location.URI:
                text = labels.get(member.wire_name)
            case Location.QUERY:
                if query is None:
                    query = _query(raw_query)
                _add_from_query(member, document, query)
                continue
            case Location.HEADER:
                text = headers.get(member.wire_name.lower())
            case Location.HEADERS:
                prefix = member.wire_name.lower()
                found = {
                    key[len(prefix) :]: value
                    for key, value in headers.items()
                    if key.startswith(prefix)
                }
                if found:
                    document[name] = found
                continue
            case _:
                continue
        if text is not None:
            is_header = member.location is Location.HEADER
            form = member.timestamp_format or ("rfc822" if is_header else "iso8601")
            document[name] = coerce_text(member.shape, text, ((), name), timestamp_format=form)


def _query(raw_query: bytes) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for pair in raw_query.decode("latin-1").split("&"):
        name, _, value = pair.partition("=")
        try:
            pairs.append(
                (unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict"))
            )
        except UnicodeDecodeError:
            refuse(f"The query holds {pair[:100]!r}, which is not UTF-8", ())
    return pairs


def _add_from_query(member: Member, document: Document, query: list[tuple[str, str]]) -> None:
    texts = [text for name, text in query if name == member.wire_name]
    form = member.timestamp_format or "iso8601"
    path = ((), member.name)
    if member.shape.kind == "list":
        element = member.shape.element
        assert element is not None
        if texts:
            document[member.name] = [
                coerce_text(element, text, (path, index), timestamp_format=form)
                for index, text in enumerate(texts)
            ]
    elif len(texts) > 1:
        raise BadRequest(
            f"The query names {member.wire_name!r} {len(texts)} times. Name it once.",
            code="SerializationException",
        )
    elif texts:
        document[member.name] = coerce_text(member.shape, texts[0], path, timestamp_format=form)
