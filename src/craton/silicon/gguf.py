"""Reads the architecture of a model, and how densely its weights are stored, from a GGUF header.

Only the header is read: metadata and the list of tensors (github.com/ggml-org/ggml, docs/gguf.md;
block sizes as in the package gguf 0.19.0). What a layer is made of is told by its tensors and
their shapes, so families need no lists here; metadata adds what shapes can't tell (heads, windows).
"""

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import msgspec

from craton.kernel.errors import BadRequest, NotFound, Unsupported
from craton.silicon.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    LayerGroup,
    Recurrent,
)

Value: TypeAlias = int | float | str | Sequence[int | float]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ENTRIES_MAX = 65_536
TENSORS_MAX = 1_000_000
STRING_BYTES_MAX = 16 * 1024 * 1024
ARRAY_MAX = 8_000_000
"""Elements of a list: the largest vocabularies have a few hundred thousand tokens."""
KEPT_MAX = 10_000
"""Elements of a list that is kept: one value a layer; longer ones are the tokenizer's."""
DIMENSIONS_MAX = 4
SIZE_MAX = 1 << 40

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

# Elements and bytes of one block, by the number of the format.
_BLOCKS = {
    0: (1, 4),  # f32
    1: (1, 2),  # f16
    2: (32, 18),  # q4_0
    3: (32, 20),  # q4_1
    6: (32, 22),  # q5_0
    7: (32, 24),  # q5_1
    8: (32, 34),  # q8_0
    9: (32, 40),  # q8_1
    10: (256, 84),  # q2_k
    11: (256, 110),  # q3_k
    12: (256, 144),  # q4_k
    13: (256, 176),  # q5_k
    14: (256, 210),  # q6_k
    15: (256, 292),  # q8_k
    16: (256, 66),  # iq2_xxs
    17: (256, 74),  # iq2_xs
    18: (256, 98),  # iq3_xxs
    19: (256, 50),  # iq1_s
    20: (32, 18),  # iq4_nl
    21: (256, 110),  # iq3_s
    22: (256, 82),  # iq2_s
    23: (256, 136),  # iq4_xs
    24: (1, 1),  # i8
    25: (1, 2),  # i16
    26: (1, 4),  # i32
    27: (1, 8),  # i64
    28: (1, 8),  # f64
    29: (256, 56),  # iq1_m
    30: (1, 2),  # bf16
    34: (256, 54),  # tq1_0
    35: (256, 66),  # tq2_0
    39: (32, 17),  # mxfp4
    40: (64, 36),  # nvfp4
    41: (128, 18),  # q1_0
}

_MIXING = ("attn_", "ssm_", "time_mix", "shortconv")

# Every so many layers one sees everything, where the file says only how wide the others' window is.
_FULL_EVERY = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4, "llama4": 4}
# Llama 4's files don't say it: the width of a chunk (transformers, attention_chunk_size).
_CHUNK = {"llama4": 8192}


class GgufModel(msgspec.Struct, frozen=True):
    """What the header of a GGUF file says of its model."""

    architecture: Architecture
    parameters: int
    """Elements of all tensors: exact, norms and draft layers included."""
    weight_bytes: int
    """Of all tensors, without padding."""

    @property
    def bytes_per_parameter(self) -> float:
        """Mean bytes a parameter takes, block scales included."""
        return self.weight_bytes / self.parameters


def read_gguf(path: Path) -> GgufModel:
    """Read a GGUF file's header.

    NotFound where the file can't be read; BadRequest where it isn't a whole, known GGUF file of a
    language model; Unsupported where the model has a part that can't be counted.
    """
    try:
        with path.open("rb") as file:
            header = _Header(file, path)
            header.read()
    except (OSError, ValueError) as error:
        raise NotFound(f"The file {path} can't be read: {error}") from error
    model = _Model(header)
    return GgufModel(
        architecture=model.architecture(),
        parameters=sum(prod(shape) for shape in header.shapes.values()),
        weight_bytes=header.weight_bytes,
    )


