"""What a language model is made of, as far as its cost goes: layers, widths, experts, vocabulary.

A model is a few groups of equal layers. Each layer mixes tokens (attention of some kind) and then
works on each token alone (a feed-forward block, dense or of experts). The reader of Hugging Face
configs, the reader of GGUF files and the bundled cards all end here.
"""

import msgspec


class GroupedQuery(msgspec.Struct, frozen=True, tag="grouped-query"):
    """Multi-head, grouped-query or multi-query attention; `window` where it slides."""

    heads: int
    kv_heads: int
    head_size: int
    """Of queries, keys and values. Where values are narrower than keys (MiMo-V2), the mean of both
    stands here: every product, every weight and the cache come out the same."""
    window: int | None = None
    """Tokens a query sees; None sees all."""
    gated: bool = False
    """True where the output is multiplied by a gate as wide as the queries (Qwen3-Next)."""
    bias: bool = False


class Latent(msgspec.Struct, frozen=True, tag="latent"):
    """Multi-head latent attention (DeepSeek): the cache holds one compressed vector a token."""

    heads: int
    query_rank: int | None
    """Width the queries are compressed to; None where they aren't."""
    kv_rank: int
    rope_size: int
    nope_size: int
    value_size: int
    index_heads: int = 0
    """Heads of the indexer of sparse attention (DeepSeek-V3.2, GLM-5); 0 without one.

    Also 0 where a layer has no indexer of its own and sees what an earlier one chose (GLM-5.2):
    then only `index_tokens` is set.
    """
    index_size: int = 0
    index_tokens: int = 0
    """Tokens the indexer lets a query see; 0 where it sees all."""


class Recurrent(msgspec.Struct, frozen=True, tag="recurrent"):
    """Linear attention or a state space (Gated DeltaNet, Mamba2): its state has a fixed size."""

    key_heads: int
    value_heads: int
    key_size: int
    value_size: int
    convolution: int = 4
    """Tokens the short convolution before it spans."""


class Dense(msgspec.Struct, frozen=True, tag="dense"):
    """A feed-forward block; `gated` has three matrices (SwiGLU), else two."""

    width: int
    gated: bool = True


class Experts(msgspec.Struct, frozen=True, tag="experts"):
    """A mixture: of `count` experts a token visits `active`, and the shared ones besides."""

    count: int
    active: int
    width: int
    """Of one expert."""
    gated: bool = True
    shared_width: int = 0
    """Of all shared experts together."""
    latent: int | None = None
    """Width the tokens are projected to before the experts (Nemotron 3 Super); None: hidden."""


class LayerGroup(msgspec.Struct, frozen=True):
    """`count` equal layers. Either part may be missing (hybrid models have such layers)."""

    count: int
    mixer: GroupedQuery | Latent | Recurrent | None
    feed_forward: Dense | Experts | None


class Architecture(msgspec.Struct, frozen=True):
    """A decoder-only language model (or the text part of a multimodal one)."""

    name: str
    hidden: int
    vocabulary: int
    groups: tuple[LayerGroup, ...]
    tied: bool = False
    """True where the output matrix is the embedding."""
    context: int | None = None
    """Tokens it was made for."""
    draft_layers: int = 0
    """Layers of multi-token prediction that come with it; not counted in `groups`."""
    positions: int = 0
    """Rows of a learned table of positions (GPT-2, OPT, MPT, BERT); 0 with rotary ones or none."""

    @property
    def layers(self) -> int:
        """Layers in all."""
        return sum(group.count for group in self.groups)

    def parameters(self) -> int:
        """Parameters in all, embeddings included, norms and biases left out (below 0.2 %)."""
        return self._embeddings() + sum(
            group.count * (self.mixer_parameters(group.mixer) + self.feed_forward_parameters(group))
            for group in self.groups
        )

    def active_parameters(self) -> int:
        """Parameters one token is multiplied with.

        The chosen experts only; the output matrix, but not the embedding it is looked up in.
        """
        return self.vocabulary * self.hidden + sum(
            group.count
            * (
                self.mixer_parameters(group.mixer)
                + self.feed_forward_parameters(group, active_only=True)
            )
            for group in self.groups
        )

    def _embeddings(self) -> int:
        return (self.vocabulary * (1 if self.tied else 2) + self.positions) * self.hidden

    def mixer_parameters(self, mixer: GroupedQuery | Latent | Recurrent | None) -> int:
        """Parameters of one layer's attention."""
        match mixer:
            case None:
                return 0
            case GroupedQuery():
                queries = mixer.heads * mixer.head_size
                keys_and_values = 2 * mixer.kv_heads * mixer.head_size
                gate = queries if mixer.gated else 0
                return self.hidden * (2 * queries + keys_and_values + gate)
            case Latent():
                return self._latent_parameters(mixer)
            case Recurrent():
                keys = mixer.key_heads * mixer.key_size
                values = mixer.value_heads * mixer.value_size
                # queries, keys, values, gate; two scalars a head; output; convolution
                projections = self.hidden * (2 * keys + 2 * values + 2 * mixer.value_heads)
                return projections + values * self.hidden + mixer.convolution * (2 * keys + values)

    def _latent_parameters(self, mixer: Latent) -> int:
        queries = mixer.heads * (mixer.nope_size + mixer.rope_size)
        if mixer.query_rank is None:
            query = self.hidden * queries
        else:
            query = self.hidden * mixer.query_rank + mixer.query_rank * queries
        down = self.hidden * (mixer.kv_rank + mixer.rope_size)
        up = mixer.kv_rank * mixer.heads * (mixer.nope_size + mixer.value_size)
        out = mixer.heads * mixer.value_size * self.hidden
        index_source = mixer.query_rank or self.hidden
        index = mixer.index_heads * (index_source * mixer.index_size + self.hidden)
        return query + down + up + out + index + (self.hidden * mixer.index_size)

    def feed_forward_parameters(self, group: LayerGroup, *, active_only: bool = False) -> int:
        """Parameters of one layer's feed-forward block, its router included."""
        match group.feed_forward:
            case None:
                return 0
            case Dense(width=width, gated=gated):
                return (3 if gated else 2) * self.hidden * width
            case Experts() as experts:
                matrices = 3 if experts.gated else 2
                inner = experts.latent or self.hidden
                count = experts.active if active_only else experts.count
                projections = 0 if experts.latent is None else 2 * self.hidden * inner
                shared = matrices * self.hidden * experts.shared_width
                router = self.hidden * experts.count
                return matrices * inner * experts.width * count + shared + router + projections
