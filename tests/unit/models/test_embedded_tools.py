"""Calls: how they are written, held to, read as they stream, and told as events."""

import json
import random
from typing import Any

import pytest

from craton.messages import Answer, Event, StopReason, Text, fold
from craton.messages.blocks import ToolUse
from craton.messages.events import TextDelta
from craton.models.engines.embedded.answer import Alternative, GrowingAnswer, Piece, Probability
from craton.models.engines.embedded.tools import (
    Call,
    Prompt,
    Result,
    ToolText,
    Turn,
    in_own_form,
    in_words,
    template_knows_tools,
)
from craton.models.engines.embedded.tools_grammar import (
    Callable,
    Constraint,
    Shape,
    Wanted,
    constraint,
)
from tests.tools import gbnf

LOOK = Callable("look", {"properties": {"q": {"enum": ["a", "b"]}}, "required": ["q"]})
STOP = Callable('st"op', None)
CALL = '<tool_call>\n{"name": "look", "arguments": {"q": "a"}}\n</tool_call>'
OTHER = '<tool_call>\n{"name": "look", "arguments": {"q": "b"}}\n</tool_call>'


def held(**members: Any) -> tuple[Constraint, gbnf.Grammar]:
    made = constraint(Wanted(**members))
    assert made is not None
    return made, gbnf.Grammar(made.grammar)


# --- the grammar of an answer --------------------------------------------------------------------


def test_one_forced_tool_leaves_its_arguments_and_no_more() -> None:
    made, grammar = held(tools=[LOOK], must_call=True)
    assert made.opening == '<tool_call>\n{"name": "look", "arguments":'
    assert grammar.accepts(' {"q": "a"}')
    assert not grammar.is_prefix(' {"q": "c')
    assert not grammar.is_prefix("I")


def test_one_of_several_tools_must_be_called_with_its_own_arguments() -> None:
    made, grammar = held(tools=[LOOK, STOP], must_call=True)
    assert made.opening == '<tool_call>\n{"name": "'
    assert grammar.accepts('look", "arguments": {"q": "b"}')
    assert grammar.accepts('st\\"op", "arguments": {}')
    assert not grammar.is_prefix('st\\"op", "arguments": {"')


def test_several_calls_are_whole_one_after_another() -> None:
    _, grammar = held(tools=[LOOK], must_call=True, may_call_more=True)
    assert grammar.accepts(' {"q": "a"}}\n</tool_call>')
    assert grammar.accepts(' {"q": "a"}}\n</tool_call>\n' + OTHER)
    assert not grammar.accepts(' {"q": "a"}')


def test_text_is_free_until_a_call_begins() -> None:
    _, grammar = held(tools=[LOOK], may_call_more=True)
    for text in ("", "Hello <tool> <<tool_cal <tool_call", CALL, "First.\n" + CALL + "\n" + OTHER):
        assert grammar.accepts(text), text
    assert not grammar.is_prefix("<tool_call> ")
    assert not grammar.is_prefix("<<tool_call>x")
    assert not grammar.is_prefix(CALL + "and")


def test_a_call_cant_be_written_where_none_may_be_made() -> None:
    _, grammar = held(bars_calls=True)
    assert grammar.accepts("a <tool_call")
    assert not grammar.is_prefix("a <tool_call>")


def test_an_answer_has_its_shape_or_is_a_call() -> None:
    _, grammar = held(tools=[LOOK], shape=Shape({"type": "integer"}))
    assert grammar.accepts("12")
    assert grammar.accepts(CALL.removesuffix("}\n</tool_call>"))
    assert not grammar.is_prefix("Hello")


def test_whatever_such_a_grammar_writes_is_read_back_whole() -> None:
    made, grammar = held(tools=[LOOK, STOP], must_call=True, may_call_more=True)
    rnd = random.Random(3)
    calls = 0
    for _ in range(60):
        text = grammar.generate(rnd, budget=rnd.choice([0, 60, 300]))
        whole = answer(text, size=rnd.choice([1, 3, 50]), constraint=made)
        assert whole.stop.stop_reason is StopReason.TOOL_USE
        for block in whole.content:
            assert isinstance(block, ToolUse)
            wants = ({"q": "a"}, {"q": "b"}) if block.name == "look" else ({},)
            assert block.input in wants
            calls += 1
    assert calls > 60


# --- reading -------------------------------------------------------------------------------------


def pieces(text: str, size: int, ended: str) -> list[Piece]:
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    found = [Piece(each, False, number + 1) for number, each in enumerate(cut)]
    return [*found, Piece("", True, len(cut) + 1, stop_type=ended)]


def answer(text: str, *, size: int = 3, ended: str = "eos", **members: Any) -> Answer:
    growing = GrowingAnswer(
        prompt_tokens=7,
        stop_sequences=members.pop("stops", []),
        limit_is_context=False,
        call_id="0-1",
        **members,
    )
    events: list[Event] = []
    for each in pieces(text, size, ended):
        events += growing.add(each)
        if growing.is_complete:
            break
    return fold([*events, *growing.end(latency_ms=1, chip_us=1)])