class _Header:
    """The metadata and tensor shapes of one file, read within limits."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file
        self._size = path.stat().st_size
        self._offset = 0
        self.values: dict[str, Value] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.weight_bytes = 0

    def refuse(self, reason: str) -> BadRequest:
        """The error for a file that isn't a whole, known GGUF file."""
        return BadRequest(f"{self.path} {reason}; give a whole GGUF file of a language model")

    def read(self) -> None:
        """Read the header, and see that the weights it announces are there."""
        if (magic := self._bytes(4)) != MAGIC:
            raise self.refuse(f"isn't GGUF: it begins with {magic!r}")
        version = self._number("<I")
        if version not in VERSIONS:
            raise self.refuse(f"has the GGUF version {version}, known are {VERSIONS}")
        tensors = self._count("<Q", TENSORS_MAX, "tensors")
        entries = self._count("<Q", ENTRIES_MAX, "metadata entries")
        for _ in range(entries):
            key = self._string()
            value = self._value(self._count("<I", 12, "as a value type"))
            if value is not None:
                self.values[key] = value
        for _ in range(tensors):
            self._tensor()
        if self.weight_bytes > self._size - self._offset:
            raise self.refuse("is truncated: its weights end before its header says they do")

    def _bytes(self, count: int) -> bytes:
        if count > self._size - self._offset:
            raise self.refuse(f"is truncated: byte {self._size} of its header is missing")
        self._offset += count
        return self._file.read(count)

    def _number(self, form: str) -> int | float:
        return cast("int | float", struct.unpack(form, self._bytes(struct.calcsize(form)))[0])

    def _count(self, form: str, most: int, what: str) -> int:
        count = int(self._number(form))
        if count > most:
            raise self.refuse(f"claims {count} {what}, at most {most} are read")
        return count

    def _string(self) -> str:
        size = self._count("<Q", STRING_BYTES_MAX, "bytes in a string")
        return self._bytes(size).decode("utf-8", errors="replace")

    def _value(self, kind: int) -> Value | None:
        """A value, or None for a list that isn't kept."""
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_SCALARS[kind])
        kind = self._count("<I", 12, "as a value type")
        count = self._count("<Q", ARRAY_MAX, "elements in a list")
        if kind == _ARRAY:
            raise self.refuse("has a list of lists in its metadata")
        if kind == _STRING:
            for _ in range(count):
                self._bytes(self._count("<Q", STRING_BYTES_MAX, "bytes in a string"))
            return None
        form = _SCALARS[kind]
        raw = self._bytes(count * struct.calcsize(form))
        if count > KEPT_MAX:
            return None
        return cast("Sequence[int | float]", struct.unpack(f"<{count}{form[1]}", raw))

    def _tensor(self) -> None:
        name = self._string()
        dimensions = self._count("<I", DIMENSIONS_MAX, f"dimensions of the tensor {name!r}")
        shape = tuple(
            self._count("<Q", SIZE_MAX, f"rows of the tensor {name!r}") for _ in range(dimensions)
        )
        kind = int(self._number("<I"))
        self._number("<Q")  # where it lies
        if kind not in _BLOCKS:
            raise self.refuse(f"stores the tensor {name!r} in format {kind}, which isn't known")
        elements, size = _BLOCKS[kind]
        if not shape or prod(shape) == 0 or shape[0] % elements:
            raise self.refuse(f"has a tensor {name!r} of the impossible shape {shape}")
        self.shapes[name] = shape
        self.weight_bytes += prod(shape) // elements * size


