"""What is asked of an embedding model, and what it gives: the same for every wire.

A vector is a list of floats, one text's. Wires ask for it shorter, at unit length, or in fewer
bits; an engine gives it as its model does, and the functions here make the rest of it.
"""

import math
from enum import StrEnum

import msgspec

from craton.kernel.errors import BadRequest

Vector = list[float]


class EmbeddingType(StrEnum):
    """The number formats in which Cohere and Titan tell a vector."""

    FLOAT = "float"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to turn into vectors."""

    model: str
    texts: list[str]
    dimensions: int | None = None
    """Keep only the first so many; None: as many as the model gives."""
    normalize: bool = False
    """Scale each vector, as it is after shortening, to length 1."""
    may_cut: bool = True
    """Whether a text that is longer than the model takes may lose its end, or must be refused."""
    types: tuple[EmbeddingType, ...] = ()
    """The number formats asked for by name; empty: floats, in the wire's plainest form."""


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each text, in the order of the texts, and the tokens that all of them had."""

    vectors: list[Vector]
    input_tokens: int
    latency_ms: int = 0
    texts_cut: int = 0
    """How many texts were longer than the model takes, and lost their end."""


def shaped(vectors: list[Vector], request: EmbeddingRequest) -> list[Vector]:
    """The vectors, shortened and scaled as asked; BadRequest if the model gives fewer dimensions.

    A vector cut short is good only as far as its model was trained for it (Matryoshka learning).
    """
    dimensions = request.dimensions
    if dimensions is not None:
        least = min(map(len, vectors), default=dimensions)
        if dimensions > least:
            raise BadRequest(
                f"{dimensions} dimensions are asked for and the model {request.model} gives "
                f"{least}. Ask for at most {least}, or leave the number out."
            )
        vectors = [vector[:dimensions] for vector in vectors]
    return [unit(vector) for vector in vectors] if request.normalize else vectors


def unit(vector: Vector) -> Vector:
    """The vector at length 1; one of zeros stays as it is."""
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else vector


def quantized(vector: Vector, form: EmbeddingType) -> list[float] | list[int]:
    """A vector in one of the number formats.

    float: as it is. int8 and uint8: each number of the unit vector times 127, rounded; uint8 adds
    128. binary and ubinary: one bit a dimension, 1 where the number is above 0, eight to a byte,
    the first in the highest bit; binary tells the byte less 128, so that it is signed.
    """
    match form:
        case EmbeddingType.FLOAT:
            return vector
        case EmbeddingType.INT8:
            return [round(127 * value) for value in unit(vector)]
        case EmbeddingType.UINT8:
            return [round(127 * value) + 128 for value in unit(vector)]
        case EmbeddingType.UBINARY:
            return _packed(vector)
        case EmbeddingType.BINARY:
            return [byte - 128 for byte in _packed(vector)]


def signs(vector: Vector) -> list[int]:
    """One whole number a dimension: 1 where the vector is above 0, else 0."""
    return [1 if value > 0 else 0 for value in vector]


def _packed(vector: Vector) -> list[int]:
    bits = signs(vector)
    bits += [0] * (-len(bits) % 8)
    return [int("".join(map(str, bits[start : start + 8])), 2) for start in range(0, len(bits), 8)]
