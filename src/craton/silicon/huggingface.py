"""Reads the architecture out of a Hugging Face `config.json`, whatever family it is of.

What a layer is made of is told by the keys that are there (`kv_lora_rank` means latent attention,
`num_local_experts` experts, `linear_num_value_heads` linear attention), not by the family's name:
so a new model with known parts is read without a change here. The name of the family only fills in
what its configs leave out. Keys and their defaults are those of the model library (transformers
5.23, `configuration_*.py`) and of the models' own `config.json`. A row of predictions may carry
the same keys in part, and `gated_mlp`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

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
from craton.silicon.config_keys import Keys, part_of

Mixer: TypeAlias = GroupedQuery | Latent | Recurrent | None
FeedForward: TypeAlias = Dense | Experts | None

LAYERS_MAX = 10_000

# Families by what their configs don't say.
_UNGATED = frozenset(
    {
        *("bert", "bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox"),
        *("gptj", "megatron_gpt", "mpt", "nemotron", "nemotron_h", "opt", "phi", "starcoder2"),
    }
)
_UNGATED_ACTIVATIONS = frozenset({"relu", "relu2", "gelu_new", "gelu_fast"})
_TIED = frozenset(
    {
        *("bert", "bloom", "cohere", "cohere2", "falcon", "gemma", "gemma2", "gemma3"),
        *("gemma3_text", "gemma4", "gemma4_text", "gpt2", "gpt_bigcode", "gpt_neo", "mpt"),
        *("megatron_gpt", "opt", "starcoder2"),
    }
)
_BIASED = frozenset(
    {
        *("bert", "bloom", "codegen", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss"),
        *("megatron_gpt", "opt", "phi", "qwen2", "qwen2_moe", "qwen2_vl", "starcoder2"),
    }
)
_LEARNED_POSITIONS = frozenset({"bert", "gpt2", "gpt_bigcode", "gpt_neo", "megatron_gpt", "opt"})


def read_config(config: Mapping[str, object], *, name: str) -> Architecture:
    """The architecture that a `config.json`, or a part of one, describes.

    Of a multimodal model it is the text part's. BadRequest names a field that is missing or can't
    be; Unsupported names one that says the model has a part that can't be counted.
    """
    keys = Keys(config, name)
    keys.refuse_unknown_parts()
    mixers, blocks = _layers(keys)
    hidden = keys.need("hidden_size")
    counts = Counter(zip(mixers, blocks, strict=True))
    return Architecture(
        name=name,
        hidden=hidden,
        vocabulary=keys.need("vocab_size"),
        groups=tuple(LayerGroup(count, *parts) for parts, count in counts.items()),
        tied=keys.flag("tie_word_embeddings", default=keys.family in _TIED),
        context=keys.integer("max_position_embeddings"),
        draft_layers=keys.integer("num_nextn_predict_layers") or 0,
        positions=_positions(keys),
    )


# --- which layer is which -------------------------------------------------------------------------

_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def _layers(keys: Keys) -> tuple[list[Mixer], list[FeedForward]]:
    """Each layer's mixer and feed-forward block, in order."""
    pattern = keys.value("hybrid_override_pattern")
    if isinstance(pattern, str):
        kinds = [_LETTERS.get(letter, letter) for letter in pattern[: LAYERS_MAX + 1]]
        return _one_part_layers(keys, kinds)
    kinds = [str(kind) for kind in keys.sequence("layer_types") or ()]
    if {"moe", "mlp"} & set(kinds):
        return _one_part_layers(keys, kinds)
    layers = keys.need("num_hidden_layers")
    if layers > LAYERS_MAX:
        raise BadRequest(f"num_hidden_layers of {keys.name} is {layers}; at most {LAYERS_MAX}")
    if (searched := keys.for_layers("block_configs", layers)) is not None:
        parts = [_searched_layer(keys, block) for block in searched]
        return [mixer for mixer, _ in parts], [block for _, block in parts]
    return _mixers(keys, layers), _feed_forwards(keys, layers)


def _one_part_layers(keys: Keys, kinds: Sequence[str]) -> tuple[list[Mixer], list[FeedForward]]:
    """Nemotron-H: a layer is either a mixer or a feed-forward block."""
    if not 1 <= len(kinds) <= LAYERS_MAX:
        raise BadRequest(f"{keys.name} has a pattern of {len(kinds)} layers; 1 to {LAYERS_MAX}")
    makers: dict[str, tuple[Mixer, FeedForward]] = {}
    for kind in set(kinds):
        match kind:
            case "mamba" | "linear_attention":
                makers[kind] = (_recurrent(keys), None)
            case "attention" | "full_attention":
                makers[kind] = (_grouped_query(keys, None), None)
            case "mlp":
                makers[kind] = (None, Dense(keys.need("intermediate_size"), _gated(keys)))
            case "moe":
                makers[kind] = (None, _experts(keys))
            case _:
                raise _unknown_kind(keys, kind)
    return [makers[kind][0] for kind in kinds], [makers[kind][1] for kind in kinds]


