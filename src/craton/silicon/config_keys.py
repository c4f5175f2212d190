"""The keys of a Hugging Face config under one set of names, read with limits.

Families call the same thing differently (`n_embd`, `d_model`, `hidden_size`) and leave out what
their library knows. Here both are evened out, so that the reader of architectures meets one name
for each thing, checked, and an error that names the key.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from craton.kernel.errors import BadRequest, Unsupported

SIZE_MAX = 1_000_000_000

_TEXT_PARTS = ("thinker_config", "llm_config", "language_config", "text_config")

# Other names of the same thing; the first of each that is there and not null counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": (
        *("num_kv_heads", "n_head_kv", "n_kv_heads"),
        *("num_attention_groups", "num_query_groups", "multi_query_group_num"),
    ),
    "head_dim": ("attention_head_dim", "kv_channels"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocab_size": ("padded_vocab_size",),
    "max_position_embeddings": (
        *("n_positions", "n_ctx", "max_seq_len", "max_sequence_length"),
        *("model_max_length", "seq_length"),
    ),
    "hidden_act": ("hidden_activation", "activation_function", "mlp_hidden_act"),
    "num_local_experts": ("num_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": (
        *("experts_per_token", "num_experts_per_token", "top_k_experts"),
        *("moe_topk", "moe_top_k"),
    ),
    "n_shared_experts": ("num_shared_experts",),
    "shared_expert_intermediate_size": (
        *("moe_shared_expert_intermediate_size", "share_expert_dim", "share_expert_dims"),
    ),
    "moe_latent_size": ("routed_expert_hidden_size",),
    "num_nextn_predict_layers": ("mtp_num_hidden_layers", "num_mtp_layers"),
    "layer_types": ("layers_block_type",),
    "mamba_num_heads": ("mamba_n_heads",),
    "mamba_head_dim": ("mamba_d_head",),
    "ssm_state_size": ("mamba_d_state",),
    "n_groups": ("mamba_n_groups",),
    "conv_kernel": ("mamba_d_conv", "linear_conv_kernel_dim"),
    "attention_bias": ("qkv_bias", "use_bias", "bias"),
}

# What a family's configs leave out because the library knows it.
_GEMMA_3 = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262_208,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
}
_DEFAULTS: dict[str, dict[str, int]] = {
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256, "sliding_window": 4096, "sliding_window_pattern": 2},
    "gemma3": _GEMMA_3,
    "gemma3_text": _GEMMA_3,
    "gpt_oss": {"head_dim": 64, "sliding_window": 128, "sliding_window_pattern": 2},
    "cohere2": {"sliding_window": 4096, "sliding_window_pattern": 4},
    "llama4_text": {"head_dim": 128, "attention_chunk_size": 8192, "no_rope_layer_interval": 4},
    "qwen3": {"head_dim": 128},
    "qwen3_next": {"head_dim": 256, "full_attention_interval": 4},
    "falcon": {"max_position_embeddings": 2048},
    "bert": {"vocab_size": 30_522, "max_position_embeddings": 512},
}
# Parts nothing here can count yet; a key that says a model has one, and what it is.
_UNKNOWN_PARTS = {
    "is_encoder_decoder": "an encoder beside the decoder",
    "compress_ratios": "attention over a compressed cache",
    "hidden_size_per_layer_input": "an embedding for each layer",
    "attn_layer_period": "Mamba-1 layers",
    "num_kv_shared_layers": "layers that share one cache",
    "sparse_attention_config": "attention to chosen blocks",
}


class Keys:
    """One config's keys; those of its text part, where it is multimodal."""

    def __init__(self, config: Mapping[str, object], name: str) -> None:
        self.name = name
        self._config = dict(config)
        for part in _TEXT_PARTS:
            # What a multimodal model says once for all its parts stays (tied embeddings).
            self._config |= part_of(self._config, part)
        self.family = str(self._config.get("model_type") or "")
        self._defaults: Mapping[str, object] = _DEFAULTS.get(self.family, {})
        self.attention = part_of(self._config, "attn_config")
        """What MPT says of its attention."""
        self.linear = part_of(self._config, "linear_attn_config")
        """What Kimi says of its linear attention."""

    def value(self, key: str) -> object:
        """The value under a key or another name of it; None where it is missing or null."""
        for candidate in (key, *_NAMES.get(key, ())):
            if (found := self._config.get(candidate)) is not None:
                return found
        return self._defaults.get(key)

    def integer(self, key: str) -> int | None:
        """A whole number of at least 0; None where there is none."""
        return self.whole(key, self.value(key))

    def whole(self, key: str, value: object) -> int | None:
        """That value as a whole number in range, or BadRequest."""
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SIZE_MAX:
            raise BadRequest(
                f"{key} of {self.name} is {value!r}; it must be a whole number from 0 to"
                f" {SIZE_MAX:,}"
            )
        return value

    def need(self, key: str) -> int:
        """A whole number of at least 1, or BadRequest that names the field."""
        value = self.integer(key)
        if not value:
            others = "".join(f", {other}" for other in _NAMES.get(key, ()))
            raise BadRequest(
                f"{self.name} has no {key}: the config must carry it ({key}{others}) as a number"
                " of at least 1"
            )
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool) and value not in (0, 1):
            raise BadRequest(f"{key} of {self.name} is {value!r}; it must be true or false")
        return bool(value)

    def sequence(self, key: str) -> Sequence[object] | None:
        """A list; None where the value is missing or isn't one."""
        value = self.value(key)
        return cast("Sequence[object]", value) if isinstance(value, list | tuple) else None

    def for_layers(self, key: str, layers: int) -> Sequence[object] | None:
        """A list with a value for each layer (a longer one goes on with the draft layers)."""
        values = self.sequence(key)
        if values is not None and len(values) < layers:
            raise BadRequest(
                f"{key} of {self.name} has {len(values)} values for {layers} layers; it needs one"
                " for each"
            )
        return None if values is None else values[:layers]

    def refuse_unknown_parts(self) -> None:
        """Unsupported where the model has a part that can't be counted."""
        for key, part in _UNKNOWN_PARTS.items():
            if self._config.get(key):
                raise Unsupported(
                    f"{self.name} has {part} ({key}), which can't be counted yet; describe the"
                    " model by the keys of the nearest one without it"
                )


def part_of(config: object, key: str) -> Mapping[str, object]:
    """The object under a key of another; empty where there is none."""
    part: object = None
    if isinstance(config, Mapping):
        part = cast("Mapping[str, object]", config).get(key)
    return cast("Mapping[str, object]", part) if isinstance(part, Mapping) else {}
