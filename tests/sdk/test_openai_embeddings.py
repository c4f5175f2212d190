"""OpenAI's embeddings with the OpenAI SDK, unchanged, on the echo engine's vectors."""

import math
from collections.abc import Iterator

import openai
import pytest

from tests.fakes.craton import ECHO, Craton


@pytest.fixture(scope="module", params=["/v1", "/openai/v1"])
def client(request: pytest.FixtureRequest, echo: Craton) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=echo.url + request.param, api_key=echo.keys.api_key, max_retries=0
    ) as connected:
        yield connected


def test_each_text_has_its_vector(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model=ECHO, input=["one two", "three", "one two"])
    first, second, third = (entry.embedding for entry in made.data)
    assert first == third != second
    assert [entry.index for entry in made.data] == [0, 1, 2]
    assert made.usage.prompt_tokens == made.usage.total_tokens == 5
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)


def test_both_encodings_tell_the_same(client: openai.OpenAI) -> None:
    """The SDK asks for base64 where it isn't told what to ask for, and gives floats anyway."""
    (unasked,) = client.embeddings.create(model=ECHO, input="one").data
    (floats,) = client.embeddings.create(model=ECHO, input="one", encoding_format="float").data
    assert unasked.embedding == pytest.approx(floats.embedding, abs=1e-6)


def test_a_vector_can_be_had_shorter(client: openai.OpenAI) -> None:
    (short,) = client.embeddings.create(model=ECHO, input="one two three", dimensions=3).data
    assert len(short.embedding) == 3
    assert math.hypot(*short.embedding) == pytest.approx(1, abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model=ECHO, input="one", dimensions=100_000)


def test_tokens_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tokens are not served"):
        client.embeddings.create(model=ECHO, input=[1, 2, 3])
