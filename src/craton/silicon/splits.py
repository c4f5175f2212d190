"""Every split of a model a search may try, in a fixed order: small replicas first."""

from collections.abc import Iterator

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture, Experts, Latent
from craton.silicon.chip import Chip
from craton.silicon.layout import Layout


def divisors(number: int) -> list[int]:
    """All of them, ascending."""
    return [each for each in range(1, number + 1) if number % each == 0]


def replica_sizes(limit: int) -> list[int]:
    """Chips of a replica worth trying: powers of two, and the limit itself."""
    sizes = [1 << power for power in range(limit.bit_length()) if 1 << power <= limit]
    return sizes if sizes[-1] == limit else [*sizes, limit]


def has_experts(architecture: Architecture) -> bool:
    """Whether any layer is a mixture of experts."""
    return any(isinstance(group.feed_forward, Experts) for group in architecture.groups)


def _may_split_attention(architecture: Architecture) -> bool:
    """Whether attention data parallelism inside a replica can pay.

    It does where experts need more ranks than attention can use, or where tensor parallelism
    would copy a compressed cache; elsewhere it is the same as another replica.
    """
    return has_experts(architecture) or any(
        isinstance(group.mixer, Latent) for group in architecture.groups
    )


def serving_layouts(architecture: Architecture, chip: Chip, chips: int) -> Iterator[Layout]:
    """Every split of a serving replica of exactly `chips` chips that keeps the rules."""
    ranks = chips * chip.ranks
    experts = has_experts(architecture)
    for pipeline in divisors(ranks):
        inside = ranks // pipeline
        for data in divisors(inside) if _may_split_attention(architecture) else [1]:
            for expert in divisors(inside) if experts else [1]:
                layout = Layout(
                    tensor=inside // data,
                    pipeline=pipeline,
                    data=data,
                    expert=expert,
                    expert_tensor=inside // expert,
                    ranks_per_chip=chip.ranks,
                )
                try:
                    layout.check_serving(architecture, pads_heads=chip.pads_heads)
                except BadRequest:
                    continue
                yield layout
