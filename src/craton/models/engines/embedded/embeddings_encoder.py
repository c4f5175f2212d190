"""A BERT sentence encoder in NumPy: token numbers in, unit vectors out.

It computes what `BertModel` of Hugging Face's transformers does (post-norm blocks, GELU by the
error function), in 32-bit floats, then the mean over all of a text's tokens, at length 1, as the
model's `1_Pooling` and `2_Normalize` say. Texts of a batch stand one after another without padding:
only attention is done text by text.

The weights are mapped, not read: what isn't used takes no memory, and two processes share it.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from craton.kernel.errors import EngineFailed

Floats = NDArray[np.float32]

WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocab.txt"
CONFIG_FILE = "config.json"
_HEADER_BYTES_MAX = 16 * 1024 * 1024
_EMBEDDINGS = "embeddings."


class Config(msgspec.Struct, frozen=True):
    """A model's `config.json`, as far as it matters here."""

    model_type: str
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    hidden_act: str
    layer_norm_eps: float
    position_embedding_type: str = "absolute"


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class Encoder:
    """A loaded model; `encode` may run in several threads at once."""

    def __init__(self, folder: Path) -> None:
        """Map the weights of a folder; EngineFailed where they can't be served."""
        try:
            self.config = msgspec.json.decode((folder / CONFIG_FILE).read_bytes(), type=Config)
            self._weights = _mapped(folder / WEIGHTS_FILE)
            self._check()
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise EngineFailed(
                f"The model in {folder} can't be loaded: {error}. Remove the folder, and Craton "
                "fetches it again."
            ) from error
        self._scale = np.float32(self.head_size**-0.5)
        self._epsilon = np.float32(self.config.layer_norm_eps)

    @property
    def head_size(self) -> int:
        """Dimensions of one attention head."""
        return self.config.hidden_size // self.config.num_attention_heads

    def encode(self, texts: list[list[int]]) -> Floats:
        """A vector of length 1 for each list of token numbers: shape (texts, hidden size)."""
        lengths = [len(ids) for ids in texts]
        ends = np.cumsum(lengths).tolist()
        spans = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        hidden = self._embedded(texts)
        for number in range(self.config.num_hidden_layers):
            hidden = self._block(hidden, spans, f"encoder.layer.{number}.")
        vectors = np.stack([hidden[span].mean(axis=0) for span in spans])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _embedded(self, texts: list[list[int]]) -> Floats:
        weights = self._weights
        hidden = weights[_EMBEDDINGS + "word_embeddings.weight"][np.concatenate(texts)]
        positions = np.concatenate([np.arange(len(ids)) for ids in texts])
        hidden += weights[_EMBEDDINGS + "position_embeddings.weight"][positions]
        hidden += weights[_EMBEDDINGS + "token_type_embeddings.weight"][0]
        return self._normed(hidden, _EMBEDDINGS + "LayerNorm")

    def _block(self, hidden: Floats, spans: list[slice], name: str) -> Floats:
        attended = self._attended(hidden, spans, name + "attention.self.")
        output = self._linear(attended, name + "attention.output.dense")
        output += hidden
        hidden = self._normed(output, name + "attention.output.LayerNorm")
        output = self._linear(
            _gelu(self._linear(hidden, name + "intermediate.dense")), name + "output.dense"
        )
        output += hidden
        return self._normed(output, name + "output.LayerNorm")

    def _attended(self, hidden: Floats, spans: list[slice], name: str) -> Floats:
        query, key, value = (
            self._linear(hidden, name + part) for part in ("query", "key", "value")
        )
        query *= self._scale
        result = np.empty_like(hidden)
        heads = (self.config.num_attention_heads, self.head_size)
        for span in spans:
            q, k, v = (
                each[span].reshape(-1, *heads).swapaxes(0, 1) for each in (query, key, value)
            )
            scores = q @ k.swapaxes(1, 2)
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            result[span] = (scores @ v).swapaxes(0, 1).reshape(-1, hidden.shape[1])
        return result

    def _linear(self, hidden: Floats, name: str) -> Floats:
        result = hidden @ self._weights[name + ".weight"].T
        result += self._weights[name + ".bias"]
        return result

    def _normed(self, hidden: Floats, name: str) -> Floats:
        """Layer normalisation, in place."""
        hidden -= hidden.mean(axis=-1, keepdims=True)
        variance = np.einsum("ij,ij->i", hidden, hidden)[:, None] / np.float32(hidden.shape[1])
        hidden /= np.sqrt(variance + self._epsilon)
        hidden *= self._weights[name + ".weight"]
        hidden += self._weights[name + ".bias"]
        return hidden

    def _check(self) -> None:
        config = self.config
        served = ("bert", "gelu", "absolute")
        if (config.model_type, config.hidden_act, config.position_embedding_type) != served:
            raise ValueError(f"only BERT with GELU and absolute positions is served, not {config}")
        for name, rows in (
            ("word_embeddings.weight", None),
            ("position_embeddings.weight", config.max_position_embeddings),
        ):
            shape = self._weights[_EMBEDDINGS + name].shape
            if shape != (rows or shape[0], config.hidden_size):
                raise ValueError(f"{name} has the shape {shape}, which the configuration denies")


def _mapped(path: Path) -> dict[str, Floats]:
    """The tensors of a safetensors file (github.com/huggingface/safetensors, "Format")."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (header_bytes,) = struct.unpack_from("<Q", data)
    if header_bytes > min(_HEADER_BYTES_MAX, len(data) - 8):
        raise ValueError(f"{path} is cut off, or no safetensors file")
    header = msgspec.json.decode(data[8 : 8 + header_bytes], type=dict[str, Any])
    header.pop("__metadata__", None)
    tensors = msgspec.convert(header, dict[str, _Tensor])
    begin = 8 + header_bytes
    return {
        name: np.frombuffer(
            data,
            "<f4",
            count=(tensor.data_offsets[1] - tensor.data_offsets[0]) // 4,
            offset=begin + tensor.data_offsets[0],
        ).reshape(tensor.shape)
        for name, tensor in tensors.items()
        if tensor.dtype
        == "F32"  # the numbers of positions come as whole numbers; nobody needs them
    }


def _gelu(values: Floats) -> Floats:
    """x/2 · (1 + erf(x/√2)), in place of x.

    The error function is formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical
    Functions: off by at most 1.5e-7, about the rounding of a 32-bit float.
    """
    single = np.float32
    argument = np.abs(values)
    argument *= single(0.5**0.5)
    step = single(1) / (single(1) + single(0.3275911) * argument)
    series = step * single(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += single(factor)
        series *= step
    argument *= argument
    series *= np.exp(-argument)
    error = np.copysign(single(1) - series, values)
    error += single(1)
    error *= single(0.5)
    values *= error
    return values
