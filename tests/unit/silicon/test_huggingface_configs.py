"""What `config.json` keys of each family are read as."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from craton.kernel.errors import BadRequest, Unsupported
from craton.silicon.architecture import (
    Architecture,
    Dense,
    Experts,
    GroupedQuery,
    Latent,
    LayerGroup,
    Recurrent,
)
from craton.silicon.huggingface import read_config

SPARSE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 160,
    "vocab_size": 1000,
}
EXPERTS: dict[str, Any] = {
    "num_local_experts": 16,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
LATENT: dict[str, Any] = {
    "kv_lora_rank": 24,
    "q_lora_rank": 48,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}


def read(config: dict[str, Any] | None = None, **more: Any) -> Architecture:
    return read_config((SPARSE if config is None else config) | more, name="tiny")


def windows(architecture: Architecture) -> dict[int | None, int]:
    found: dict[int | None, int] = {}
    for group in architecture.groups:
        assert isinstance(group.mixer, GroupedQuery)
        found[group.mixer.window] = found.get(group.mixer.window, 0) + group.count
    return found


def test_what_a_row_leaves_out_is_as_the_model_library_has_it() -> None:
    assert read() == Architecture(
        name="tiny",
        hidden=64,
        vocabulary=1000,
        groups=(LayerGroup(4, GroupedQuery(8, 8, 8), Dense(160, gated=True)),),
    )


def test_a_row_gives_heads_sizes_and_the_gate_apart() -> None:
    architecture = read(num_key_value_heads=2, head_dim=16, gated_mlp=False)
    (group,) = architecture.groups
    assert group == LayerGroup(4, GroupedQuery(8, 2, 16), Dense(160, gated=False))
    attention = 64 * (2 * 8 * 16 + 2 * 2 * 16)
    assert architecture.parameters() == 2 * 64_000 + 4 * (attention + 2 * 64 * 160)


def test_an_unknown_family_with_the_usual_keys_is_read_by_them() -> None:
    assert read(model_type="brand-new", sliding_window=None).groups == read().groups


@pytest.mark.parametrize("field", sorted(SPARSE))
def test_a_missing_field_is_named(field: str) -> None:
    config = {key: value for key, value in SPARSE.items() if key != field}
    for given_config in (config, config | {"model_type": "brand-new"}, config | {field: None}):
        with pytest.raises(BadRequest, match=field):
            read(given_config)


@pytest.mark.parametrize("value", [-1, 0, True, "64", 1.5, math.inf, 10**12, [64], {}])
def test_a_size_that_cannot_be_is_named(value: object) -> None:
    with pytest.raises(BadRequest, match="vocab_size"):
        read(vocab_size=value)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"num_attention_heads": 7}, "head_dim"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_hidden_layers": 10_001}, "num_hidden_layers"),
        ({"gated_mlp": "yes"}, "gated_mlp"),
        ({"num_local_experts": 8}, "num_experts_per_tok"),
        ({"num_local_experts": 8, "num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"layer_types": ["full_attention"] * 3}, "layer_types"),
        ({"layer_types": ["sliding_attention"] * 4}, "sliding_window"),
        ({"layer_types": ["hyena"] * 4}, "hyena"),
        ({"layer_types": ["mamba"] * 4}, "mamba_num_heads"),
        ({"hybrid_override_pattern": "MX"}, "X|mamba_num_heads"),
        ({"kv_lora_rank": 24}, "qk_rope_head_dim"),
        ({"linear_attn_config": {"full_attn_layers": 3}}, "full_attn_layers"),
        ({"linear_attn_config": {"full_attn_layers": [4]}}, "num_heads"),
        ({"block_configs": [{"attention": {}, "ffn": {}}] * 4}, "ffn_mult"),
    ],
)
def test_keys_that_do_not_fit_are_named(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"is_encoder_decoder": True},
        {"compress_ratios": [0, 4, 128, 4]},
        {"hidden_size_per_layer_input": 256},
        {"attn_layer_period": 8},
        {"sparse_attention_config": {"use_sparse_attention": True}},
    ],
)
def test_a_part_that_cannot_be_counted_is_named_and_not_ignored(keys: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=next(iter(keys))):
        read(**keys)


def test_gpt2_has_names_of_its_own_learned_positions_and_no_gate() -> None:
    config = {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "n_positions": 1024,
        "vocab_size": 50257,
    }
    architecture = read(config)
    mixer = GroupedQuery(12, 12, 64, bias=True)
    assert architecture.groups == (LayerGroup(12, mixer, Dense(3072, gated=False)),)
    assert (architecture.tied, architecture.positions) == (True, 1024)
    # 124,439,808 with norms and biases: github.com/openai/gpt-2's 124M
    assert architecture.parameters() == pytest.approx(124_439_808, rel=0.001)


def test_opt_and_neox_differ_from_it_in_names_and_ties() -> None:
    opt = read({k: v for k, v in SPARSE.items() if k != "intermediate_size"} | {"ffn_dim": 256})
    assert opt.groups[0].feed_forward == Dense(256)
    neox = read(model_type="gpt_neox", max_position_embeddings=2048)
    assert (neox.tied, neox.positions) == (False, 0)
    assert neox.groups[0].feed_forward == Dense(160, gated=False)


def test_mpt_says_its_sizes_in_ratios() -> None:
    config = {"model_type": "mpt", "d_model": 64, "n_heads": 8, "n_layers": 2, "vocab_size": 100}
    learned = read(config, max_seq_len=512, no_bias=True)
    assert learned.groups == (LayerGroup(2, GroupedQuery(8, 8, 8), Dense(256, gated=False)),)
    assert learned.positions == 512
    attention = {"alibi": True, "kv_n_heads": 2}
    assert read(config, max_seq_len=512, attn_config=attention).positions == 0
    assert read(config, attn_config=attention).groups[0].mixer == GroupedQuery(8, 2, 8)
    one = read(config, attn_config={"attn_type": "multiquery_attention"}).groups[0].mixer
    assert one == GroupedQuery(8, 1, 8)


def test_falcon_shares_one_key_value_head_until_its_new_decoder() -> None:
    old = read(model_type="falcon", num_kv_heads=8)
    assert old.groups[0].mixer == GroupedQuery(8, 1, 8)
    new = read(model_type="falcon", num_kv_heads=4, new_decoder_architecture=True)
    assert new.groups[0].mixer == GroupedQuery(8, 4, 8)


def test_mistral_slides_everywhere_and_qwen_only_where_it_says_so() -> None:
    assert windows(read(model_type="mistral", sliding_window=4096)) == {4096: 4}
    assert windows(read(model_type="mistral", sliding_window=None)) == {None: 4}
    keys = {"model_type": "qwen2", "sliding_window": 4096, "max_window_layers": 3}
    assert windows(read(**keys, use_sliding_window=False)) == {None: 4}
    assert windows(read(**keys, use_sliding_window=True)) == {None: 3, 4096: 1}
    mixer = read(**keys, use_sliding_window=False).groups[0].mixer
    assert isinstance(mixer, GroupedQuery)
    assert mixer.bias


def test_gemma_and_gpt_oss_alternate() -> None:
    gemma_2 = read(model_type="gemma2", sliding_window=64, head_dim=16)
    assert windows(gemma_2) == {64: 2, None: 2}
    assert gemma_2.tied
    gemma_3 = read(model_type="gemma3_text", num_hidden_layers=62, sliding_window=1024)
    assert windows(gemma_3) == {1024: 52, None: 10}
    gpt_oss = read(model_type="gpt_oss", num_hidden_layers=36, attention_bias=True, **EXPERTS)
    assert windows(gpt_oss) == {128: 18, None: 18}
    assert gpt_oss.groups[0].mixer == GroupedQuery(8, 8, 64, window=128, bias=True)


def test_what_gemma_3_leaves_out_of_its_text_part_is_filled_in() -> None:
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    architecture = read({"model_type": "gemma3", "text_config": text, "vision_config": {}})
    # Gemma 3 Technical Report, Table 1: 675M of embedding and 3,209M besides
    assert architecture.parameters() == pytest.approx(675e6 + 3209e6, rel=0.002)
    assert windows(architecture) == {1024: 29, None: 5}


def test_the_text_part_of_a_multimodal_model_is_read_and_its_tie_may_stand_outside() -> None:
    text = SPARSE | {"model_type": "qwen3_vl_text"}
    outside = {"model_type": "qwen3_vl", "hidden_size": 9999, "vision_config": {"hidden_size": 3}}
    architecture = read(outside, text_config=text, tie_word_embeddings=True)
    assert (architecture.hidden, architecture.tied) == (64, True)
    thinker = read(outside, thinker_config={"text_config": text, "audio_config": {}})
    assert (thinker.hidden, thinker.tied) == (64, False)


def test_mixtral_has_experts_as_wide_as_its_block() -> None:
    config = read(model_type="mixtral", num_local_experts=8, num_experts_per_tok=2)
    assert config.groups[0].feed_forward == Experts(count=8, active=2, width=160)
    assert read(num_local_experts=1).groups[0].feed_forward == Dense(160)


def test_llama_4_interleaves_dense_layers_and_chunks() -> None:
    keys = {
        "model_type": "llama4_text",
        "interleave_moe_layer_step": 2,
        "intermediate_size_mlp": 320,
        "attention_chunk_size": 8192,
        "num_local_experts": 16,
        "num_experts_per_tok": 1,
    }
    architecture = read(**keys, num_hidden_layers=8, head_dim=8)
    experts = Experts(count=16, active=1, width=160, shared_width=160)
    chunked, full = GroupedQuery(8, 8, 8, window=8192), GroupedQuery(8, 8, 8)
    assert architecture.groups == (
        LayerGroup(4, chunked, Dense(320)),
        LayerGroup(2, chunked, experts),
        LayerGroup(2, full, experts),
    )
    listed = read(**keys, head_dim=8, moe_layers=[3], no_rope_layers=[0, 0, 1, 1])
    assert windows(listed) == {None: 2, 8192: 2}
    assert sum(g.count for g in listed.groups if isinstance(g.feed_forward, Experts)) == 1


def test_deepseek_begins_dense_shares_experts_and_brings_a_draft_layer() -> None:
    keys = {
        **LATENT,
        "model_type": "deepseek_v3",
        "n_routed_experts": 16,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "num_nextn_predict_layers": 1,
    }
    architecture = read(**keys)
    latent = Latent(8, 48, 24, rope_size=4, nope_size=8, value_size=8)
    assert architecture.groups == (
        LayerGroup(1, latent, Dense(160)),
        LayerGroup(3, latent, Experts(16, 2, 32, shared_width=64)),
    )
    assert architecture.draft_layers == 1
    lite = read(**(keys | {"q_lora_rank": None})).groups[0].mixer
    assert isinstance(lite, Latent)
    assert lite.query_rank is None


def test_an_indexer_is_read_and_a_layer_that_shares_one_has_none_of_its_own() -> None:
    indexer = {"index_n_heads": 4, "index_head_dim": 16, "index_topk": 2048}
    (group,) = read(**LATENT, **indexer).groups
    assert isinstance(group.mixer, Latent)
    assert (group.mixer.index_heads, group.mixer.index_size, group.mixer.index_tokens) == (
        *(4, 16, 2048),
    )
    architecture = read(**LATENT, **indexer, indexer_types=["full", "shared", "shared", "full"])
    own, shared = (group.mixer for group in architecture.groups)
    assert isinstance(own, Latent)
    assert isinstance(shared, Latent)
    assert [group.count for group in architecture.groups] == [2, 2]
    assert (shared.index_heads, shared.index_size, shared.index_tokens) == (0, 0, 2048)
    extra = 2 * (4 * (48 * 16 + 64) + 64 * 16)
    assert architecture.parameters() == read(**LATENT).parameters() + extra


def test_qwen_3_next_mixes_linear_and_gated_attention_three_to_one() -> None:
    keys = {
        "model_type": "qwen3_next",
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4,
        "shared_expert_intermediate_size": 48,
    }
    architecture = read(**keys, **EXPERTS, head_dim=32, num_key_value_heads=2)
    experts = Experts(16, 2, 32, shared_width=48)
    assert architecture.groups == (
        LayerGroup(3, Recurrent(2, 4, 16, 16), experts),
        LayerGroup(1, GroupedQuery(8, 2, 32, gated=True), experts),
    )
    ungated = read(**keys, **EXPERTS, head_dim=32, attn_output_gate=False).groups[1].mixer
    assert ungated == GroupedQuery(8, 8, 32)


def test_qwen_moe_may_keep_layers_dense() -> None:
    keys = EXPERTS | {"decoder_sparse_step": 2, "mlp_only_layers": [1]}
    kinds = {type(group.feed_forward): group.count for group in read(**keys).groups}
    assert kinds == {Dense: 3, Experts: 1}


def test_a_nemotron_layer_is_a_mixer_or_a_block() -> None:
    keys = {
        "model_type": "nemotron_h",
        "mamba_num_heads": 4,
        "mamba_head_dim": 32,
        "ssm_state_size": 128,
        "n_groups": 2,
        "conv_kernel": 4,
        "mlp_hidden_act": "relu2",
        "moe_shared_expert_intermediate_size": 96,
        "n_shared_experts": 1,
        "moe_latent_size": 24,
    }
    groups = read(**keys, **EXPERTS, hybrid_override_pattern="MEM-*EM").groups
    mamba = Recurrent(key_heads=2, value_heads=4, key_size=128, value_size=32)
    experts = Experts(16, 2, 32, gated=False, shared_width=96, latent=24)
    expected = (
        LayerGroup(3, mamba, None),
        LayerGroup(2, None, experts),
        LayerGroup(1, None, Dense(160, gated=False)),
        LayerGroup(1, GroupedQuery(8, 8, 8), None),
    )
    assert groups == expected
    words = {"M": "mamba", "E": "moe", "-": "mlp", "*": "attention"}
    spelt = [words[letter] for letter in "MEM-*EM"]
    assert read(**keys, **EXPERTS, layers_block_type=spelt).groups == expected


def test_granite_4_has_a_block_in_every_layer() -> None:
    keys = {
        "model_type": "granitemoehybrid",
        "mamba_n_heads": 4,
        "mamba_d_head": 32,
        "mamba_d_state": 128,
        "layer_types": ["mamba", "mamba", "attention", "mamba"],
        "shared_intermediate_size": 96,
    }
    experts = Experts(16, 2, 32, shared_width=96)
    assert read(**keys, **EXPERTS).groups == (
        LayerGroup(3, Recurrent(1, 4, 128, 32), experts),
        LayerGroup(1, GroupedQuery(8, 8, 8), experts),
    )
    assert read(**keys, num_local_experts=0).groups[0].feed_forward == Dense(96)


def test_narrower_values_count_as_the_mean_and_sliding_layers_may_differ() -> None:
    architecture = read(
        head_dim=24,
        v_head_dim=16,
        num_key_value_heads=2,
        sliding_window=128,
        hybrid_layer_pattern=[0, 1, 1, 1],
        swa_num_key_value_heads=4,
    )
    full, sliding = (group.mixer for group in architecture.groups)
    assert full == GroupedQuery(8, 2, 20)
    assert sliding == GroupedQuery(8, 4, 20, window=128)
    assert architecture.mixer_parameters(full) == 64 * (8 * (24 + 16) + 2 * (24 + 16))


def test_gemma_4_widens_its_global_heads_and_adds_experts_to_the_block() -> None:
    architecture = read(
        model_type="gemma4_text",
        layer_types=["sliding_attention"] * 3 + ["full_attention"],
        sliding_window=1024,
        head_dim=16,
        global_head_dim=32,
        num_global_key_value_heads=1,
        enable_moe_block=True,
        num_experts=8,
        top_k_experts=2,
        moe_intermediate_size=40,
    )
    experts = Experts(8, 2, 40, shared_width=160)
    assert architecture.groups == (
        LayerGroup(3, GroupedQuery(8, 8, 16, window=1024), experts),
        LayerGroup(1, GroupedQuery(8, 1, 32), experts),
    )


def test_kimi_linear_numbers_its_layers_from_one() -> None:
    linear = {"full_attn_layers": [4], "num_heads": 4, "head_dim": 16}
    recurrent, latent = (group.mixer for group in read(**LATENT, linear_attn_config=linear).groups)
    assert recurrent == Recurrent(4, 4, 16, 16)
    assert isinstance(latent, Latent)


def test_searched_layers_may_lack_their_attention() -> None:
    blocks = [
        {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 5.25}},
        {"attention": {"no_op": True}, "ffn": {"ffn_mult": 2.625}},
        {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}},
        {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.0}},  # 5461.3, and then by 256
    ]
    architecture = read(block_configs=blocks, hidden_size=8192, num_attention_heads=64)
    attention = GroupedQuery(64, 16, 128)
    assert architecture.groups == (
        LayerGroup(1, attention, Dense(28672)),
        LayerGroup(1, None, Dense(14336)),
        LayerGroup(1, attention, None),
        LayerGroup(1, None, Dense(5632)),
    )


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert read(hidden_size=64.0).hidden == 64


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 130),
    st.floats(allow_nan=True),
    st.sampled_from(["mamba", "full_attention", "MEM*-", "relu2", "gemma3_text", "falcon"]),
    st.lists(st.one_of(st.integers(0, 2), st.just("moe"), st.just([])), max_size=5),
    st.dictionaries(st.sampled_from(["full_attn_layers", "num_heads"]), st.integers(0, 4)),
)
KEYS = [
    *(*SPARSE, *EXPERTS, *LATENT, "model_type", "layer_types", "hybrid_override_pattern"),
    *("linear_attn_config", "linear_num_value_heads", "sliding_window", "moe_layer_freq"),
    *("moe_layers", "mlp_only_layers", "indexer_types", "block_configs", "text_config"),
    *("attn_config", "hidden_act", "gated_mlp", "hybrid_layer_pattern", "no_rope_layers"),
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_a_config_holds_it_is_read_or_refused(keys: dict[str, Any]) -> None:
    try:
        architecture = read(**keys)
    except BadRequest:
        return
    assert architecture.parameters() >= architecture.vocabulary * architecture.hidden
