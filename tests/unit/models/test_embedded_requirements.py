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
from craton.messages.request import Guardrail, JsonFormat, Thinking
from craton.messages.tools import AutoChoice, Tool
from craton.models.engines.embedded.requirements import (
    ANSWER_TOKENS,
    CHARACTERS_MAX,
    Plan,
    Turn,
    plan,
    turns,
)

HELLO = [Message(role=Role.USER, content=[Text(text="Hello")])]
SOURCE = InlineSource(data=b"x")


def request(**members: Any) -> Request:
    return Request(**({"model": "m", "messages": HELLO} | members))


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"tools": [Tool(name="t", schema={})]}, "tools"),
        ({"tool_choice": AutoChoice()}, "tool choice"),
        ({"output_format": JsonFormat()}, "output format"),
        ({"logprobs": 0}, "logprobs"),
        ({"choices": 2}, "more than one choice"),
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
        (ToolUse(id="1", name="t", input={}), "tool use block"),
        (ToolResult(tool_use_id="1", content=[]), "tool result block"),
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
        )
    )


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
    assert planned.max_tokens == ANSWER_TOKENS
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
