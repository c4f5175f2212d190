"""Cohere's embedding bodies on Bedrock, v3 and v4: texts in, vectors out.

Source: Amazon Bedrock User Guide, "Cohere Embed v3" and "Cohere Embed v4". Pictures are refused. A
text over the model's length is refused unless `truncate` lets its end go (END, RIGHT); engines cut
there or nowhere.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings, EmbeddingType, quantized
from craton.dialects.invoke_format import Members, MembersReader
from craton.dialects.members import wrong
from craton.kernel.errors import Unsupported

NAME = "Cohere's embedding body"
TEXTS_MAX = 96
"""The wire's own limit."""


class _TextPart(msgspec.Struct, tag="text"):
    text: str


class _ImagePart(msgspec.Struct, tag="image_url"):
    image_url: Any = None


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    content: Annotated[list[_TextPart | _ImagePart], Meta(min_length=1)]


class CohereBody(msgspec.Struct, kw_only=True):
    """The body of a request."""

    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"]
    texts: Annotated[list[str], Meta(max_length=TEXTS_MAX)] | None = None
    images: list[Any] | None = None
    inputs: Annotated[list[_Input], Meta(max_length=TEXTS_MAX)] | None = None
    embedding_types: list[EmbeddingType] | None = None
    output_dimension: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: int | None = None
    truncate: Literal["NONE", "START", "END", "LEFT", "RIGHT"] = "NONE"


_REQUESTS = MembersReader(CohereBody, NAME)
_encode = msgspec.json.Encoder().encode


def read_embedding_request(members: Members, model: str) -> EmbeddingRequest:
    """Read a request body; BadRequest or Unsupported names the member that is wrong."""
    body = _REQUESTS.read(members)
    if body.images or body.input_type == "image":
        raise Unsupported("`images`: are not served. Send `texts`.")
    if body.max_tokens is not None:
        raise Unsupported("`max_tokens`: no engine here cuts texts. Leave it out, or cut them.")
    if body.texts and body.inputs:
        raise wrong("inputs", "can't stand beside `texts`: send one of them")
    texts = body.texts or [_text(number, entry) for number, entry in enumerate(body.inputs or ())]
    if not texts:
        raise wrong("texts", "is required and missing or empty")
    return EmbeddingRequest(
        model=model,
        texts=texts,
        dimensions=body.output_dimension,
        normalize=True,
        may_cut=body.truncate in {"END", "RIGHT"},
        types=tuple(body.embedding_types or ()),
    )


def _text(number: int, entry: _Input) -> str:
    texts: list[str] = []
    for part in entry.content:
        if isinstance(part, _ImagePart):
            raise Unsupported(f"`inputs[{number}]`: pictures are not served. Send text.")
        texts.append(part.text)
    return "\n".join(texts)


def write_embeddings(embeddings: Embeddings, request: EmbeddingRequest, stamp: Stamp) -> bytes:
    """The body of the answer: a list of vectors, or one list for each type that was named."""
    vectors: Any = embeddings.vectors
    kind = "embeddings_floats"
    if request.types:
        kind = "embeddings_by_type"
        vectors = {
            form.value: [quantized(vector, form) for vector in embeddings.vectors]
            for form in request.types
        }
    return _encode(
        {
            "id": stamp.request_id,
            "texts": request.texts,
            "embeddings": vectors,
            "response_type": kind,
        }
    )