def _searched_layer(keys: Keys, block: object) -> tuple[Mixer, FeedForward]:
    """Llama-Nemotron: each layer has the shape that a neural architecture search gave it."""
    attention, feed_forward = part_of(block, "attention"), part_of(block, "ffn")
    if attention.get("replace_with_linear") or feed_forward.get("replace_with_linear"):
        raise Unsupported(f"{keys.name} has a linear layer in place of a block (block_configs)")
    mixer: Mixer = None
    if not attention.get("no_op"):
        heads = keys.need("num_attention_heads")
        shared = keys.whole("n_heads_in_group", attention.get("n_heads_in_group")) or 1
        size = keys.integer("head_dim") or _head_size(keys, heads)
        mixer = GroupedQuery(heads, heads // shared, size, bias=_attention_bias(keys))
    if feed_forward.get("no_op"):
        return mixer, None
    multiple = feed_forward.get("ffn_mult")
    if not isinstance(multiple, int | float) or not 0 < multiple <= LAYERS_MAX:
        raise BadRequest(f"block_configs of {keys.name} has the ffn_mult {multiple!r}")
    # Two thirds, because it has three matrices and not two, and then the next multiple of 256.
    width = int(2 * multiple * keys.need("hidden_size") / 3)
    return mixer, Dense(-(-width // 256) * 256, _gated(keys))


def _unknown_kind(keys: Keys, kind: str) -> BadRequest:
    return Unsupported(
        f"{keys.name} has layers of the kind {kind!r}, which isn't known; known are"
        " full_attention, sliding_attention, chunked_attention, linear_attention, mamba, moe, mlp"
    )


def _mixers(keys: Keys, layers: int) -> list[Mixer]:
    kinds = _kinds(keys, layers)
    indexers = [str(own) for own in keys.for_layers("indexer_types", layers) or [""] * layers]
    made = {pair: _mixer(keys, *pair) for pair in set(zip(kinds, indexers, strict=True))}
    return [made[pair] for pair in zip(kinds, indexers, strict=True)]


def _mixer(keys: Keys, kind: str, indexer: str) -> Mixer:
    match kind:
        case "mamba" | "linear_attention":
            return _recurrent(keys)
        case "sliding_attention":
            return _grouped_query(keys, keys.need("sliding_window"))
        case "chunked_attention":
            # A query sees its own chunk up to itself; a window of that many is the upper bound.
            return _grouped_query(keys, keys.need("attention_chunk_size"))
        case "full_attention" | "attention" | "deepseek_sparse_attention":
            if keys.integer("kv_lora_rank"):
                return _latent(keys, shares_index=indexer == "shared")
            return _grouped_query(keys, None)
        case _:
            raise _unknown_kind(keys, kind)


def _kinds(keys: Keys, layers: int) -> list[str]:
    """The kind of attention of each layer, in the words of `layer_types`."""
    if (types := keys.for_layers("layer_types", layers)) is not None:
        return [str(kind) for kind in types]
    if (full := keys.linear.get("full_attn_layers")) is not None:  # Kimi Linear
        if not isinstance(full, list | tuple):
            raise BadRequest(f"full_attn_layers of {keys.name} is {full!r}; it must be a list")
        numbers = cast("Sequence[object]", full)  # from 1
        return _by(layers, lambda layer: layer + 1 in numbers, "full", "linear")
    if keys.integer("linear_num_value_heads"):
        every = keys.integer("full_attention_interval") or 4
        return _by(layers, lambda layer: (layer + 1) % every == 0, "full", "linear")
    if (hybrid := keys.for_layers("hybrid_layer_pattern", layers)) is not None:
        return _by(layers, lambda layer: not hybrid[layer], "full", "sliding")
    if keys.integer("attention_chunk_size"):
        return _chunked_kinds(keys, layers)
    if not keys.integer("sliding_window") or not keys.flag("use_sliding_window", default=True):
        return ["full_attention"] * layers
    if pattern := keys.integer("sliding_window_pattern"):
        return _by(layers, lambda layer: (layer + 1) % pattern == 0, "full", "sliding")
    # Qwen2 and Qwen3 begin to slide after so many layers; Mistral and Phi-3 in the first.
    first = (keys.integer("max_window_layers") or 0) if keys.family.startswith("qwen") else 0
    return _by(layers, lambda layer: layer < first, "full", "sliding")


def _by(layers: int, test: Callable[[int], object], yes: str, no: str) -> list[str]:
    return [f"{yes if test(layer) else no}_attention" for layer in range(layers)]


def _chunked_kinds(keys: Keys, layers: int) -> list[str]:
    """Llama 4: layers with rotary positions see their own chunk, the others everything."""
    if (rotary := keys.for_layers("no_rope_layers", layers)) is not None:
        return _by(layers, lambda layer: not rotary[layer], "full", "chunked")
    every = keys.integer("no_rope_layer_interval") or 4
    return _by(layers, lambda layer: (layer + 1) % every == 0, "full", "chunked")


# --- attention ------------------------------------------------------------------------------------


def _grouped_query(keys: Keys, window: int | None) -> GroupedQuery:
    """Attention of one kind of layer; some families shape sliding and global layers apart."""
    heads = keys.need("num_attention_heads")
    kv_heads = _kv_heads(keys, heads)
    head_size = keys.integer("head_dim") or _head_size(keys, heads)
    value_size = keys.integer("v_head_dim") or head_size
    if window is not None:  # MiMo-V2
        heads = keys.integer("swa_num_attention_heads") or heads
        kv_heads = keys.integer("swa_num_key_value_heads") or kv_heads
        head_size = keys.integer("swa_head_dim") or head_size
        value_size = keys.integer("swa_v_head_dim") or value_size
    elif keys.integer("global_head_dim"):  # Gemma 4
        head_size = value_size = keys.need("global_head_dim")
        kv_heads = keys.integer("num_global_key_value_heads") or kv_heads
    if heads % kv_heads:
        raise BadRequest(
            f"num_key_value_heads of {keys.name} is {kv_heads}, which doesn't divide its {heads}"
            " attention heads; each key-value head serves equally many"
        )
    return GroupedQuery(
        heads=heads,
        kv_heads=kv_heads,
        head_size=(head_size + value_size) // 2,
        window=window,
        gated=keys.flag("attn_output_gate", default=keys.family == "qwen3_next"),
        bias=_attention_bias(keys),
    )


def _head_size(keys: Keys, heads: int) -> int:
    hidden = keys.need("hidden_size")
    if hidden % heads:
        raise BadRequest(
            f"hidden_size of {keys.name} is {hidden}, which its {heads} attention heads don't"
            " divide; give head_dim"
        )
    return hidden // heads


def _kv_heads(keys: Keys, heads: int) -> int:
    old_falcon = keys.family == "falcon" and not keys.flag(
        "new_decoder_architecture", default=False
    )
    if keys.flag("multi_query", default=old_falcon) and (
        old_falcon or keys.family == "gpt_bigcode"
    ):
        return 1
    if keys.attention.get("attn_type") == "multiquery_attention":  # MPT
        return 1
    inner = keys.whole("attn_config.kv_n_heads", keys.attention.get("kv_n_heads"))
    return keys.integer("num_key_value_heads") or inner or heads


def _attention_bias(keys: Keys) -> bool:
    if keys.flag("no_bias", default=False):  # MPT
        return False
    return keys.flag("attention_bias", default=keys.family in _BIASED)


def _latent(keys: Keys, *, shares_index: bool) -> Latent:
    own_index = not shares_index
    return Latent(
        heads=keys.need("num_attention_heads"),
        query_rank=keys.integer("q_lora_rank") or None,
        kv_rank=keys.need("kv_lora_rank"),
        rope_size=keys.need("qk_rope_head_dim"),
        nope_size=keys.need("qk_nope_head_dim"),
        value_size=keys.need("v_head_dim"),
        index_heads=(keys.integer("index_n_heads") or 0) * own_index,
        index_size=(keys.integer("index_head_dim") or 0) * own_index,
        index_tokens=keys.integer("index_topk") or 0,
    )


def _recurrent(keys: Keys) -> Recurrent:
    """Gated DeltaNet, Kimi Delta Attention or Mamba-2."""
    if keys.linear:
        heads = keys.whole("linear_attn_config.num_heads", keys.linear.get("num_heads"))
        size = keys.whole("linear_attn_config.head_dim", keys.linear.get("head_dim"))
        if not heads or not size:
            raise BadRequest(f"linear_attn_config of {keys.name} needs num_heads and head_dim")
        span = keys.whole("short_conv_kernel_size", keys.linear.get("short_conv_kernel_size"))
        return Recurrent(heads, heads, size, size, span or 4)
    if keys.integer("linear_num_value_heads"):
        return Recurrent(
            key_heads=keys.need("linear_num_key_heads"),
            value_heads=keys.need("linear_num_value_heads"),
            key_size=keys.need("linear_key_head_dim"),
            value_size=keys.need("linear_value_head_dim"),
            convolution=keys.integer("conv_kernel") or 4,
        )
    # Mamba-2: B and C of a group are what keys and queries are elsewhere, its state their width.
    return Recurrent(
        key_heads=keys.integer("n_groups") or 1,
        value_heads=keys.need("mamba_num_heads"),
        key_size=keys.need("ssm_state_size"),
        value_size=keys.need("mamba_head_dim"),
        convolution=keys.integer("conv_kernel") or 4,
    )


# --- feed-forward ---------------------------------------------------------------------------------


def _feed_forwards(keys: Keys, layers: int) -> list[FeedForward]:
    if (keys.integer("num_local_experts") or 0) <= 1:
        return [_dense(keys)] * layers
    sparse = _sparse_layers(keys, layers)
    experts = _experts(keys) if any(sparse) else None
    dense = None if all(sparse) else _dense(keys)
    return [experts if here else dense for here in sparse]


def _sparse_layers(keys: Keys, layers: int) -> list[bool]:
    """Whether each layer has experts."""
    if (types := keys.for_layers("mlp_layer_types", layers)) is not None:
        return [kind == "sparse" for kind in types]
    if (listed := keys.for_layers("moe_layer_freq", layers)) is not None:
        return [bool(value) for value in listed]
    if (chosen := keys.sequence("moe_layers")) is not None:  # Llama 4
        return [layer in chosen for layer in range(layers)]
    if step := keys.integer("interleave_moe_layer_step"):
        return [(layer + 1) % step == 0 for layer in range(layers)]
    first = keys.integer("first_k_dense_replace") or 0
    every = keys.integer("moe_layer_freq") or 1
    step = keys.integer("decoder_sparse_step") or 1
    dense = keys.sequence("mlp_only_layers") or ()
    return [
        layer >= first and layer % every == 0 and (layer + 1) % step == 0 and layer not in dense
        for layer in range(layers)
    ]


def _dense(keys: Keys) -> Dense:
    gated = _gated(keys)
    width = (
        keys.integer("intermediate_size_mlp")  # Llama 4: of its dense layers
        or keys.integer("dense_intermediate_size")  # MiniMax-M3
        or keys.integer("intermediate_size")
    )
    if keys.integer("num_local_experts") == 0:  # Granite 4 without experts
        width = keys.integer("shared_intermediate_size") or width
    if not width and not gated:
        ratio = keys.integer("expansion_ratio") or 4
        width = ratio * keys.need("hidden_size")
    return Dense(width or keys.need("intermediate_size"), gated)


def _experts(keys: Keys) -> Experts:
    count = keys.need("num_local_experts")
    active = keys.need("num_experts_per_tok")
    if active > count:
        raise BadRequest(
            f"num_experts_per_tok of {keys.name} is {active}, more than its {count} experts"
        )
    width = keys.integer("moe_intermediate_size") or keys.need("intermediate_size")
    return Experts(
        count=count,
        active=active,
        width=width,
        gated=_gated(keys),
        shared_width=_shared_width(keys, width),
        latent=keys.integer("moe_latent_size") or None,
    )


def _shared_width(keys: Keys, expert_width: int) -> int:
    """Width of all shared experts together."""
    if keys.flag("enable_moe_block", default=False):  # Gemma 4: a dense block beside the experts
        return keys.need("intermediate_size")
    if keys.family.startswith("llama4"):  # one, as wide as a chosen one
        return expert_width
    for key in ("shared_expert_intermediate_size", "shared_intermediate_size"):
        if (width := keys.integer(key)) is not None:
            return width
    return (keys.integer("n_shared_experts") or 0) * expert_width


def _gated(keys: Keys) -> bool:
    """Whether a feed-forward block has a third matrix, its gate."""
    activation = str(keys.value("hidden_act"))
    ungated = keys.family in _UNGATED or activation in _UNGATED_ACTIVATIONS
    return keys.flag("gated_mlp", default=not ungated)


# --- the rest -------------------------------------------------------------------------------------


def _positions(keys: Keys) -> int:
    learned = keys.family in _LEARNED_POSITIONS
    if keys.family == "mpt":
        learned = keys.flag("learned_pos_emb", default=True) and not keys.attention.get("alibi")
    return (keys.integer("max_position_embeddings") or 0) if learned else 0
