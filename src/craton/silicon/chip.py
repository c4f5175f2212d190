"""Chips, and the servers and UltraServers they come in: what a planner needs to know of them."""

from enum import StrEnum

import msgspec

from craton.silicon.figure import Figure
from craton.silicon.precision import WIDER, Precision
from craton.silicon.processor_rates import EngineRates


class Topology(StrEnum):
    """How the chips of one link level are joined."""

    ALL_TO_ALL = "all-to-all"
    """Through switches: any two chips talk at the full rate of a chip's port."""
    MESH = "mesh"
    """A link between each two chips: one pair has a share of a chip's rate."""
    RING = "ring"
    TORUS_2D = "torus-2d"
    TORUS_3D = "torus-3d"
    NETWORK = "network"
    """Ethernet, InfiniBand or EFA between servers."""


class LinkLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One level of links: the chips within reach, and what one chip can send over it."""

    name: str
    topology: Topology
    chips: int
    """Chips within this level, the inner levels' included; 0 where it has no limit."""
    gb_s: Figure
    """GB/s one chip can send, one direction (10^9 bytes), over all of this level's links."""
    latency_us: Figure
    """Microseconds a message takes from chip to chip (the alpha of alpha-beta)."""


class Chip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accelerator, or one CPU socket, as its maker specifies it."""

    name: str
    title: str
    vendor: str
    tflops: dict[Precision, Figure]
    """Dense peak, 10^12 operations a second, by format (integer formats: TOPS)."""
    memory_gib: Figure
    memory_tb_s: Figure
    """10^12 bytes a second."""
    links: tuple[LinkLevel, ...]
    """Innermost first, the scale-out network last."""
    launch: Figure | None = None
    """The year of general availability; None where nothing was found."""
    power_w: Figure | None = None
    """Peak sustained (TDP); None where none is published."""
    ranks: int = 1
    """Ranks one chip is seen as (2 NeuronCores on Trainium1, 4 logical ones on Trainium2)."""
    pads_heads: bool = False
    """True where the software pads attention heads to the split, so that any split will do."""
    sram_mib: Figure | None = None
    sparse_tflops: Figure | None = None
    idle_w: Figure | None = None
    capex_usd: Figure | None = None
    fixed_us: Figure | None = None
    """Microseconds an operation takes, however small it is; only where it was measured."""
    engine: EngineRates | None = None
    """What the embedded engine reaches; only on a machine that was measured."""
    notes: str = ""
    aliases: tuple[str, ...] = ()

    def peak_tflops(self, precision: Precision) -> float:
        """Dense peak for a format, or for the nearest wider one the chip has; 0 if it has none."""
        for wider in WIDER[precision]:
            if wider in self.tflops:
                return self.tflops[wider].value
        return 0.0

    def computes_in(self, precision: Precision) -> Precision | None:
        """The format the chip really multiplies in when weights are stored in `precision`."""
        return next((wider for wider in WIDER[precision] if wider in self.tflops), None)


class PriceKind(StrEnum):
    """Under which terms chips are had."""

    ON_DEMAND = "on-demand"
    CAPACITY_BLOCK = "capacity-block"
    RESERVED = "reserved"
    OWNED = "owned"
    """Capital over its life, and energy."""


class ServerPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one server costs an hour under some terms."""

    kind: PriceKind
    usd_hour: Figure


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is bought or rented as one: a server, an UltraServer, a rack."""

    name: str
    title: str
    chip: str
    chips: int
    prices: tuple[ServerPrice, ...] = ()
    vcpu: int | None = None
    memory_gib: Figure | None = None
    network_gbit_s: Figure | None = None
    """Scale-out network of the whole server, Gbit/s."""
    host_share: Figure | None = None
    """Power of everything but the chips, as a fraction of the chips' own."""
    power_kw: Figure | None = None
    """Of the whole server, where it is published."""
    capex_usd: Figure | None = None
    """Of the whole server with its share of the network; None: the chips' own and an overhead."""
    links: tuple[LinkLevel, ...] = ()
    """Innermost first. A file may leave them out where they are the chip's own; the catalogue then
    fills them in, with this server's network."""
    notes: str = ""
    aliases: tuple[str, ...] = ()
