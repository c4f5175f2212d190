"""Answers as they grow: event order, stop reasons, counts."""

import pytest

from craton.messages import Answer, Event, StopReason, Text, Usage, fold
from craton.models.engines.embedded.answer import GrowingAnswer, Piece


def piece(text: str, count: int, ended: str | None = None) -> Piece:
    return Piece(text, ended is not None, count, stop_type=ended or "none")


def answer(
    pieces: list[Piece], *, stops: list[str] | None = None, limit_is_context: bool = False
) -> Answer:
    growing = GrowingAnswer(
        prompt_tokens=7, stop_sequences=stops or [], limit_is_context=limit_is_context
    )
    events: list[Event] = []
    for each in pieces:
        events += growing.add(each)
        if growing.is_complete:
            break
    events += growing.end(latency_ms=3, chip_us=4)
    return fold(events)


def test_the_end_of_turn_token_isnt_counted() -> None:
    whole = answer([piece("Yes", 1), piece(".", 2), piece("", 3, "eos")])
    assert whole.content == [Text(text="Yes.")]
    assert whole.stop.stop_reason is StopReason.END_TURN
    assert whole.metadata.usage == Usage(input_tokens=7, output_tokens=2)
    assert (whole.metadata.latency_ms, whole.metadata.chip_us) == (3, 4)
    assert whole.start.usage == Usage(input_tokens=7)


def test_the_last_token_at_the_limit_is_counted() -> None:
    whole = answer([piece("Yes", 1), piece("", 1, "limit")])
    assert whole.stop.stop_reason is StopReason.MAX_TOKENS
    assert whole.metadata.usage.output_tokens == 1


def test_a_limit_that_is_the_contexts_end_says_so() -> None:
    whole = answer([piece("Yes", 1), piece("", 1, "limit")], limit_is_context=True)
    assert whole.stop.stop_reason is StopReason.CONTEXT_WINDOW_EXCEEDED


def test_tokens_of_a_stop_sequence_are_counted_and_it_is_named() -> None:
    whole = answer([piece("a E", 2), piece("ND b", 3), piece(" c", 4)], stops=["END"])
    assert whole.content == [Text(text="a ")]
    assert whole.stop.stop_reason is StopReason.STOP_SEQUENCE
    assert whole.stop.stop_sequence == "END"
    assert whole.metadata.usage.output_tokens == 3


@pytest.mark.parametrize("ended", ["limit", "eos"])
def test_text_held_back_for_a_stop_sequence_isnt_lost_at_the_end(ended: str) -> None:
    whole = answer([piece("a EN", 2), piece("", 3, ended)], stops=["END"])
    assert whole.content == [Text(text="a EN")]
    assert whole.stop.stop_sequence is None


def test_an_answer_that_was_stopped_tells_what_was_generated_until_then() -> None:
    whole = answer([piece("a", 1), piece(" EN", 3)], stops=["END"])
    assert whole.content == [Text(text="a EN")]
    assert whole.stop.stop_reason is StopReason.END_TURN
    assert whole.metadata.usage.output_tokens == 3


def test_an_answer_stopped_before_its_first_token_is_whole_and_empty() -> None:
    whole = answer([])
    assert whole.content == [Text(text="")]
    assert whole.metadata.usage == Usage(input_tokens=7)


def test_an_empty_answer_is_whole() -> None:
    whole = answer([piece("", 1, "eos")])
    assert whole.content == [Text(text="")]
    assert whole.metadata.usage.output_tokens == 0