class _Model:
    """The architecture that a header describes."""

    def __init__(self, header: _Header) -> None:
        self._header = header
        self._values = header.values
        self.family = str(self._values.get("general.architecture", ""))
        self.name = str(self._values.get("general.name") or header.path.stem)[:200]
        parts = self._values.get("split.count", 0)
        if isinstance(parts, int) and parts > 1:
            raise header.refuse(f"is one of {parts} parts; join them with llama-gguf-split --merge")
        self._embedding = header.shapes.get("token_embd.weight", ())
        if len(self._embedding) != 2:
            raise header.refuse("has no token embedding, so it isn't a language model")
        self._layers = self._tensors_of_layers()

    def architecture(self) -> Architecture:
        drafts = [layer for layer, has in self._layers.items() if "nextn.eh_proj" in has]
        counts = Counter(
            (self._mixer(layer), self._feed_forward(layer))
            for layer in self._layers
            if layer not in drafts
        )
        positions = self._header.shapes.get("position_embd.weight", ())
        return Architecture(
            name=self.name,
            hidden=self._embedding[0],
            vocabulary=self._embedding[1],
            groups=tuple(LayerGroup(count, *parts) for parts, count in counts.items()),
            tied="output.weight" not in self._header.shapes,
            context=self._optional("context_length"),
            draft_layers=len(drafts),
            positions=positions[1] if len(positions) == 2 else 0,
        )

    def _tensors_of_layers(self) -> Mapping[int, Mapping[str, tuple[int, ...]]]:
        """Shapes of each layer's weights by name; biases under their own names."""
        layers: defaultdict[int, dict[str, tuple[int, ...]]] = defaultdict(dict)
        for name, shape in self._header.shapes.items():
            prefix, _, rest = name.partition(".")
            number, _, part = rest.partition(".")
            if prefix == "blk" and number.isdecimal() and len(number) <= 6:
                layers[int(number)][part.removesuffix(".weight")] = shape
        announced = self._need("block_count", 0)
        if len(layers) != announced or sorted(layers) != list(range(announced)):
            raise self._header.refuse(
                f"announces {announced} layers and has tensors of {len(layers)}"
            )
        return layers

    def _optional(self, key: str, layer: int = 0) -> int | None:
        value = self._values.get(f"{self.family}.{key}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[layer] if layer < len(value) else None
        if value is None:
            return None
        if not isinstance(value, int) or not 0 <= value <= SIZE_MAX:
            raise self._header.refuse(f"has {value!r} as {self.family}.{key}")
        return int(value)

    def _need(self, key: str, layer: int) -> int:
        value = self._optional(key, layer)
        if not value:
            raise self._header.refuse(f"has no {self.family}.{key}")
        return value

    def _side(self, layer: int, part: str, axis: int) -> int:
        """One side of a layer's tensor, 0 where there is no such tensor; rows are axis 1."""
        shape = self._layers[layer].get(part)
        if shape is None:
            return 0
        if len(shape) <= axis:
            raise self._header.refuse(f"has a tensor {part!r} of the impossible shape {shape}")
        return shape[axis]

    def _mixer(self, layer: int) -> GroupedQuery | Latent | Recurrent | None:
        mixes = sorted(
            part for part in self._layers[layer] if part.startswith(_MIXING) and "norm" not in part
        )
        if not mixes:
            return None
        if "ssm_out" in mixes and "attn_output" not in mixes:
            return self._recurrent(layer)
        if "ssm_out" not in mixes and "attn_kv_a_mqa" in mixes:
            return self._latent(layer)
        if "ssm_out" not in mixes and ("attn_q" in mixes or "attn_qkv" in mixes):
            return self._grouped_query(layer)
        raise Unsupported(
            f"{self.name} mixes tokens in a way that can't be counted yet (family {self.family!r},"
            f" layer {layer}: {', '.join(mixes)})"
        )

    def _grouped_query(self, layer: int) -> GroupedQuery:
        has = self._layers[layer]
        heads = self._need("attention.head_count", layer)
        kv_heads = self._optional("attention.head_count_kv", layer) or heads
        window = self._window(layer)
        suffix = "_swa" if window else ""
        key = (
            self._optional(f"attention.key_length{suffix}")
            or self._optional("attention.key_length")
            or self._embedding[0] // heads
        )
        value = (
            self._optional(f"attention.value_length{suffix}")
            or self._optional("attention.value_length")
            or key
        )
        if not key:
            raise self._header.refuse(f"has {heads} heads in a width of {self._embedding[0]}")
        return GroupedQuery(
            heads=heads,
            kv_heads=kv_heads,
            head_size=(key + value) // 2,
            window=window,
            gated=self._side(layer, "attn_q", 1) == 2 * heads * key,
            bias="attn_q.bias" in has or "attn_qkv.bias" in has,
        )

    def _window(self, layer: int) -> int | None:
        window = self._optional("attention.sliding_window") or _CHUNK.get(self.family)
        if not window:
            return None
        pattern = self._values.get(f"{self.family}.attention.sliding_window_pattern")
        if isinstance(pattern, Sequence) and not isinstance(pattern, str):
            return window if layer < len(pattern) and pattern[layer] else None
        every = self._optional("attention.sliding_window_pattern") or _FULL_EVERY.get(self.family)
        return None if every and (layer + 1) % every == 0 else window

    def _latent(self, layer: int) -> Latent:
        has = self._layers[layer]
        rope = self._need("rope.dimension_count", layer)
        # Files from before key_length_mla was written have the expanded sizes in key_length.
        key = self._optional("attention.key_length_mla") or self._need(
            "attention.key_length", layer
        )
        value = self._optional("attention.value_length_mla") or self._need(
            "attention.value_length", layer
        )
        if key <= rope:
            raise self._header.refuse(f"has keys of {key}, of which {rope} are rotary")
        indexed = any(part.startswith("indexer") for part in has)
        return Latent(
            heads=self._need("attention.head_count", layer),
            query_rank=self._side(layer, "attn_q_a", 1) or None,
            kv_rank=self._need("attention.kv_lora_rank", layer),
            rope_size=rope,
            nope_size=key - rope,
            value_size=value,
            index_heads=(self._optional("attention.indexer.head_count") or 0) * indexed,
            index_size=(self._optional("attention.indexer.key_length") or 0) * indexed,
            index_tokens=self._optional("attention.indexer.top_k") or 0,
        )

    def _recurrent(self, layer: int) -> Recurrent:
        groups = self._optional("ssm.group_count", layer)
        if not groups:
            raise Unsupported(
                f"{self.name} has Mamba-1 layers ({self.family}), which can't be counted yet"
            )
        heads = self._need("ssm.time_step_rank", layer)
        inner = self._need("ssm.inner_size", layer)
        if inner % heads:
            raise self._header.refuse(f"splits a width of {inner} over {heads} heads")
        return Recurrent(
            key_heads=groups,
            value_heads=heads,
            key_size=self._need("ssm.state_size", layer),
            value_size=inner // heads,
            convolution=self._optional("ssm.conv_kernel", layer) or 4,
        )

    def _feed_forward(self, layer: int) -> Dense | Experts | None:
        has = self._layers[layer]
        if "ffn_gate_inp" in has:
            return self._experts(layer)
        if "ffn_up" not in has:
            return None
        width, down = self._side(layer, "ffn_up", 1), self._side(layer, "ffn_down", 0)
        # Phi-3 and GLM-4 keep the gate in the same tensor.
        return Dense(down or width, gated="ffn_gate" in has or width == 2 * down)

    def _experts(self, layer: int) -> Experts:
        has = self._layers[layer]
        up = has.get("ffn_up_exps") or has.get("ffn_gate_up_exps") or ()
        down = has.get("ffn_down_exps", ())
        if len(up) != 3 or len(down) != 3:
            raise Unsupported(f"{self.name} keeps its experts in a form that can't be read")
        shared = self._side(layer, "ffn_down_shexp", 0) or self._side(layer, "ffn_down", 0)
        return Experts(
            count=down[2],
            active=self._need("expert_used_count", layer),
            width=down[0],
            gated="ffn_gate_exps" in has or up[1] == 2 * down[0],
            shared_width=shared,
            latent=None if up[0] == self._embedding[0] else up[0],
        )
