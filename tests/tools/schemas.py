"""Random schemas, each with a value that fits it, of all the kinds that callers send."""

import random
from typing import Any

Pair = tuple[Any, Any]

WORDS = [
    "city",
    "name",
    "id",
    "tags",
    "kind",
    "value",
    "note",
    "count",
    "größe",
    "x-y",
    'q"uote',
    "a b",
]
TEXTS = ["", "a", "Paris", "two words", "äöü 😀", 'quo"te\\', "line\nbreak", "1234567890"]
PATTERNS = [
    (r"^[a-z]{2,5}$", "abc"),
    (r"^\d{3}-\d{4}$", "555-1234"),
    (r"^(red|green|blue)$", "green"),
    (r"^#[0-9a-fA-F]{6}$", "#00ff7F"),
    (r"^[A-Z][a-z]+(?: [A-Z][a-z]+)*$", "Ada Lovelace"),
    (r"^v\d+(\.\d+){1,2}$", "v1.22"),
    (r"@", "a@b"),
]
FORMATS = [
    ("date", "2024-02-28"),
    ("date-time", "1999-12-31T23:59:59Z"),
    ("time", "07:30:00Z"),
    ("uuid", "123e4567-e89b-42d3-a456-426614174000"),
    ("email", "ada@example.org"),
    ("ipv4", "10.0.255.1"),
    ("hostname", "www.example.com"),
    ("uri", "https://example.com/a?b=c"),
    ("int64", "whatever"),
]


