import json
import struct
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings, EmbeddingType
from craton.dialects.openai_embeddings import (
    TEXTS_MAX,
    Encoding,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from craton.kernel.errors import BadRequest, EngineFailed, Unsupported

STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "m", 1_800_000_000)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
singles = st.floats(-1, 1, width=32)


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "input": "x", **members}).encode()


def test_texts_are_read() -> None:
    request, encoding = read_request(body())
    assert request == EmbeddingRequest(model="m", texts=["x"], normalize=True)
    assert encoding is Encoding.FLOAT
    request, encoding = read_request(
        body(input=["a", "b"], encoding_format="base64", dimensions=8, user="u")
    )
    assert (request.texts, request.dimensions, encoding) == (["a", "b"], 8, Encoding.BASE64)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"input": ""}, "`input`: expected at least one"),
        ({"input": ["a", ""]}, r"`input\[1\]`: expected at least one"),
        ({"input": []}, "`input`: expected from 1"),
        ({"input": ["a"] * (TEXTS_MAX + 1)}, f"to {TEXTS_MAX} texts"),
        ({"input": 5}, "`input`:"),
        ({"input": None}, "`input`:"),
        ({"input": [{"text": "a"}]}, r"`input\[0\]`:"),
        ({"model": ""}, "`model`:"),
        ({"dimensions": 0}, "`dimensions`:"),
        ({"encoding_format": "int8"}, "`encoding_format`:"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        read_request(body(**members))


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]], ["a", 5]])
def test_tokens_are_refused_with_what_to_do(tokens: Any) -> None:
    with pytest.raises(Unsupported, match="check_embedding_ctx_length"):
        read_request(body(input=tokens))


def test_a_member_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="`truncate`"):
        read_request(body(truncate="END"))


def test_a_vector_is_written_as_numbers_or_as_their_bytes() -> None:
    made = Embeddings(vectors=[[0.5, -1.0], [0.25, 0.0]], input_tokens=7)
    told = json.loads(write_answer(made, Encoding.FLOAT, STAMP))
    assert told == {
        "object": "list",
        "model": "m",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.25, 0.0]},
        ],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    packed = json.loads(write_answer(made, Encoding.BASE64, STAMP))
    first = b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    assert packed["data"][0]["embedding"] == first


@given(st.lists(st.lists(singles, max_size=5), max_size=4), st.sampled_from(Encoding))
def test_vectors_written_and_read_are_the_same(
    vectors: list[list[float]], encoding: Encoding
) -> None:
    made = Embeddings(vectors=vectors, input_tokens=3)
    assert read_answer(write_answer(made, encoding, STAMP)) == made


@given(st.lists(texts, min_size=1, max_size=4), st.none() | st.integers(1, 99))
def test_a_request_written_and_read_is_the_same(said: list[str], dimensions: int | None) -> None:
    request = EmbeddingRequest(model="m", texts=said, dimensions=dimensions, normalize=True)
    assert read_request(write_request(request)) == (request, Encoding.BASE64)


def test_number_formats_have_no_form_here() -> None:
    with pytest.raises(Unsupported, match="number formats"):
        write_request(EmbeddingRequest(model="m", texts=["x"], types=(EmbeddingType.INT8,)))


@pytest.mark.parametrize(
    "answer",
    [
        b"{",
        b"{}",
        b'{"data":[{"embedding":[1],"index":1}],"usage":{"prompt_tokens":1}}',
        b'{"data":[{"embedding":"???","index":0}],"usage":{"prompt_tokens":1}}',
        b'{"data":[{"embedding":"AAA=","index":0}],"usage":{"prompt_tokens":1}}',
    ],
)
def test_an_upstreams_nonsense_is_the_engines_failure(answer: bytes) -> None:
    with pytest.raises(EngineFailed):
        read_answer(answer)


def test_entries_are_put_in_their_order() -> None:
    answer = {
        "data": [{"embedding": [2.0], "index": 1}, {"embedding": [1.0], "index": 0}],
        "usage": {"prompt_tokens": 1},
    }
    assert read_answer(json.dumps(answer).encode()).vectors == [[1.0], [2.0]]
