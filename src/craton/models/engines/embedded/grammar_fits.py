"""Whether a JSON value fits a schema: for values that a schema lists itself.

Only what decides which values of an `enum` or `const` remain beside other keywords; formats are
annotations here, and patterns are read as narrowly as everywhere in this package.
"""

from collections.abc import Callable, Iterable
from typing import Any

from craton.models.engines.embedded.grammar_keywords import Json, is_list, is_number, is_object

DEPTH_MAX = 32

Resolve = Callable[[str], Json | bool]
"""The schema that a reference names."""
Matches = Callable[[str, str], bool]
"""Whether a pattern matches a string."""


def same(one: object, two: object) -> bool:
    """JSON equality: 1 and 1.0 are the same number, and true is none."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if is_object(one) and is_object(two):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if is_list(one) and is_list(two):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return one == two


def type_of(value: object) -> str:
    """The JSON type; a whole number is an integer, however it is written."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "integer" if value == int(value) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if is_list(value) else "object"


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """The values without those that are equal to an earlier one, as JSON counts equality."""
    scalars: set[tuple[str, Any]] = set()
    others: list[Any] = []
    found: list[Any] = []
    for value in values:
        if is_object(value) or is_list(value):
            if any(same(value, other) for other in others):
                continue
            others.append(value)
        elif (key := (type_of(value), value)) in scalars:
            continue
        else:
            scalars.add(key)
        found.append(value)
    return tuple(found)


class Fitting:
    """Checks values against schemas of one document."""

    def __init__(self, resolve: Resolve, matches: Matches) -> None:
        self._resolve = resolve
        self._matches = matches
        self._depth = 0

    def fits(self, schema: Json | bool, value: object) -> bool:
        """Whether the value fits; False, too, where that takes too deep a look to tell."""
        if isinstance(schema, bool):
            return schema
        if self._depth > DEPTH_MAX:
            return False
        self._depth += 1
        try:
            return self._fits(schema, value)
        finally:
            self._depth -= 1

    def _fits(self, schema: Json, value: object) -> bool:
        found = type_of(value)
        types: Any = schema.get("type")
        if types is not None:
            names: list[str] = types if is_list(types) else [types]
            if found not in names and not (found == "integer" and "number" in names):
                return False
        if "const" in schema and not same(schema["const"], value):
            return False
        if "enum" in schema and not any(same(each, value) for each in schema["enum"]):
            return False
        if "$ref" in schema and not self.fits(self._resolve(schema["$ref"]), value):
            return False
        if not all(self.fits(each, value) for each in schema.get("allOf", ())):
            return False
        if "anyOf" in schema and not any(self.fits(each, value) for each in schema["anyOf"]):
            return False
        if "oneOf" in schema and sum(self.fits(each, value) for each in schema["oneOf"]) != 1:
            return False
        if isinstance(value, str):
            return self._string(schema, value)
        if is_number(value):
            return self._number(schema, value)
        if is_list(value):
            return self._array(schema, value)
        return self._object(schema, value) if is_object(value) else True

    def _string(self, schema: Json, value: str) -> bool:
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return False
        return "pattern" not in schema or self._matches(schema["pattern"], value)

    @staticmethod
    def _number(schema: Json, value: int | float) -> bool:
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            return False
        over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if (over is True and value == low) or (under is True and value == high):
            return False
        if is_number(over) and value <= over:
            return False
        if is_number(under) and value >= under:
            return False
        step: Any = schema.get("multipleOf")
        return step is None or value % step == 0

    def _array(self, schema: Json, value: list[Any]) -> bool:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return False
        items: Any = schema.get("items", True)
        first: list[Any] = schema.get("prefixItems", [])
        if is_list(items):
            first, items = items, schema.get("additionalItems", True)
        for number, each in enumerate(value):
            if not self.fits(first[number] if number < len(first) else items, each):
                return False
        if schema.get("uniqueItems"):
            return not any(same(a, b) for n, a in enumerate(value) for b in value[:n])
        return True

    def _object(self, schema: Json, value: Json) -> bool:
        if not schema.get("minProperties", 0) <= len(value):
            return False
        if len(value) > schema.get("maxProperties", len(value)):
            return False
        if any(name not in value for name in schema.get("required", ())):
            return False
        properties: Json = schema.get("properties", {})
        patterns: Json = schema.get("patternProperties", {})
        for name, each in value.items():
            found = [properties[name]] if name in properties else []
            found += [part for pattern, part in patterns.items() if self._matches(pattern, name)]
            if not found:
                found = [schema.get("additionalProperties", True)]
            found_name: Any = schema.get("propertyNames", True)
            if not all(self.fits(part, each) for part in found) or not self.fits(found_name, name):
                return False
        return True