class Maker:
    """Makes pairs of a schema and a value; what it makes depends on the generator alone."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self.definitions: dict[str, Any] = {}

    def document(self, kind: str) -> Pair:
        """A whole schema of a kind, and a value."""
        self.definitions = {}
        schema, value = getattr(self, f"_{kind}")(3)
        if kind not in {"object", "big", "recursive", "union"} or self.rnd.random() < 0.3:
            schema, value = (
                {"type": "object", "properties": {"answer": schema}, "required": ["answer"]},
                {"answer": value},
            )
        if self.definitions:
            schema = {**schema, "$defs": self.definitions}
        return schema, value

    def any(self, depth: int) -> Pair:
        leaves = ["integer", "number", "string", "enum", "literal", "shared"]
        nests = ["object", "array", "tuple", "union", "map", "together"]
        return getattr(self, f"_{self.rnd.choice(leaves if depth <= 0 else leaves + nests)}")(depth)

    # --- leaves ---------------------------------------------------------------------------------

    def _integer(self, depth: int) -> Pair:
        del depth
        schema: dict[str, Any] = {"type": "integer"}
        value = self.rnd.choice([0, 1, -1, 7, 42, 100, -273, 99999])
        if self.rnd.random() < 0.5:
            schema["minimum"] = value - self.rnd.choice([0, 1, 9, 150])
        if self.rnd.random() < 0.5:
            schema["maximum"] = value + self.rnd.choice([0, 1, 13, 1000])
        if self.rnd.random() < 0.2:
            schema["exclusiveMaximum"] = value + self.rnd.choice([1, 5])
        if self.rnd.random() < 0.1:
            schema["multipleOf"] = abs(value) or 3
        return schema, value

    def _number(self, depth: int) -> Pair:
        del depth
        value = self.rnd.choice([0, 0.5, -1.25, 3.14, 100, 98.6, -40])
        schema: dict[str, Any] = {"type": "number"}
        if self.rnd.random() < 0.4:
            schema["minimum"] = value - self.rnd.choice([0, 0.25, 3])
        if self.rnd.random() < 0.4:
            schema["exclusiveMaximum"] = value + self.rnd.choice([0.5, 10, 1000])
        return schema, value

    def _string(self, depth: int) -> Pair:
        del depth
        chance = self.rnd.random()
        if chance < 0.25:
            pattern, value = self.rnd.choice(PATTERNS)
            return {"type": "string", "pattern": pattern}, value
        if chance < 0.45:
            format_, value = self.rnd.choice(FORMATS)
            return {"type": "string", "format": format_}, value
        value = self.rnd.choice(TEXTS)
        schema: dict[str, Any] = {"type": "string"}
        if self.rnd.random() < 0.4:
            schema["minLength"] = max(0, len(value) - self.rnd.choice([0, 1, 5]))
        if self.rnd.random() < 0.4:
            schema["maxLength"] = len(value) + self.rnd.choice([0, 1, 40, 3000])
        return schema, value

    def _enum(self, depth: int) -> Pair:
        del depth
        values = self.rnd.sample(
            ["on", "off", "", 1, 2.5, None, True, {"k": [1, {"z": None}]}, [1, 2], "ü"],
            self.rnd.randint(1, 5),
        )
        if self.rnd.random() < 0.2:
            values = [f"choice-{number}" for number in range(self.rnd.choice([20, 200]))]
        if self.rnd.random() < 0.2:
            return {"const": values[0]}, values[0]
        return {"enum": values}, self.rnd.choice(values)

    def _literal(self, depth: int) -> Pair:
        del depth
        return self.rnd.choice([({"type": "boolean"}, True), ({"type": "null"}, None), (True, [1])])

    def _shared(self, depth: int) -> Pair:
        name = f"part{len(self.definitions)}"
        self.definitions[name] = True
        schema, value = self.any(depth - 1)
        self.definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}, value

    # --- nests ----------------------------------------------------------------------------------

    def _object(self, depth: int) -> Pair:
        names = self.rnd.sample(WORDS, self.rnd.randint(0, 5))
        schema: dict[str, Any] = {"type": "object", "properties": {}}
        value: dict[str, Any] = {}
        required: list[str] = []
        for name in names:
            schema["properties"][name], inner = self.any(depth - 1)
            if self.rnd.random() < 0.6:
                required.append(name)
                value[name] = inner
            elif self.rnd.random() < 0.5:
                value[name] = inner
        if required:
            schema["required"] = required
        chance = self.rnd.random()
        if chance < 0.4:
            schema["additionalProperties"] = False
        elif chance < 0.55:
            schema["additionalProperties"] = {"type": "integer"}
            value["another"] = 5
        if value and self.rnd.random() < 0.2:
            schema["minProperties"] = min(len(value), len(names) or 1)
        if self.rnd.random() < 0.2:
            schema["maxProperties"] = len(value) + self.rnd.choice([0, 1])
        return schema, value

    def _map(self, depth: int) -> Pair:
        inner, value = self.any(depth - 1)
        schema: dict[str, Any] = {"type": "object"}
        if self.rnd.random() < 0.4:
            schema["patternProperties"] = {"^k[0-9]+$": inner}
            schema["additionalProperties"] = False
            return schema, {"k1": value}
        schema["additionalProperties"] = inner
        if self.rnd.random() < 0.4:
            schema["propertyNames"] = {"pattern": "^[a-z]+$", "maxLength": 8}
        return schema, {"one": value, "two": value}

    def _array(self, depth: int) -> Pair:
        items, value = self.any(depth - 1)
        if self.rnd.random() < 0.15:
            values = ["a", "b", "c", "d"]
            return {"type": "array", "items": {"enum": values}, "uniqueItems": True}, ["a", "c"]
        count = self.rnd.choice([0, 1, 2, 3])
        schema: dict[str, Any] = {"type": "array", "items": items}
        if self.rnd.random() < 0.5:
            schema["minItems"] = self.rnd.randint(0, count)
        if self.rnd.random() < 0.5:
            schema["maxItems"] = count + self.rnd.choice([0, 1, 100])
        return schema, [value] * count

    def _tuple(self, depth: int) -> Pair:
        pairs = [self.any(depth - 1) for _ in range(self.rnd.randint(1, 3))]
        schema: dict[str, Any] = {"type": "array", "prefixItems": [pair[0] for pair in pairs]}
        if self.rnd.random() < 0.5:
            schema["items"] = False
        if self.rnd.random() < 0.5:
            schema["minItems"] = len(pairs)
        return schema, [pair[1] for pair in pairs]

    def _union(self, depth: int) -> Pair:
        chance = self.rnd.random()
        if chance < 0.3:
            return {"type": ["string", "null", "integer"], "maxLength": 9, "minimum": 0}, None
        if chance < 0.6:
            cases = [self.any(depth - 1) for _ in range(self.rnd.randint(1, 3))]
            return {"anyOf": [case[0] for case in cases]}, self.rnd.choice(cases)[1]
        parts: list[Any] = []
        value: Any = None
        for number in range(self.rnd.randint(2, 4)):
            inner, inside = self.any(depth - 1)
            properties = {"type": {"const": f"case{number}"}, "body": inner}
            parts.append({"type": "object", "properties": properties, "required": ["type", "body"]})
            value = {"type": f"case{number}", "body": inside}
        return {"oneOf": parts}, value

    def _together(self, depth: int) -> Pair:
        (one, first), (two, second) = self.any(depth - 1), self.any(depth - 1)
        return {
            "allOf": [
                {"type": "object", "properties": {"left": one}, "required": ["left"]},
                {"properties": {"right": two}, "required": ["right"]},
            ]
        }, {"left": first, "right": second}

    # --- whole kinds ----------------------------------------------------------------------------

    def _recursive(self, depth: int) -> Pair:
        inner, value = self.any(depth - 2)
        self.definitions["tree"] = {
            "type": "object",
            "properties": {
                "value": inner,
                "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2},
                "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            },
            "required": ["value"],
        }
        leaf = {"value": value}
        return {"$ref": "#/$defs/tree"}, {**leaf, "children": [leaf, leaf], "next": None}

    def _big(self, depth: int) -> Pair:
        del depth
        properties: dict[str, Any] = {}
        value: dict[str, Any] = {}
        for number in range(self.rnd.choice([30, 80])):
            properties[f"field_{number}"], inner = self.any(0)
            if number % 4 == 0:
                value[f"field_{number}"] = inner
        return {"type": "object", "properties": properties, "required": list(value)[:3]}, value


KINDS = ["object", "object", "recursive", "union", "array", "map", "tuple", "enum", "string", "big"]

REFUSED: list[Any] = [
    {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    {"type": "string", "pattern": "(?=x)x"},
    {"if": {"type": "string"}, "then": {"minLength": 1}},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"type": "whatever"},
    {"type": "object", "properties": []},
    {"$ref": "https://example.com/schema.json"},
    {"$ref": "#"},
    {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]},
    {"type": "integer", "minimum": 5, "maximum": 4},
    {"type": "number", "multipleOf": 0.01},
]
"""What no grammar here can hold an answer to, or what isn't a schema: refused by name."""
