import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.kernel.clock import ManualClock
from craton.kernel.errors import ContextOverflow, Unsupported
from craton.messages import (
    Answer,
    Fold,
    Message,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
)
from craton.messages.tools import Tool
from craton.models.engine import Stop
from craton.models.engines.echo import EchoEngine


def engine(*, context_tokens: int = 1000, default: int = 100) -> EchoEngine:
    return EchoEngine(ManualClock(), context_tokens=context_tokens, output_tokens_default=default)


def request(text: str, **more: object) -> Request:
    messages = [Message(role=Role.USER, content=[Text(text=text)])]
    return Request(model="m", messages=messages, **more)  # type: ignore[arg-type]


async def answered(asked: Request, stop: Stop | None = None, **options: int) -> Answer:
    fold = Fold()
    async for event in engine(**options).generate(asked, request_id="r", stop=stop or Stop()):
        fold.add(event)
    return fold.answer()


def text_of(answer: Answer) -> str:
    return "".join(block.text for block in answer.content)


def counts(answer: Answer) -> tuple[int, int]:
    return answer.metadata.usage.input_tokens, answer.metadata.usage.output_tokens


async def test_it_says_the_last_user_turn_back_and_counts_words() -> None:
    asked = Request(
        model="m",
        system=[Text(text="be brief")],
        messages=[
            Message(role=Role.USER, content=[Text(text="one")]),
            Message(role=Role.ASSISTANT, content=[Text(text="two three")]),
            Message(role=Role.USER, content=[Text(text="four  five\nsix ")]),
        ],
    )
    answer = await answered(asked)
    assert text_of(answer) == "four  five\nsix "
    assert counts(answer) == (8, 3)
    assert answer.stop.stop_reason is StopReason.END_TURN


@given(st.text(max_size=60))
def test_its_answer_is_the_text_and_its_figures_are_the_words(text: str) -> None:
    answer = asyncio.run(answered(request(text)))
    words = len(text.split())
    assert counts(answer) == (words, words)
    assert text_of(answer) == (text if words else "")


@pytest.mark.parametrize(("limit", "said"), [(1, "one"), (2, "one two"), (3, "one two three")])
async def test_it_stops_at_the_limit_of_tokens(limit: int, said: str) -> None:
    answer = await answered(request("one two three", max_tokens=limit))
    assert text_of(answer) == said
    assert counts(answer) == (3, limit)
    expected = StopReason.END_TURN if limit == 3 else StopReason.MAX_TOKENS
    assert answer.stop.stop_reason is expected


async def test_without_a_limit_the_models_default_holds() -> None:
    answer = await answered(request("one two three"), default=2)
    assert text_of(answer) == "one two"


@pytest.mark.parametrize(
    ("sequence", "said", "tokens"),
    [("three", "one two ", 3), ("wo th", "one t", 3), ("one", "", 1), ("o", "", 1)],
)
async def test_a_stop_sequence_ends_it_and_is_not_said(
    sequence: str, said: str, tokens: int
) -> None:
    answer = await answered(request("one two three four", stop_sequences=[sequence]))
    assert sequence not in text_of(answer)
    assert counts(answer)[1] == tokens
    assert answer.stop.stop_sequence == sequence
    if sequence != "wo th":  # what an earlier event said can't be taken back
        assert text_of(answer) == said


async def test_asked_to_stop_it_ends_in_good_order_with_what_it_said() -> None:
    stop = Stop()
    said: list[str] = []
    metadata = None
    async for event in engine().generate(request("a b c d"), request_id="r", stop=stop):
        if isinstance(event, TextDelta):
            said.append(event.text)
            if len(said) == 2:
                stop.request()
        if isinstance(event, Metadata):
            metadata = event
    assert said == ["a", " b"]
    assert metadata is not None
    assert metadata.usage.output_tokens == 2


async def test_a_prompt_over_the_context_is_refused() -> None:
    assert await engine(context_tokens=3).count(request("a b c")) == 3
    with pytest.raises(ContextOverflow, match="4 tokens"):
        await answered(request("a b c d"), context_tokens=3)


async def test_what_it_cannot_serve_it_names() -> None:
    with pytest.raises(Unsupported, match="`tools`"):
        await answered(request("a", tools=[Tool(name="t", schema={"type": "object"})]))
