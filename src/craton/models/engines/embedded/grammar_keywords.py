"""The keywords of JSON Schema: which there are, what form each has, and which can't be served.

Drafts 4 to 2020-12 are read together: where an older draft has another form of a keyword, both are
known. Whatever isn't listed is an annotation to the specification, and is passed over unless the
caller asked to be strict.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeAlias, TypeGuard, cast

from craton.kernel.errors import BadRequest, Unsupported

Json: TypeAlias = dict[str, Any]

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
ANNOTATIONS = frozenset(
    {
        "$schema",
        "$id",
        "$anchor",
        "$comment",
        "$defs",
        "$vocabulary",
        "id",
        "definitions",
        "title",
        "description",
        "default",
        "deprecated",
        "readOnly",
        "writeOnly",
        "examples",
        "example",
        "format",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "discriminator",
        "nullable",
    }
)
"""Keywords that constrain nothing by themselves, OpenAPI's own included."""
REFUSED: Mapping[str, str] = {
    "not": "say what the value is instead of what it isn't",
    "if": "write the cases as `anyOf`",
    "contains": "describe the items with `items` or `prefixItems`",
    "dependentSchemas": "write the cases as `anyOf`",
    "$dynamicRef": "use `$ref`",
    "$recursiveRef": "use `$ref`",
}
"""Keywords that no grammar here can hold an answer to, and what to do instead."""


class Place:
    """Where in a caller's schema something stands, for messages."""

    __slots__ = ("pointer", "what")

    def __init__(self, what: str, pointer: str) -> None:
        self.what = what
        self.pointer = pointer

    def malformed(self, keyword: str, reason: str) -> BadRequest:
        """The keyword isn't what the specification says it must be."""
        return BadRequest(f"{self._where()}: `{keyword}` {reason}.")

    def unsupported(self, keyword: str, reason: str) -> Unsupported:
        """The keyword is well formed and can't be served."""
        return Unsupported(f"{self._where()}: `{keyword}` can't be served: {reason}.")

    def refused(self, reason: str) -> BadRequest:
        """The schema at this place as a whole."""
        return BadRequest(f"{self._where()}: {reason}.")

    def _where(self) -> str:
        return f"{self.what}, at {self.pointer}"


def is_object(value: object) -> TypeGuard[Json]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number; true, false and infinities aren't."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: object) -> bool:
    return is_number(value) and value >= 0 and value == int(value)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_schema(value: object) -> bool:
    return isinstance(value, bool) or is_object(value)


def _is_schemas(value: object) -> bool:
    return is_list(value) and len(value) > 0 and all(_is_schema(each) for each in value)


def _is_named_schemas(value: object) -> bool:
    return is_object(value) and all(_is_schema(each) for each in value.values())


def _is_names(value: object) -> bool:
    return is_list(value) and all(isinstance(each, str) for each in value)


def _is_type(value: object) -> bool:
    names: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(each, str) and each in TYPES for each in names)


def _is_bound(value: object) -> bool:
    return is_number(value) or isinstance(value, bool)


def _is_dependencies(value: object) -> bool:
    return is_object(value) and all(_is_names(each) for each in value.values())


def _is_step(value: object) -> bool:
    return is_number(value) and value > 0


def _is_values(value: object) -> bool:
    return is_list(value) and len(value) > 0


_COUNT = (_is_count, "must be a whole number from 0")
_NUMBER = (is_number, "must be a number")
_BOUND = (_is_bound, "must be a number (or, in draft 4, true or false)")
_SCHEMA = (_is_schema, "must be a schema: an object, true or false")
_SCHEMAS = (_is_schemas, "must be a list of schemas, and not empty")
_NAMED = (_is_named_schemas, "must be an object of schemas")
_STRING = (_is_string, "must be a string")
_BOOLEAN: tuple[Callable[[object], bool], str] = (
    lambda value: isinstance(value, bool),
    "must be true or false",
)

