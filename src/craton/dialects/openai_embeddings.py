"""OpenAI's embeddings, both sides.

Source: https://platform.openai.com/docs/api-reference/embeddings. Vectors come as numbers or as
base64 of little-endian 32-bit floats, which is what OpenAI's own SDKs ask for. They have unit
length, also where `dimensions` cuts them short, as OpenAI's have: programs take the dot product of
two for their cosine.
"""

import struct
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from craton.dialects import media
from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings, Vector
from craton.dialects.members import BodyReader, Json, Wire, members, wrong
from craton.dialects.openai_chat_wire import Named
from craton.kernel.errors import BadRequest, EngineFailed, Unsupported

TEXTS_MAX = 2048
"""Texts of one request: OpenAI's own limit."""


class Encoding(StrEnum):
    """How vectors are written."""

    FLOAT = "float"
    BASE64 = "base64"


class EmbeddingBody(Wire):
    """The body of a request. Lists of whole numbers are tokens."""

    model: Named
    input: str | list[str | int | list[int]]
    encoding_format: Encoding = Encoding.FLOAT
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class EmbeddingEntry(msgspec.Struct, kw_only=True):
    """One vector."""

    embedding: list[float] | str
    index: int
    object: str = "embedding"


class EmbeddingUsage(msgspec.Struct, kw_only=True):
    """What was used."""

    prompt_tokens: int
    total_tokens: int = 0


class EmbeddingAnswer(msgspec.Struct, kw_only=True):
    """The body of an answer."""

    data: list[EmbeddingEntry]
    usage: EmbeddingUsage
    model: str = ""
    object: str = "list"


_REQUESTS: BodyReader[EmbeddingBody] = BodyReader(EmbeddingBody)
_ANSWERS = msgspec.json.Decoder(EmbeddingAnswer)
_encode = msgspec.json.encode


def read_request(body: bytes) -> tuple[EmbeddingRequest, Encoding]:
    """Read a request body; BadRequest or Unsupported names the member that is wrong."""
    wire = _REQUESTS.read(body)
    for name in members(wire) or ():
        raise Unsupported(f"`{name}`: is not served for embeddings. Leave it out.")
    request = EmbeddingRequest(
        model=wire.model, texts=_texts(wire.input), dimensions=wire.dimensions, normalize=True
    )
    return request, wire.encoding_format


def _texts(given: str | list[str | int | list[int]]) -> list[str]:
    listed = [given] if isinstance(given, str) else given
    if not 1 <= len(listed) <= TEXTS_MAX:
        raise wrong("input", f"expected from 1 to {TEXTS_MAX} texts, got {len(listed)}")
    texts: list[str] = []
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise Unsupported(
                "`input`: tokens are not served, since only their own model knows what they mean. "
                "Send text (in LangChain, with `check_embedding_ctx_length=False`)."
            )
        if not text:
            path = "input" if isinstance(given, str) else f"input[{index}]"
            raise wrong(path, "expected at least one character")
        texts.append(text)
    return texts


def write_answer(embeddings: Embeddings, encoding: Encoding, stamp: Stamp) -> bytes:
    """The body of the answer."""
    tokens = embeddings.input_tokens
    answer = EmbeddingAnswer(
        data=[
            EmbeddingEntry(embedding=_write_vector(vector, encoding), index=index)
            for index, vector in enumerate(embeddings.vectors)
        ],
        model=stamp.model,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
    )
    return _encode(answer)


def _write_vector(vector: Vector, encoding: Encoding) -> Vector | str:
    if encoding is Encoding.FLOAT:
        return vector
    return media.to_base64(struct.pack(f"<{len(vector)}f", *vector))


def write_request(request: EmbeddingRequest) -> bytes:
    """The body of a request to an upstream; Unsupported names what this wire has no form for."""
    if request.types:
        raise Unsupported("OpenAI's embeddings have no number formats but floats. Leave them out.")
    body: Json = {
        "model": request.model,
        "input": request.texts,
        "encoding_format": Encoding.BASE64,
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    try:
        return _encode(body)
    except UnicodeEncodeError as error:
        raise BadRequest(f"A text can't be written as JSON: {error}.") from None


def read_answer(body: bytes) -> Embeddings:
    """Read an upstream's answer, in either encoding; EngineFailed where it isn't one."""
    try:
        answer = _ANSWERS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EngineFailed(f"The upstream's embeddings can't be read: {error}.") from None
    entries = sorted(answer.data, key=lambda entry: entry.index)
    if [entry.index for entry in entries] != list(range(len(entries))):
        raise EngineFailed("The upstream's embeddings are not numbered from 0.")
    return Embeddings(
        vectors=[_read_vector(entry.embedding) for entry in entries],
        input_tokens=answer.usage.prompt_tokens,
    )


def _read_vector(written: list[float] | str) -> Vector:
    if not isinstance(written, str):
        return written
    data = media.from_base64(written)
    if data is None or len(data) % 4:
        raise EngineFailed("The upstream sent a vector that is not base64 of 32-bit floats.")
    numbers: tuple[Any, ...] = struct.unpack(f"<{len(data) // 4}f", data)
    return list(numbers)
