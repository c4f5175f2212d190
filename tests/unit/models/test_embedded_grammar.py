"""Schemas as grammars: what they let through is valid, and valid answers get through."""

import json
import random
from typing import Any

import jsonschema
import pytest

from craton.kernel.errors import BadRequest, Unsupported
from craton.models.engines.embedded.grammar import Grammar, write_json
from craton.models.engines.embedded.grammar_schema import read_schema
from tests.tools import gbnf
from tests.tools.schemas import KINDS, REFUSED, Maker

SEEDS = dict.fromkeys(KINDS, 20) | {"big": 5}


def compiled(schema: Any, *, is_strict: bool = False) -> gbnf.Grammar:
    grammar = Grammar()
    root = grammar.schema(read_schema(schema, what="The schema", is_strict=is_strict))
    return gbnf.Grammar(grammar.text(root))


def is_valid(schema: Any, text: str) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(json.loads(text))


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_whatever_a_grammar_of_a_random_schema_writes_is_valid(kind: str) -> None:
    made = 0
    for seed in range(SEEDS[kind]):
        rnd = random.Random(f"{kind} {seed}")
        schema, value = Maker(rnd).document(kind)
        assert jsonschema.Draft202012Validator(schema).is_valid(value), "the maker is wrong"
        try:
            grammar = compiled(schema)
        except Unsupported:
            continue  # by name, which other tests look at
        made += 1
        for _ in range(4):
            text = grammar.generate(rnd, budget=rnd.choice([0, 30, 200]))
            assert is_valid(schema, text), (schema, text)
    assert made > SEEDS[kind] // 2


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_a_value_that_fits_a_random_schema_gets_through(kind: str) -> None:
    through = 0
    for seed in range(SEEDS[kind]):
        rnd = random.Random(f"{kind} {seed}")
        schema, value = Maker(rnd).document(kind)
        try:
            grammar = compiled(schema)
        except Unsupported:
            continue
        through += 1
        assert grammar.accepts(write_json(value)), (schema, value)
    assert through > SEEDS[kind] // 2


@pytest.mark.parametrize("schema", REFUSED, ids=[json.dumps(schema)[:50] for schema in REFUSED])
def test_what_cant_be_held_to_is_refused_with_its_place(schema: Any) -> None:
    with pytest.raises(BadRequest, match=r"^The schema, at #[\w/]*: "):
        read_schema(schema, what="The schema")


@pytest.mark.parametrize(
    ("schema", "place", "keyword"),
    [
        ({"properties": {"a/b": {"type": "strin"}}}, "#/properties/a~1b", "type"),
        ({"type": "object", "required": "a"}, "#", "required"),
        ({"type": "array", "items": {"minimum": "1"}}, "#/items", "minimum"),
        ({"anyOf": [{}, {"enum": []}]}, "#/anyOf/1", "enum"),
        ({"type": "string", "maxLength": -1}, "#", "maxLength"),
        ({"type": "string", "pattern": "[a"}, "#", "pattern"),
        ({"$ref": "#/$defs/nothing"}, "#/$defs/nothing", "ref"),
        ({"properties": {"a": {"contains": {}}}}, "#/properties/a", "contains"),
        ({"allOf": [{"not": {}}]}, "#/allOf/0", "not"),
    ],
)
def test_a_refusal_names_place_and_keyword(schema: Any, place: str, keyword: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_schema(schema, what="The schema")
    assert refused.value.message.startswith(f"The schema, at {place}: `")
    assert keyword in refused.value.message


def test_strict_refuses_what_it_doesnt_know_and_others_pass_it_over() -> None:
    schema = {"type": "string", "minimumLength": 3}
    read_schema(schema, what="The schema")
    with pytest.raises(Unsupported, match="minimumLength"):
        read_schema(schema, what="The schema", is_strict=True)


@pytest.mark.parametrize(
    ("schema", "through", "held"),
    [
        (
            {"type": "integer", "minimum": -5, "maximum": 12},
            ["-5", "0", "12"],
            ["-6", "13", "1.0", "01"],
        ),
        (
            {"type": "number", "minimum": 0.5, "exclusiveMaximum": 2},
            ["0.5", "1", "1.999"],
            ["0.49", "2", "2.0"],
        ),
        (
            {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 50},
            ["7", "49"],
            ["0", "8", "56"],
        ),
        ({"enum": ["a", 1, None]}, ['"a"', "1", "null"], ['"b"', "2"]),
        ({"type": "string", "enum": ["a", 1]}, ['"a"'], ["1"]),
        (
            {"type": "string", "minLength": 2, "maxLength": 3},
            ['"ab"', '"ä\\n😀"'],
            ['"a"', '"abcd"'],
        ),
        (
            {"type": "string", "maxLength": 5000},
            ['""', '"' + "x" * 5000 + '"'],
            ['"' + "x" * 5001 + '"'],
        ),
        ({"type": "string", "format": "date"}, ['"2024-02-28"'], ['"2024-02-30"', '"24-1-1"']),
        ({"type": ["null", "boolean"]}, ["null", "true"], ['""', "0"]),
        (
            {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "null"}},
            ["[null]", "[null, null]"],
            ["[]", "[null, null, null]"],
        ),
        (
            {"type": "array", "uniqueItems": True, "items": {"enum": [1, 2, 3]}, "minItems": 2},
            ["[1, 3]"],
            ["[1, 1]", "[1]", "[3, 1]"],
        ),
        ({"type": "object"}, ["{}", '{"a": [1, {"b": null}]}'], ["[]", "{'a': 1}"]),
        ({"type": "object", "properties": {}}, ["{}"], ['{"a": 1}']),
        (
            {"properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"]},
            ['{"a": null, "b": null}', '{"b": null}'],
            ["{}", '{"b": null, "a": null}'],
        ),
        ({"allOf": [{"minimum": 3}, {"type": "integer", "maximum": 4}]}, ["3", "4"], ["2", "5"]),
        (
            {
                "$ref": "#/$defs/t",
                "$defs": {
                    "t": {
                        "anyOf": [
                            {"type": "null"},
                            {"type": "array", "items": {"$ref": "#/$defs/t"}},
                        ]
                    }
                },
            },
            ["null", "[[null], []]"],
            ["[1]"],
        ),
        ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, ["null"], ["1"]),
        ({"minimum": 1, "exclusiveMinimum": True, "maximum": 2, "type": "integer"}, ["2"], ["1"]),
        (
            {"type": "array", "items": [{"type": "null"}], "additionalItems": False},
            ["[null]", "[]"],
            ["[null, null]"],
        ),
        (
            {
                "dependentRequired": {"a": ["b"]},
                "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
            },
            ['{"a": null, "b": null}'],
            ['{"a": null}'],
        ),
    ],
)
def test_what_gets_through_and_what_is_held(
    schema: Any, through: list[str], held: list[str]
) -> None:
    grammar = compiled(schema)
    assert [text for text in through if not grammar.accepts(text)] == []
    assert [text for text in held if grammar.accepts(text)] == []