_FORMS: dict[str, tuple[Callable[[object], bool], str]] = {
    "type": (_is_type, f"must be one or more of {', '.join(TYPES)}"),
    "enum": (_is_values, "must be a list of values, and not empty"),
    "$ref": _STRING,
    "$anchor": _STRING,
    "$id": _STRING,
    "$defs": _NAMED,
    "definitions": _NAMED,
    "allOf": _SCHEMAS,
    "anyOf": _SCHEMAS,
    "oneOf": _SCHEMAS,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _BOUND,
    "exclusiveMaximum": _BOUND,
    "multipleOf": (_is_step, "must be a number above 0"),
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _STRING,
    "format": _STRING,
    "items": (
        lambda value: _is_schema(value) or (is_list(value) and all(map(_is_schema, value))),
        "must be a schema (or, before 2020-12, a list of them)",
    ),
    "prefixItems": _SCHEMAS,
    "additionalItems": _SCHEMA,
    "unevaluatedItems": _SCHEMA,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": _BOOLEAN,
    "properties": _NAMED,
    "patternProperties": _NAMED,
    "additionalProperties": _SCHEMA,
    "unevaluatedProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "required": (_is_names, "must be a list of property names"),
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "dependentRequired": (_is_dependencies, "must be an object of lists of property names"),
    "dependencies": (_is_dependencies, "must be an object of lists of property names"),
}

_KNOWN = frozenset(_FORMS) | ANNOTATIONS | {"const", "then", "else", "minContains", "maxContains"}

OF_TYPE: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "number": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "object": frozenset(
        {
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "required",
            "minProperties",
            "maxProperties",
        }
    ),
}
"""Keywords that say something of one type only: what is meant where `type` itself is left out."""


def check(schema: Json, place: Place, *, is_strict: bool) -> None:
    """Every keyword's form; BadRequest or Unsupported names the first that is wrong."""
    for keyword, value in schema.items():
        if keyword in REFUSED:
            if keyword == "if" and "then" not in schema and "else" not in schema:
                continue  # it constrains nothing
            raise place.unsupported(keyword, REFUSED[keyword])
        form = _FORMS.get(keyword)
        if form is not None:
            is_well_formed, reason = form
            if keyword == "dependencies" and is_object(value) and not is_well_formed(value):
                raise place.unsupported(keyword, "write the cases as `anyOf`")
            if not is_well_formed(value):
                raise place.malformed(keyword, reason)
        elif is_strict and keyword not in _KNOWN and not keyword.startswith("x-"):
            raise place.unsupported(
                keyword, "it is no keyword that is known here; leave it out or don't ask for strict"
            )


def first_items(raw: Json) -> list[Any]:
    """The schemas of the first items, one each."""
    if "prefixItems" in raw:
        return raw["prefixItems"]
    return raw["items"] if is_list(raw.get("items")) else []


def rest_keyword(raw: Json) -> str | None:
    """The keyword that describes the items past those listed."""
    if is_list(raw.get("items")):
        return "additionalItems" if "additionalItems" in raw else None
    return next((name for name in ("items", "unevaluatedItems") if name in raw), None)


def extra_keyword(raw: Json) -> str | None:
    """The keyword that describes properties that no other does."""
    names = ("additionalProperties", "unevaluatedProperties")
    return next((name for name in names if name in raw), None)


def require_dependents(
    schemas: list[tuple[str, Json]], names: dict[str, None], required: dict[str, None]
) -> None:
    """What another property asks for is asked for always: that is never wrong."""
    dependencies = [
        (name, cast("list[str]", others))
        for _, raw in schemas
        for keyword in ("dependentRequired", "dependencies")
        for name, others in cast("Json", raw.get(keyword, {})).items()
    ]
    count = -1
    while count < len(required):
        count = len(required)
        for name, others in dependencies:
            if name in names or name in required:
                required |= dict.fromkeys(others)
