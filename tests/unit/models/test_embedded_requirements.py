"""What the embedded engine refuses, and what it makes of the rest."""

import math
from typing import Any

import msgspec
import pytest

from craton.kernel.errors import BadRequest, TooLarge, Unsupported
from craton.messages import Message, Request, Role, Text
from craton.messages.blocks import (
    Audio,
    CachePoint,
    CitedText,
    Document,
    GuardContent,
    Image,
    InlineSource,
    Opaque,
    Reasoning,
    Refusal,
    SearchResult,
    TextSource,
    ToolResult,
    ToolUse,
    Video,
)
from craton.messages.blocks import Json as JsonPart
from craton.messages.request import Guardrail, JsonFormat, JsonSchemaFormat, Thinking
from craton.messages.tools import (
    AnyChoice,
    AutoChoice,
    NoneChoice,
    SystemTool,
    Tool,
    ToolChoiceByName,
)
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.prompt_turns import CHARACTERS_MAX, turns
from craton.models.engines.embedded.requirements import TOKENS_MAX, plan
from craton.models.engines.embedded.tools import Call, Result, Turn

HELLO = [Message(role=Role.USER, content=[Text(text="Hello")])]
SOURCE = InlineSource(data=b"x")


def request(**members: Any) -> Request:
    return Request(**({"model": "m", "messages": HELLO} | members))


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"tools": [SystemTool(name="nova_grounding")]}, "system tool 'nova_grounding'"),
        ({"tools": [Opaque(dialect="anthropic", kind="bash_20250124", value={})]}, "bash_20250124"),
        ({"extra": {"openai": {"logit_bias": {"5": 1}}}}, "`logit_bias`"),
        ({"extra": {"openai": {"verbosity": "low"}}}, "`verbosity`"),
        ({"extra": {"openai": {"modalities": ["text", "audio"]}}}, "`modalities`"),
        ({"extra": {"anthropic": {"container": "c"}}}, "`container`"),
        ({"guardrail": Guardrail(identifier="g")}, "guardrail"),
        ({"prompt_variables": {"a": "b"}}, "prompt variables"),
        ({"thinking": Thinking(mode="enabled", budget_tokens=1024)}, "reasoning"),
        ({"thinking": Thinking(effort="high")}, "reasoning"),
        ({"latency": "optimized"}, "latency optimization"),
        ({"service_tier": "priority"}, "service tier 'priority'"),
        ({"additional_fields": {"top_z": 1}}, "top_z"),
        ({"additional_fields": [1]}, "additional model fields"),
        ({"additional_fields": {"top_k": "many"}}, "top_k"),
    ],
)
def test_a_member_it_cant_serve_is_refused_by_name(members: dict[str, Any], name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        plan(request(**members))


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (Image(source=SOURCE), "image block"),
        (Document(source=TextSource(text="x")), "document block"),
        (Video(source=SOURCE), "video block"),
        (Audio(source=SOURCE), "audio block"),
        (SearchResult(source="s", title="t", passages=[]), "search result block"),
        (ToolUse(id="1", name="t", input={}), "tool use by the user"),
        (ToolResult(tool_use_id="1", content=[], kind="web_search"), "web_search block"),
        (ToolResult(tool_use_id="1", content=[Image(source=SOURCE)]), "image in a tool result"),
        (Reasoning(text="hm"), "reasoning block"),
        (GuardContent(image=Image(source=SOURCE)), "guarded image block"),
        (Opaque(dialect="d", kind="novelty", value={}), "novelty block"),
    ],
)
def test_a_block_it_cant_read_is_refused_by_name(block: Any, name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        turns(request(messages=[Message(role=Role.USER, content=[Text(text="Look"), block])]))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("top_k", -1),
        ("top_k", 1_000_001),
        ("frequency_penalty", -2.1),
        ("frequency_penalty", math.nan),
        ("presence_penalty", 2.1),
        ("presence_penalty", -math.inf),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_range(member: str, value: float) -> None:
    with pytest.raises(BadRequest, match=rf"{member} is .*; it must be"):
        plan(request(**{member: value}))


def test_top_k_in_additional_fields_is_held_to_the_same_range() -> None:
    with pytest.raises(BadRequest, match="top_k is -3"):
        plan(request(additional_fields={"top_k": -3}))


@pytest.mark.parametrize("sequences", [[""], ["x" * 1025], ["x"] * 65])
def test_stop_sequences_have_limits(sequences: list[str]) -> None:
    with pytest.raises(BadRequest, match=r"(?i)stop sequence"):
        plan(request(stop_sequences=sequences))


def test_half_a_surrogate_pair_is_refused_before_it_can_break_a_frame() -> None:
    half = [Message(role=Role.USER, content=[Text(text="ab\ud800")])]
    with pytest.raises(BadRequest, match="surrogate pair at character 2"):
        plan(request(messages=half))
    with pytest.raises(BadRequest, match="Stop sequence 0 holds half"):
        plan(request(stop_sequences=["\udfff"]))


def test_every_plan_fits_a_message_however_large_the_callers_numbers() -> None:
    planned = plan(request(max_tokens=10**30, seed=-(10**30)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(planned), type=Plan) == planned


def test_a_conversation_over_the_character_limit_is_refused_with_both_numbers() -> None:
    long = [Message(role=Role.USER, content=[Text(text="x" * (CHARACTERS_MAX + 1))])]
    with pytest.raises(TooLarge, match="2000001 characters; at most 2000000"):
        plan(request(messages=long))


def test_an_empty_conversation_is_refused() -> None:
    with pytest.raises(BadRequest, match="empty"):
        plan(request(messages=[]))


def test_a_message_without_text_is_refused_by_number() -> None:
    with pytest.raises(BadRequest, match="Message 1 has no text"):
        plan(request(messages=[*HELLO, Message(role=Role.ASSISTANT, content=[CachePoint()])]))


def test_a_conversation_without_a_user_is_refused() -> None:
    with pytest.raises(BadRequest, match="no user message"):
        plan(request(messages=[Message(role=Role.ASSISTANT, content=[Text(text="Hi")])]))


def test_members_that_ask_for_nothing_special_are_served() -> None:
    plan(
        request(
            choices=1,
            thinking=Thinking(mode="disabled", effort="none"),
            latency="standard",
            service_tier="default",
            tool_choice=AutoChoice(),
            extra={"openai": {"modalities": ["text"], "store": True, "logit_bias": {}}},
        )
    )


@pytest.mark.parametrize(("mode", "effort"), [("disabled", "high"), ("adaptive", "high")])
def test_who_need_not_think_may_not(mode: str, effort: str) -> None:
    plan(request(thinking=Thinking(mode=mode, effort=effort)))


@pytest.mark.parametrize(("mode", "effort"), [("enabled", None), (None, "high")])
def test_who_must_think_is_refused(mode: str | None, effort: str | None) -> None:
    with pytest.raises(Unsupported, match="reasoning"):
        plan(request(thinking=Thinking(mode=mode, effort=effort)))


@pytest.mark.parametrize(("parallel", "one"), [(None, True), (False, True), (True, False)])
def test_some_call_is_one_call_unless_several_are_asked_for(
    parallel: bool | None, one: bool
) -> None:
    planned = plan(request(tools=[LOOK, TIME], tool_choice=AnyChoice(), parallel_tool_use=parallel))
    assert planned.constraint is not None
    assert planned.constraint.is_one_call is one


def test_text_in_all_its_forms_becomes_turns() -> None:
    read = turns(
        request(
            system=[Text(text="Be brief."), CachePoint(), GuardContent(text="Be kind.")],
            messages=[
                Message(role=Role.USER, content=[Text(text="One"), Text(text="Two")]),
                Message(
                    role=Role.ASSISTANT, content=[CitedText(passages=["A", "B"], citations=[])]
                ),
                Message(role=Role.SYSTEM, content=[Text(text="Now in French.")]),
                Message(role=Role.ASSISTANT, content=[Refusal(text="No.")]),
            ],
        )
    )
    assert read == [
        Turn("system", "Be brief.\n\nBe kind."),
        Turn("user", "One\nTwo"),
        Turn("assistant", "AB"),
        Turn("system", "Now in French."),
        Turn("assistant", "No."),
    ]


def test_what_is_left_out_gets_the_documented_defaults() -> None:
    planned = plan(request())
    assert planned.max_tokens == TOKENS_MAX  # as much as the context holds
    assert planned.sampling.seed is None
    assert planned.sampling.frequency_penalty == 0


def test_a_callers_own_member_beats_the_additional_field() -> None:
    planned = plan(request(top_k=5, additional_fields={"top_k": 9, "seed": 3}))
    assert (planned.sampling.top_k, planned.sampling.seed) == (5, 3)


@pytest.mark.parametrize("seed", [-1, 2**32 - 1, 2**63, 0])
def test_no_seed_of_a_caller_means_a_random_one(seed: int) -> None:
    planned = plan(request(seed=seed))
    assert planned.sampling.seed is not None
    assert 0 <= planned.sampling.seed < 2**32 - 1


LOOK = Tool(name="look", description="Look it up", schema={"properties": {"q": {"type": "string"}}})
TIME = Tool(name="time", schema=None)


def test_a_forced_tool_leaves_only_its_arguments_to_write() -> None:
    planned = plan(request(tools=[LOOK, TIME], tool_choice=ToolChoiceByName(name="look")))
    assert planned.constraint is not None
    assert planned.prompt.opening == '<tool_call>\n{"name": "look", "arguments":'
    assert planned.constraint.is_one_call
    assert [tool.name for tool in planned.prompt.tools] == ["look", "time"]


def test_a_model_that_may_decide_begins_its_answer_itself() -> None:
    planned = plan(request(tools=[LOOK]))
    assert planned.prompt.opening == ""
    assert planned.constraint is not None
    assert planned.constraint.has_calls  # noqa: PGH005 - a member, and no mock
    assert not planned.constraint.is_one_call
    one = plan(request(tools=[LOOK], parallel_tool_use=False)).constraint
    assert one is not None
    assert one.is_one_call


def test_a_model_that_was_never_taught_is_helped_when_asked_by_name() -> None:
    asked = [Message(role=Role.USER, content=[Text(text="Please use the look tool for x.")])]
    assert plan(request(tools=[LOOK], messages=asked)).prompt.opening == ""
    helped = plan(request(tools=[LOOK], messages=asked), must_help=True)
    assert helped.prompt.opening.endswith('"name": "look", "arguments":')
    for text in ("Look it up", "don't use look", "What does look do?", "use looking"):
        asked = [Message(role=Role.USER, content=[Text(text=text)])]
        assert plan(request(tools=[LOOK], messages=asked), must_help=True).prompt.opening == ""


def test_no_tool_may_be_called_where_none_is_chosen() -> None:
    planned = plan(request(tools=[LOOK], tool_choice=NoneChoice()))
    assert planned.prompt.tools == []
    assert planned.constraint is not None
    assert not planned.constraint.has_calls


def test_only_allowed_tools_are_called() -> None:
    extra = {
        "openai": {
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "time"}}],
            }
        }
    }
    planned = plan(request(tools=[LOOK, TIME], tool_choice=AnyChoice(extra=extra)))
    assert planned.prompt.opening.endswith('"name": "time", "arguments":')


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"tools": [LOOK], "tool_choice": ToolChoiceByName(name="lock")}, "names 'lock'"),
        ({"tool_choice": AnyChoice()}, "there are no tools"),
        ({"tools": [LOOK, LOOK]}, "Two tools have the name 'look'"),
        ({"tools": [Tool(name="t", schema={"type": "string"})]}, "`type` must be 'object'"),
        (
            {"tools": [Tool(name="t", schema={"properties": {"a": 5}})]},
            "tool 't', at #: `properties`",
        ),
        (
            {"output_format": JsonSchemaFormat(schema={"type": "x"})},
            "schema of the answer, at #: `type`",
        ),
        (
            {"output_format": JsonSchemaFormat(schema={"minimumLength": 3}, strict=True)},
            "minimumLength",
        ),
        ({"logprobs": 21}, "top_logprobs is 21"),
    ],
)
def test_what_doesnt_fit_together_is_refused_by_name(members: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        plan(request(**members))


def test_the_shape_of_an_answer_is_told_and_held_to() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    planned = plan(request(output_format=JsonSchemaFormat(schema=schema)))
    assert planned.prompt.shape == '{"type":"object","properties":{"a":{"type":"integer"}}}'
    assert planned.constraint is not None
    assert not planned.constraint.has_calls
    assert plan(request(output_format=JsonFormat())).prompt.shape == ""
    huge = {"enum": ["x" * 5000]}
    assert plan(request(output_format=JsonSchemaFormat(schema=huge))).prompt.shape is None


def test_calls_and_results_of_the_conversation_become_turns() -> None:
    messages = [
        *HELLO,
        Message(
            role=Role.ASSISTANT,
            content=[Text(text="Wait."), ToolUse(id="1", name="look", input={"q": "é"})],
        ),
        Message(role=Role.USER, content=[ToolResult(tool_use_id="1", content=[Text(text="A")])]),
        Message(
            role=Role.USER,
            content=[ToolResult(tool_use_id="2", content=[JsonPart(value=[1])], status="error")],
        ),
        Message(role=Role.USER, content=[Text(text="And?")]),
    ]
    planned = plan(request(messages=messages))
    assert planned.prompt.turns[1:] == [
        Turn("assistant", "Wait.", [Call("1", "look", '{"q":"é"}')]),
        Turn("user", "And?", [], [Result("1", "A", False), Result("2", "[1]", True)]),
    ]
    # Without tools the model still can't write what looks like a call.
    assert planned.constraint is not None
    assert not planned.constraint.has_calls


def test_a_model_may_be_told_to_think_as_it_sees_fit() -> None:
    plan(request(thinking=Thinking(mode="adaptive", effort="high")))
