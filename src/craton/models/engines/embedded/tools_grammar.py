"""The grammar of an answer that may hold calls: text, a call, several, or JSON of a shape.

A model that decides by itself (`auto`) writes text as it likes until it writes the mark of a call;
from there on it can only write a whole one. One that must call finds the call begun in its prompt,
which costs no tokens, and writes on from there.
"""

from typing import Any

import msgspec

from craton.models.engines.embedded.grammar import Grammar
from craton.models.engines.embedded.grammar_automaton_text import literal
from craton.models.engines.embedded.grammar_keywords import is_object
from craton.models.engines.embedded.grammar_nodes import Literals, Schema
from craton.models.engines.embedded.grammar_schema import read_schema
from craton.models.engines.embedded.tools import (
    CALL_ARGUMENTS,
    CALL_BEGIN,
    CALL_END,
    CALL_NAME,
)

CALLS_MAX = 16
"""Most calls in one answer."""


class Callable(msgspec.Struct, frozen=True):
    """A tool that may be called; `schema` is the JSON value its caller sent."""

    name: str
    schema: Any
    is_strict: bool = False


class Shape(msgspec.Struct, frozen=True):
    """The JSON that text must be; an object of any kind where `schema` is None."""

    schema: Any = None
    is_strict: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """What an answer may hold: text (of a shape), calls, or either."""

    tools: list[Callable] = []
    must_call: bool = False
    may_call_more: bool = False
    shape: Shape | None = None
    bars_calls: bool = False
    """Text may not hold the mark of a call: for conversations in which calls stand already."""


class Constraint(msgspec.Struct, frozen=True):
    """A grammar that an answer must match from its first token on, and how to read it."""

    grammar: str
    opening: str = ""
    """What begins the answer and stands in the prompt already."""
    has_calls: bool = False
    is_one_call: bool = False
    """The answer is over where its first call is."""


def constraint(wanted: Wanted) -> Constraint | None:
    """The constraint of an answer, None where anything may be written.

    BadRequest or Unsupported where a schema is malformed or can't be served.
    """
    grammar = Grammar()
    has_calls = bool(wanted.tools)
    bodies = [_body(grammar, tool) for tool in wanted.tools]
    if wanted.must_call:
        return _forced(grammar, wanted, bodies)
    calls = _calls(grammar, wanted, bodies) if has_calls else ""
    if wanted.shape is not None:
        text = grammar.schema(_read_shape(wanted.shape))
        root = f"{text} | {literal(CALL_BEGIN)} {calls}" if has_calls else text
    elif has_calls or wanted.bars_calls:
        root = _text_then(grammar, calls)
    else:
        return None
    return Constraint(grammar.text(root), has_calls=has_calls, is_one_call=not wanted.may_call_more)


def _forced(grammar: Grammar, wanted: Wanted, bodies: list[tuple[str, str]]) -> Constraint:
    """Calls from the first token on; where there is one tool, only its arguments are left."""
    opening = CALL_BEGIN + CALL_NAME
    more = _more(grammar, bodies) if wanted.may_call_more else ""
    if len(bodies) == 1:
        name, arguments = bodies[0]
        opening += name + CALL_ARGUMENTS
        root = f'" " {arguments} {more}'
    else:
        root = f"{_either(grammar, bodies)} {more}"
    return Constraint(
        grammar.text(root.rstrip()),
        opening=opening,
        has_calls=True,
        is_one_call=not wanted.may_call_more,
    )


def _body(grammar: Grammar, tool: Callable) -> tuple[str, str]:
    """A tool's name as JSON has it inside quotation marks, and the rule of its arguments."""
    quoted = msgspec.json.encode(tool.name).decode()[1:-1]
    return quoted, grammar.schema(read_arguments(tool))


def read_arguments(tool: Callable) -> Schema:
    """The schema of a tool's arguments, which are an object; without a schema there are none."""
    if tool.schema is None:
        return Schema((Literals(({},)),), 0)
    document: Any = tool.schema
    if is_object(document) and "type" not in document:
        document = {"type": "object", **document}
    what = f"The input schema of tool {tool.name!r}"
    return read_schema(document, what=what, is_strict=tool.is_strict, only="object")


def _read_shape(shape: Shape) -> Schema:
    schema: Any = {"type": "object"} if shape.schema is None else shape.schema
    return read_schema(schema, what="The schema of the answer", is_strict=shape.is_strict)


def _either(grammar: Grammar, bodies: list[tuple[str, str]]) -> str:
    """A name, and the arguments that go with it."""
    name = grammar.new()
    grammar.add(
        name,
        " | ".join(f"{literal(quoted + CALL_ARGUMENTS + ' ')} {rule}" for quoted, rule in bodies),
    )
    return name


def _more(grammar: Grammar, bodies: list[tuple[str, str]]) -> str:
    """The end of a call whose arguments are written, and further calls."""
    begin = literal(f"\n{CALL_BEGIN}{CALL_NAME}")
    either, end = _either(grammar, bodies), literal(CALL_END)
    return f"{end} ( {begin} {either} {end} ){{0,{CALLS_MAX - 1}}}"


def _calls(grammar: Grammar, wanted: Wanted, bodies: list[tuple[str, str]]) -> str:
    """One call or more, whose mark is written already."""
    one = f"{literal(CALL_NAME)} {_either(grammar, bodies)}"
    return f"{one} {_more(grammar, bodies)}" if wanted.may_call_more else one


def _text_then(grammar: Grammar, calls: str) -> str:
    """Any text without the mark of a call; then, where there are any, calls.

    One rule for each letter of the mark that was written, as in a search for it. The mark's first
    letter doesn't come again in it, so what breaks it off leads back to the start or the first.
    """
    assert CALL_BEGIN.count(CALL_BEGIN[0]) == 1, "the search needs more ways back than one"
    first = CALL_BEGIN[0]
    names = [grammar.new() for _ in CALL_BEGIN]
    for number, letter in enumerate(CALL_BEGIN):
        is_last = number == len(CALL_BEGIN) - 1
        onward = calls if is_last else names[number + 1]
        choices = [f"{literal(letter)} {onward}"] if onward else []
        if number:
            choices.append(f"{literal(first)} {names[1]}")
        choices.append(f"[^{first}{letter if number else ''}] {names[0]}")
        grammar.add(names[number], " | ".join([*choices, '""']))
    return names[0]
