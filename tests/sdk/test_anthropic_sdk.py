"""The Anthropic SDK, unchanged, against the embedded model."""

from collections.abc import Iterator

import anthropic
import pytest

from tests.fakes.craton import SMOL, Craton

BRIEF = "Be brief."
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
COLD = {"temperature": 0}
"""The SDK no longer has `temperature` among its parameters; the protocol still does."""


@pytest.fixture(scope="module")
def client(smol: Craton) -> Iterator[anthropic.Anthropic]:
    with connect(smol, smol.keys.api_key) as connected:
        yield connected


def connect(craton: Craton, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=craton.url, api_key=key, max_retries=0)


def ask(client: anthropic.Anthropic, **settings: object) -> anthropic.types.Message:
    return client.messages.create(
        **{
            "model": SMOL,
            "messages": QUESTION,
            "max_tokens": 24,
            "system": BRIEF,
            "extra_body": COLD,
        }
        | settings
    )


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_answers(client: anthropic.Anthropic) -> None:
    answer = ask(client)
    assert "Paris" in text_of(answer)
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


def test_a_stream_says_the_same(client: anthropic.Anthropic) -> None:
    whole = ask(client)
    with client.messages.stream(
        model=SMOL, messages=QUESTION, max_tokens=24, system=BRIEF, extra_body=COLD
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.stop_reason == whole.stop_reason


def test_turns_and_system_are_part_of_the_prompt(client: anthropic.Anthropic) -> None:
    first = ask(client)
    turns = [
        *QUESTION,
        {"role": "assistant", "content": text_of(first)},
        {"role": "user", "content": "And of Italy?"},
    ]
    assert ask(client, messages=turns).usage.input_tokens > first.usage.input_tokens
    assert ask(client, system="Answer like a pirate.").usage != first.usage


def test_a_stop_sequence_is_named(client: anthropic.Anthropic) -> None:
    answer = ask(client, stop_sequences=["Paris"])
    assert answer.stop_reason == "stop_sequence"
    assert answer.stop_sequence == "Paris"
    assert "Paris" not in text_of(answer)


def test_max_tokens_is_told(client: anthropic.Anthropic) -> None:
    answer = ask(client, max_tokens=3)
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 3


def test_tokens_are_counted_before_as_they_are_billed_after(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=SMOL, messages=QUESTION, system=BRIEF)
    assert counted.input_tokens == ask(client).usage.input_tokens


def test_models_are_listed_and_found(client: anthropic.Anthropic) -> None:
    assert SMOL in [model.id for model in client.models.list()]
    assert client.models.retrieve(SMOL).display_name == "SmolLM2 135M"


def test_errors_are_typed(client: anthropic.Anthropic, smol: Craton) -> None:
    with pytest.raises(anthropic.NotFoundError, match="nope"):
        ask(client, model="nope")
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        ask(client, extra_body={"temperature": 9})
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        ask(client, max_tokens=0)
    with (
        connect(smol, "sk-forged-key") as forged,
        pytest.raises(anthropic.AuthenticationError, match="not known"),
    ):
        ask(forged)
