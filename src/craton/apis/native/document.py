"""The OpenAPI 3.1 document, made from the operations' declarations."""

from collections.abc import Sequence
from typing import Any

import msgspec

from craton.access.policy import ADMINISTER
from craton.apis.native.contract import ErrorBody
from craton.apis.native.operation import (
    DOCUMENT,
    JSON_TYPE,
    PAGE,
    PREFIX,
    Operation,
    is_parameter,
)

VERSION = "1"
REFERENCE = "#/components/schemas/{name}"
REFUSALS = {
    "400": "The input is malformed or out of range.",
    "401": "No credential came, or it doesn't check out.",
    "403": "The credential is good and lacks the right.",
    "404": "No such thing.",
    "409": "A name is taken, or the present state forbids the change.",
    "503": "A part of Craton is down; trying again helps.",
}

Json = dict[str, Any]


def openapi(operations: Sequence[Operation[Any]]) -> Json:
    """The document as plain JSON values."""
    types = list(dict.fromkeys([t for o in operations for t in (o.takes, o.returns)] + [ErrorBody]))
    references, schemas = msgspec.json.schema_components(types, ref_template=REFERENCE)
    reference = dict(zip(types, references, strict=True))
    paths: dict[str, Json] = {}
    used: set[type] = {ErrorBody}
    for operation in operations:
        used.add(operation.returns)
        if operation.method == "POST":
            used.add(operation.takes)
        described = _described(operation, schemas, reference)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    for kind in types:
        if kind not in used:  # a query: its members stand in the operation as parameters
            schemas.pop(kind.__name__)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Craton",
            "version": VERSION,
            "description": "Craton's own API: accounts, keys, models, usage and the ledger.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(_tag(o) for o in operations)],
        "paths": {**paths, **_own_paths()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _described(
    operation: Operation[Any], schemas: dict[str, Any], reference: dict[type, Any]
) -> Json:
    refusal = {"application/json": {"schema": reference[ErrorBody]}}
    answer = {"application/json": {"schema": reference[operation.returns]}}
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_tag(operation)],
        "x-craton-action": operation.action,
        "responses": {
            str(operation.status): {"description": "Done.", "content": answer},
            **{
                status: {"description": text, "content": refusal}
                for status, text in REFUSALS.items()
            },
        },
    }
    if operation.action == ADMINISTER:
        described["description"] = "Needs an operator's key."
    if operation.method == "POST":
        body = {"application/json": {"schema": reference[operation.takes]}}
        described["requestBody"] = {"required": True, "content": body}
        return described
    if operation.whole_body is not None:
        kind = "object" if operation.body_type == JSON_TYPE else "string"
        whole = {operation.body_type: {"schema": {"type": kind}}}
        described["requestBody"] = {"required": True, "content": whole}
    if parameters := _parameters(operation, schemas[operation.takes.__name__]):
        described["parameters"] = parameters
    return described


def _parameters(operation: Operation[Any], schema: Json) -> list[Json]:
    in_path = {segment[1:-1] for segment in operation.segments if is_parameter(segment)}
    return [
        {
            "name": name,
            "in": "path" if name in in_path else "query",
            "required": name in in_path or name in schema["required"],
            "schema": member,
        }
        for name, member in schema["properties"].items()
        if name != operation.whole_body
    ]


def _own_paths() -> dict[str, Json]:
    """The document and its page: open to everyone, since they tell no secret."""

    def one(name: str, summary: str, media_type: str) -> Json:
        content = {media_type: {"schema": {"type": "string"}}}
        if media_type == "application/json":
            content = {media_type: {"schema": {"type": "object"}}}
        return {
            "get": {
                "operationId": name,
                "summary": summary,
                "tags": ["document"],
                "security": [],
                "responses": {"200": {"description": "Done.", "content": content}},
            }
        }

    return {
        DOCUMENT: one("GetDocument", "This document", "application/json"),
        PAGE: one("GetPage", "This document as a page to read", "text/html"),
    }


def _tag(operation: Operation[Any]) -> str:
    return operation.path.split("/")[1]
