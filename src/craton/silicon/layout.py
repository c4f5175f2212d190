"""How one copy of a model is split over ranks, and the rules a split must keep."""

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture, Experts, GroupedQuery, Latent


class Layout(msgspec.Struct, frozen=True):
    """A split. In serving `data` is attention data parallelism inside a replica.

    `tensor * data` ranks hold a layer; of them the experts use `expert_tensor * expert`.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1
    expert_tensor: int = 1
    context: int = 1
    virtual: int = 1
    """Pipeline chunks a stage is cut into (interleaving)."""
    ranks_per_chip: int = 1

    @property
    def ranks(self) -> int:
        """Ranks of a serving replica."""
        return self.tensor * self.pipeline * self.data * self.context

    @property
    def chips(self) -> int:
        """Chips of a serving replica, rounded up."""
        return -(-self.ranks // self.ranks_per_chip)

    def check_serving(self, architecture: Architecture, *, pads_heads: bool = False) -> None:
        """Refuse a split that cannot be, naming the rule; BadRequest."""
        _check_positive(self)
        if self.expert * self.expert_tensor != self.tensor * self.data:
            raise BadRequest(
                f"tp {self.tensor} x dp {self.data} must equal moe_tp {self.expert_tensor} x"
                f" ep {self.expert}: the experts live on the ranks that hold the layer"
            )
        _check_architecture(self, architecture, pads_heads=pads_heads)

    def check_training(self, architecture: Architecture) -> None:
        """Refuse a split that cannot be, naming the rule; BadRequest."""
        _check_positive(self)
        if (self.tensor * self.data * self.context) % (self.expert * self.expert_tensor):
            raise BadRequest(
                f"ep {self.expert} x moe_tp {self.expert_tensor} must divide tp {self.tensor} x"
                f" cp {self.context} x dp {self.data}: experts are spread over those ranks"
            )
        _check_architecture(self, architecture, pads_heads=False)


def _check_positive(layout: Layout) -> None:
    for field in layout.__struct_fields__:
        value: int = getattr(layout, field)
        if value < 1:
            raise BadRequest(f"{field} parallelism is {value}; it is at least 1")


def _check_architecture(layout: Layout, architecture: Architecture, *, pads_heads: bool) -> None:
    if layout.pipeline * layout.virtual > architecture.layers:
        raise BadRequest(
            f"pp {layout.pipeline} x vp {layout.virtual} is more than the"
            f" {architecture.layers} layers of {architecture.name}: a stage would be empty"
        )
    for group in architecture.groups:
        match group.mixer:
            case GroupedQuery(heads=heads) | Latent(heads=heads) if heads % layout.tensor and not (
                pads_heads and layout.tensor < heads
            ):
                raise BadRequest(
                    f"tp {layout.tensor} doesn't divide the {heads} attention heads of"
                    f" {architecture.name}; use a divisor of {heads}"
                )
            case _:
                pass
        match group.feed_forward:
            case Experts(count=count) if layout.expert > count:
                raise BadRequest(
                    f"ep {layout.expert} is more than the {count} experts of {architecture.name}"
                )
            case _:
                pass