FREE = Constraint("", has_calls=True)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_text_and_calls_become_blocks_of_their_own(size: int) -> None:
    whole = answer(f"Let me look.\n{CALL}\n{OTHER}", size=size, constraint=FREE)
    assert whole.content == [
        Text(text="Let me look."),
        ToolUse(id="call_010", name="look", input={"q": "a"}),
        ToolUse(id="call_011", name="look", input={"q": "b"}),
    ]
    assert whole.stop.stop_reason is StopReason.TOOL_USE


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_call_that_was_made_already_ends_the_answer(size: int) -> None:
    whole = answer(f"{CALL}\n{CALL}\n{CALL}", size=size, constraint=FREE)
    assert whole.content == [ToolUse(id="call_010", name="look", input={"q": "a"})]
    assert whole.stop.stop_reason is StopReason.TOOL_USE
    # The third was never waited for.
    assert whole.metadata.usage.output_tokens <= 2 * len(CALL) // size + 2


def test_an_opening_in_the_prompt_is_part_of_what_is_read() -> None:
    opened = Constraint(
        "", opening='<tool_call>\n{"name": "look", "arguments":', has_calls=True, is_one_call=True
    )
    whole = answer(' {"q": "}\\""} and more', constraint=opened)
    assert whole.content == [ToolUse(id="call_010", name="look", input={"q": '}"'})]
    assert whole.stop.stop_reason is StopReason.TOOL_USE


def test_a_call_cut_off_by_the_limit_is_told_as_far_as_it_came() -> None:
    whole = answer(CALL.partition(': "a"')[0], ended="limit", constraint=FREE)
    assert whole.content == [ToolUse(id="call_010", name="look", input='{"q"')]
    assert whole.stop.stop_reason is StopReason.MAX_TOKENS


def test_a_call_cut_off_before_its_arguments_isnt_taken_for_one_without_any() -> None:
    whole = answer(CALL.partition('{"q"')[0], ended="limit", constraint=FREE)
    assert whole.content == [Text(text="")]
    assert whole.stop.stop_reason is StopReason.MAX_TOKENS


@pytest.mark.parametrize("text", ["", "a <tool_cal", "1 < 2 ", "Hi\n\n"])
def test_text_that_only_looks_like_a_call_isnt_lost(text: str) -> None:
    whole = answer(text, constraint=FREE)
    assert whole.content == [Text(text=text)]
    assert whole.stop.stop_reason is StopReason.END_TURN


def test_a_stop_sequence_is_looked_for_in_text_and_not_in_a_call() -> None:
    whole = answer(f"Let me. {CALL}", stops=["look", "STOP"], constraint=FREE)
    assert whole.stop.stop_reason is StopReason.TOOL_USE
    whole = answer(f"Let STOP me. {CALL}", stops=["look", "STOP"], constraint=FREE)
    assert whole.content == [Text(text="Let ")]
    assert whole.stop.stop_sequence == "STOP"


def test_probabilities_come_with_the_text_they_belong_to() -> None:
    growing = GrowingAnswer(
        prompt_tokens=1, stop_sequences=["XY"], limit_is_context=False, logprobs=1
    )
    other = Alternative("b", [98], -2.0)
    events: list[Event] = []
    for number, token in enumerate(["a", "X", "b"]):
        told = Probability(token, [ord(token)], -1.0, [other, other])
        events += growing.add(Piece(token, False, number + 1, completion_probabilities=[told]))
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert [delta.text for delta in deltas] == ["a", "Xb"]  # `X` might have begun a stop sequence
    assert [len(delta.logprobs or []) for delta in deltas] == [1, 2]
    assert deltas[0].logprobs == [
        {
            "token": "a",
            "logprob": -1.0,
            "bytes": [97],
            "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": [98]}],
        }
    ]


# --- rendering -----------------------------------------------------------------------------------

PROMPT = Prompt(
    turns=[
        Turn("system", "Be brief."),
        Turn("user", "Weather?"),
        Turn("assistant", "", [Call("1", "look", '{"q":"a"}')]),
        Turn("user", "And?", [], [Result("1", "Rain", False), Result("2", "gone", True)]),
    ],
    tools=[ToolText("look", "Looks", '{"type":"object"}')],
)


def test_a_template_that_knows_no_tools_is_given_words() -> None:
    system, user, call, results = in_words(PROMPT)
    assert system["content"].startswith("Be brief.\n\nYou are a helpful assistant with tools.")
    assert (
        '{"name":"look","description":"Looks","arguments":{"type":"object"}}' in system["content"]
    )
    assert user == {"role": "user", "content": "Weather?"}
    assert json.loads(call["content"][len("<tool_call>\n") : -len("\n</tool_call>")])
    assert results["content"] == (
        "The tool look returned:\nRain\nThe tool returned:\nError: gone\nAnd?"
    )


def test_a_template_that_knows_tools_is_given_them_as_they_are() -> None:
    messages, tools = in_own_form(PROMPT)
    assert [message["role"] for message in messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
    ]
    assert messages[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"q":"a"}'}
    assert tools[0]["function"]["parameters"] == {"type": "object"}


def test_only_templates_of_the_known_form_are_trusted_with_tools() -> None:
    hermes = (
        '{% if tools %}<tool_call>\\n{\\"name\\": x, \\"arguments\\": y}{% for c in m.tool_calls %}'
    )
    assert template_knows_tools(hermes)
    assert not template_knows_tools(hermes.replace("<tool_call>", "[TOOL_CALLS]"))
    assert not template_knows_tools(hermes + "<function=")
    assert not template_knows_tools("{% for message in messages %}")