def test_every_bound_of_small_intervals_is_exact() -> None:
    for low in range(-23, 24, 9):
        for high in range(low, 130, 17):
            grammar = compiled({"type": "integer", "minimum": low, "maximum": high})
            found = [n for n in range(-130, 140) if grammar.accepts(str(n))]
            assert found == list(range(low, high + 1))


def test_extra_properties_never_take_the_name_of_a_declared_one() -> None:
    grammar = compiled(
        {
            "properties": {"n": {"type": "string"}},
            "additionalProperties": {"type": "integer"},
            "type": "object",
        }
    )
    assert grammar.accepts('{"n": "x", "m": 1, "nn": 2}')
    assert not grammar.accepts('{"n": 1}')
    assert not grammar.accepts('{"m": 1, "n": 2}')


@pytest.mark.parametrize(
    "alternatives",
    [
        [{"type": "string"}, {"type": "integer"}],
        [{"const": 1}, {"const": 2}],
        [{"type": "integer", "maximum": 4}, {"type": "integer", "minimum": 5}],
        [{"type": "array", "maxItems": 1}, {"type": "array", "minItems": 2}],
        [
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {}}, "required": ["b"]},
        ],
    ],
)
def test_one_of_is_served_where_no_value_fits_two(alternatives: list[Any]) -> None:
    schema = {"oneOf": alternatives}
    grammar = compiled(schema)
    rnd = random.Random(5)
    for _ in range(30):
        assert is_valid(schema, grammar.generate(rnd, budget=40))


def test_a_grammar_has_a_limit() -> None:
    words = {
        f"part-{part}": {"enum": [f"{part}-{n}-{n * n}" for n in range(500)]} for part in range(24)
    }
    with pytest.raises(BadRequest, match=r"400000 characters"):
        compiled({"type": "object", "properties": words})


def test_the_work_on_a_schema_has_a_limit() -> None:
    many = {f"part-{part}": {"enum": list(range(900))} for part in range(14)}
    with pytest.raises(BadRequest, match="too many values and combined parts"):
        compiled({"type": "object", "properties": many})


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": list(range(5001))},
        {"type": "string", "pattern": "(a|b)*a(a|b){18}"},
        {"type": "string", "pattern": "(((a{2000}){2000}){2000})"},
        {"type": "string", "pattern": "^" + ".{0,900}x" * 4 + "$"},
        {"anyOf": [{"anyOf": [{"anyOf": [{"type": "null"}] * 20}] * 20}] * 20},
        {"allOf": [{"anyOf": [{"minimum": n}, {"maximum": -n}]} for n in range(20)]},
        {
            "$ref": "#/$defs/0",
            "$defs": {str(n): {"items": {"$ref": f"#/$defs/{n + 1}"}} for n in range(99)}
            | {"99": True},
        },
    ],
)
def test_a_schema_made_to_explode_is_refused_soon(schema: Any) -> None:
    with pytest.raises(BadRequest):
        compiled(schema)
