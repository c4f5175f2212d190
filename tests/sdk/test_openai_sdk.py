"""The OpenAI SDK, unchanged, against the embedded model."""

from collections.abc import Iterator

import openai
import pytest

from tests.fakes.craton import SMOL, Craton

QUESTION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France?"},
]


@pytest.fixture(scope="module")
def client(smol: Craton) -> Iterator[openai.OpenAI]:
    with connect(smol, smol.keys.api_key) as connected:
        yield connected


def connect(craton: Craton, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=craton.url + "/v1", api_key=key, max_retries=0)


def ask(client: openai.OpenAI, **settings: object) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(
        **{"model": SMOL, "messages": QUESTION, "max_tokens": 24, "temperature": 0, **settings}
    )


def test_a_chat_completion_answers(client: openai.OpenAI) -> None:
    answer = ask(client)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same_and_tells_usage_when_asked(client: openai.OpenAI) -> None:
    whole = ask(client)
    chunks = list(
        client.chat.completions.create(
            model=SMOL,
            messages=QUESTION,
            max_tokens=24,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_a_stream_tells_no_usage_unasked(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model=SMOL, messages=QUESTION, max_tokens=3, stream=True)
    )
    assert all(chunk.usage is None for chunk in chunks)


def test_system_turns_and_stop_sequences_are_heeded(client: openai.OpenAI) -> None:
    told = ask(
        client,
        messages=[{"role": "system", "content": "Answer like a pirate."}, QUESTION[1]],
    )
    assert told.usage != ask(client).usage
    stopped = ask(client, stop=["Paris"])
    assert "Paris" not in (stopped.choices[0].message.content or "")
    assert stopped.choices[0].finish_reason == "stop"


def test_max_tokens_is_told_as_length(client: openai.OpenAI) -> None:
    answer = ask(client, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert SMOL in [model.id for model in client.models.list()]
    assert client.models.retrieve(SMOL).owned_by == "HuggingFaceTB"


def test_errors_are_typed(client: openai.OpenAI, smol: Craton) -> None:
    with pytest.raises(openai.NotFoundError, match="nope"):
        ask(client, model="nope")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        ask(client, temperature=9)
    for settings in (
        {"web_search_options": {}},
        {"logit_bias": {"5": -100}},
        {"prediction": {"type": "content", "content": "x"}},
        {"modalities": ["text", "audio"]},
    ):
        with pytest.raises(openai.BadRequestError, match=next(iter(settings))):
            ask(client, **settings)
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        client.embeddings.create(model=SMOL, input="x")
    with pytest.raises(openai.NotFoundError, match="not built"):
        client.moderations.create(input="x")
    with (
        connect(smol, "sk-forged-key") as forged,
        pytest.raises(openai.AuthenticationError, match="not known"),
    ):
        ask(forged)
