"""What the header of a GGUF file is read as, and what is refused."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from craton.kernel.errors import BadRequest, NotFound, Unsupported
from craton.models import weights
from craton.silicon.architecture import Dense, Experts, GroupedQuery, Latent, LayerGroup, Recurrent
from craton.silicon.gguf import GgufModel, read_gguf
from craton.silicon.models import find_model

F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
BLOCK = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34)}
Entry = int | str | bool | Sequence[int] | Sequence[bool] | Sequence[str]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def entry(value: Entry) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case str():
            return struct.pack("<I", 8) + text(value)
        case _ if value and isinstance(value[0], str):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(v)) for v in value)
        case _ if value and isinstance(value[0], bool):
            return struct.pack(f"<IIQ{len(value)}?", 9, 7, len(value), *value)
        case _:
            return struct.pack(f"<IIQ{len(value)}I", 9, 4, len(value), *value)


def written(
    metadata: Mapping[str, Entry],
    tensors: Mapping[str, tuple[int, ...]],
    *,
    kind: int = F16,
    version: int = 3,
) -> bytes:
    out = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += text(key) + entry(value)
    size = 0
    for name, shape in tensors.items():
        used = F32 if len(shape) == 1 else kind
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, used, size)
        elements = 1
        for side in shape:
            elements *= side
        size += elements // BLOCK[used][0] * BLOCK[used][1]
    return out + bytes(size)


LLAMA: dict[str, Entry] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "tokenizer.ggml.tokens": ["a", "bc", ""],
    "llama.block_count": 2,
    "llama.context_length": 512,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 160,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
}
ATTENTION = {
    "attn_norm": (64,),
    "attn_q": (64, 64),
    "attn_k": (64, 16),
    "attn_v": (64, 16),
    "attn_output": (64, 64),
}
GATED = {"ffn_norm": (64,), "ffn_gate": (64, 160), "ffn_up": (64, 160), "ffn_down": (160, 64)}
ENDS = {"token_embd.weight": (64, 96), "output_norm.weight": (64,), "output.weight": (64, 96)}


def layers(*parts: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {
        f"blk.{number}.{name}.weight": shape
        for number, part in enumerate(parts)
        for name, shape in part.items()
    }


TINY = ENDS | layers(ATTENTION | GATED, ATTENTION | GATED)


def read(folder: Path, data: bytes) -> GgufModel:
    path = folder / "tiny.gguf"
    path.write_bytes(data)
    return read_gguf(path)


def family(name: str, **more: Entry) -> dict[str, Entry]:
    """The metadata above, of another family; dots in keys are written as two underscores."""
    found: dict[str, Entry] = {
        key.replace("llama.", f"{name}."): value for key, value in LLAMA.items()
    }
    found["general.architecture"] = name
    return found | {f"{name}.{key.replace('__', '.')}": value for key, value in more.items()}


def test_a_llama_is_read_whole(tmp_path: Path) -> None:
    model = read(tmp_path, written(LLAMA, TINY))
    architecture = model.architecture
    assert architecture.groups == (LayerGroup(2, GroupedQuery(8, 2, 8), Dense(160)),)
    assert (architecture.name, architecture.hidden, architecture.vocabulary) == ("Tiny", 64, 96)
    assert (architecture.context, architecture.tied, architecture.positions) == (512, False, 0)
    norms = 5 * 64
    assert model.parameters == architecture.parameters() + norms
    assert model.weight_bytes == 2 * architecture.parameters() + 4 * norms


@pytest.mark.parametrize(("kind", "size"), [(Q4_0, 0.5625), (Q8_0, 1.0625), (F16, 2.0)])
def test_the_mean_bytes_follow_from_the_formats(tmp_path: Path, kind: int, size: float) -> None:
    tensors = {name: shape for name, shape in TINY.items() if len(shape) == 2}
    assert read(tmp_path, written(LLAMA, tensors, kind=kind)).bytes_per_parameter == size


def test_what_is_missing_or_biased_is_told_by_the_tensors(tmp_path: Path) -> None:
    tensors = {name: shape for name, shape in TINY.items() if name != "output.weight"}
    tensors |= {"blk.0.attn_q.bias": (64,), "position_embd.weight": (64, 512)}
    architecture = read(tmp_path, written(LLAMA, tensors)).architecture
    assert (architecture.tied, architecture.positions) == (True, 512)
    assert [group.mixer for group in architecture.groups] == [
        GroupedQuery(8, 2, 8, bias=True),
        GroupedQuery(8, 2, 8),
    ]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"ffn_up": (64, 256), "ffn_down": (256, 64)}, Dense(256, gated=False)),
        ({"ffn_up": (64, 320), "ffn_down": (160, 64)}, Dense(160, gated=True)),
        (
            {
                "ffn_gate_inp": (64, 8),
                "ffn_gate_exps": (64, 32, 8),
                "ffn_up_exps": (64, 32, 8),
                "ffn_down_exps": (32, 64, 8),
                "ffn_down_shexp": (48, 64),
            },
            Experts(8, 2, 32, shared_width=48),
        ),
        (
            {
                "ffn_gate_inp": (64, 8),
                "ffn_latent_down": (64, 24),
                "ffn_up_exps": (24, 32, 8),
                "ffn_down_exps": (32, 24, 8),
            },
            Experts(8, 2, 32, gated=False, latent=24),
        ),
    ],
)
def test_blocks_and_experts_have_the_widths_of_their_tensors(
    tmp_path: Path, block: dict[str, tuple[int, ...]], expected: Dense | Experts
) -> None:
    metadata = LLAMA | {"llama.block_count": 1, "llama.expert_used_count": 2}
    model = read(tmp_path, written(metadata, ENDS | layers(ATTENTION | block)))
    assert model.architecture.groups[0].feed_forward == expected


def test_latent_attention_and_a_draft_layer_are_read(tmp_path: Path) -> None:
    latent = {"attn_q_a": (64, 48), "attn_kv_a_mqa": (64, 28), "attn_output": (64, 64)}
    indexer = {"indexer.proj": (64, 4), "indexer.attn_k": (64, 16)}
    tensors = layers(
        latent | GATED, latent | indexer | GATED, latent | GATED | {"nextn.eh_proj": (128, 64)}
    )
    metadata = family(
        "deepseek2",
        block_count=3,
        attention__kv_lora_rank=24,
        attention__key_length_mla=12,
        attention__value_length_mla=8,
        attention__indexer__head_count=4,
        attention__indexer__key_length=16,
        attention__indexer__top_k=256,
        rope__dimension_count=4,
    )
    architecture = read(tmp_path, written(metadata, ENDS | tensors)).architecture
    assert [group.mixer for group in architecture.groups] == [
        Latent(8, 48, 24, 4, 8, 8, index_tokens=256),
        Latent(8, 48, 24, 4, 8, 8, index_heads=4, index_size=16, index_tokens=256),
    ]
    assert (architecture.layers, architecture.draft_layers) == (2, 1)


def test_a_hybrid_has_recurrent_layers_and_heads_by_layer(tmp_path: Path) -> None:
    mamba = {"attn_norm": (64,), "ssm_in": (64, 400), "ssm_out": (128, 64)}
    metadata = family(
        "nemotron_h",
        block_count=3,
        attention__head_count_kv=[0, 2, 0],
        ssm__group_count=2,
        ssm__time_step_rank=4,
        ssm__inner_size=128,
        ssm__state_size=32,
        ssm__conv_kernel=4,
    )
    tensors = ENDS | layers(mamba, ATTENTION, {"attn_norm": (64,), **GATED})
    groups = read(tmp_path, written(metadata, tensors)).architecture.groups
    assert groups == (
        LayerGroup(1, Recurrent(2, 4, 32, 32), None),
        LayerGroup(1, GroupedQuery(8, 2, 8), None),
        LayerGroup(1, None, Dense(160)),
    )


def test_gated_attention_has_queries_twice_as_wide(tmp_path: Path) -> None:
    tensors = ENDS | layers(ATTENTION | GATED | {"attn_q": (64, 128)})
    groups = read(tmp_path, written(LLAMA | {"llama.block_count": 1}, tensors)).architecture.groups
    assert groups[0].mixer == GroupedQuery(8, 2, 8, gated=True)


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("gemma3", {"attention__sliding_window": 64}, {64: 5, None: 1}),
        ("gpt-oss", {"attention__sliding_window": 64}, {64: 3, None: 3}),
        ("mistral", {"attention__sliding_window": 64}, {64: 6}),
        ("mistral", {"attention__sliding_window": 0}, {None: 6}),
        ("llama4", {}, {8192: 5, None: 1}),
        (
            "olmo2",
            {
                "attention__sliding_window": 64,
                "attention__sliding_window_pattern": [True, False, True, True, True, False],
            },
            {64: 4, None: 2},
        ),
    ],
)
def test_windows_follow_the_family_or_the_pattern_in_the_file(
    tmp_path: Path, name: str, more: dict[str, Entry], expected: dict[int | None, int]
) -> None:
    tensors = ENDS | layers(*[ATTENTION | GATED] * 6)
    groups = read(
        tmp_path, written(family(name, block_count=6, **more), tensors)
    ).architecture.groups
    found = {g.mixer.window: g.count for g in groups if isinstance(g.mixer, GroupedQuery)}
    assert found == expected


@pytest.mark.parametrize(
    ("metadata", "tensors", "says"),
    [
        (LLAMA | {"llama.block_count": 3}, TINY, "3 layers and has tensors of 2"),
        (LLAMA | {"split.count": 2}, TINY, "one of 2 parts"),
        ({**LLAMA, "llama.attention.head_count": 0}, TINY, "head_count"),
        ({**LLAMA, "llama.attention.head_count": "8"}, TINY, "head_count"),
        ({"general.architecture": "clip"}, {"v.patch_embd.weight": (14, 64)}, "token embedding"),
        (LLAMA, TINY | {"blk.0.attn_q.weight": (64,)}, "attn_q"),
        (LLAMA, TINY | {"blk.0.ffn_up.weight": (64, 0)}, "impossible shape"),
        (LLAMA, TINY | {"blk.0.ffn_up.weight": (1, 1, 1, 1, 64)}, "dimensions"),
        (LLAMA, TINY | {"blk.0.ffn_gate_inp.weight": (64, 8)}, "experts"),
        (LLAMA, TINY | {"blk.0.ssm_out.weight": (64, 64)}, "mixes tokens"),
        (LLAMA | {"llama.block_count": 1}, ENDS | layers({"ssm_out": (64, 64)}), "Mamba-1"),
    ],
)
def test_a_header_that_contradicts_itself_or_says_too_little_is_refused(
    tmp_path: Path, metadata: dict[str, Entry], tensors: dict[str, tuple[int, ...]], says: str
) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        read(tmp_path, written(metadata, tensors))
    assert isinstance(refused.value, Unsupported) == (
        says in {"experts", "mixes tokens", "Mamba-1"}
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated"),
        (b"\x80\x04 safetensors", "isn't GGUF"),
        (written(LLAMA, TINY, version=1), "version 1"),
        (written(LLAMA, TINY, version=3 << 24), "version"),  # big-endian
        (struct.pack("<4sIQQ", b"GGUF", 3, 1 << 40, 0), "tensors"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 40), "metadata entries"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 1 << 60), "bytes in a string"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("k") + struct.pack("<I", 13), "value type"),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 9, 1),
            "list of lists",
        ),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
            + text("k")
            + struct.pack("<IIQ", 9, 4, 1 << 50),
            "elements in a list",
        ),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 1, 0)
            + text("t")
            + struct.pack("<IQIQ", 1, 32, 99, 0),
            "format 99",
        ),
    ],
)
def test_foreign_and_hostile_files_are_refused(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read(tmp_path, data)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = written(LLAMA, TINY)
    header = len(whole) - read(tmp_path, whole).weight_bytes
    for end in (*range(0, header, 3), header, len(whole) - 1):
        with pytest.raises(BadRequest, match="truncated"):
            read(tmp_path, whole[:end])


def test_a_flipped_byte_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    metadata = LLAMA | {"llama.block_count": 1}
    whole = bytearray(written(metadata, ENDS | layers(ATTENTION | GATED)))
    header = len(whole) - read(tmp_path, bytes(whole)).weight_bytes
    refused = 0
    for position in range(header):
        for value in (0x00, 0xFF):
            kept, whole[position] = whole[position], value
            try:
                assert read(tmp_path, bytes(whole)).architecture.hidden > 0
            except BadRequest:
                refused += 1
            whole[position] = kept
    assert refused > header // 2


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path, Path("/nul\x00byte.gguf")):
        with pytest.raises(NotFound, match=r"none\.gguf|can't be read"):
            read_gguf(path)


def test_the_bundled_engines_model_is_what_its_card_says(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-weights")
    path = weights.fetch(weights.find("smollm2-135m-instruct"), folder)
    model = read_gguf(path)
    card = find_model("SmolLM2-135M-Instruct")
    assert model.architecture.groups == card.groups
    assert model.architecture.parameters() == card.parameters()
    assert model.parameters == 134_515_008
    # Q4_1 is 0.625 bytes; the embedding, kept in 8 bits, is a fifth of the model.
    assert model.bytes_per_parameter == pytest.approx(0.718, abs=0.001)
    assert 0 < path.stat().st_size - model.weight_bytes < 3_000_000
    assert find_model(path) == model.architecture
