"""A fixed set-up to estimate: a model on given chips under a given load, nothing to choose."""

from enum import StrEnum

import msgspec

from craton.silicon.architecture import Architecture
from craton.silicon.chip import Chip, Server
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision


class Batching(StrEnum):
    """How a server forms batches."""

    STATIC = "static"
    """All requests of a batch start and end together."""
    CONTINUOUS = "continuous"
    """A request enters as soon as there is room."""


class Load(StrEnum):
    """How requests arrive (MLPerf's scenarios)."""

    OFFLINE = "offline"
    SERVER = "server"
    INTERACTIVE = "interactive"


class Pool(msgspec.Struct, frozen=True):
    """The workers of one phase, where prefill and decode are apart."""

    workers: int
    layout: Layout
    batch: int | None = None


class ServingCase(msgspec.Struct, frozen=True):
    """One serving set-up."""

    architecture: Architecture
    chip: Chip
    layout: Layout
    formats: Formats
    input_tokens: float
    output_tokens: float
    concurrency: float | None
    """Requests in flight over all chips, closed loop; None: as many as the limits allow."""
    chips: int
    """In all; replicas are `chips / layout.chips`."""
    server: Server | None = None
    framework: str | None = None
    framework_version: str | None = None
    batching: Batching = Batching.CONTINUOUS
    speculative: bool = False
    dataset: str | None = None
    load: Load | None = None
    prefill: Pool | None = None
    """Set, with `decode`, where the phases are disaggregated."""
    decode: Pool | None = None
    gemm: Precision | None = None
    """What it multiplies in, where that isn't the weights' own format."""
    ttft_limit_ms: float | None = None
    itl_limit_ms: float | None = None
    cached_fraction: float = 0.0
    """Of the prompt, found in the prefix cache."""


class Recompute(StrEnum):
    """Which activations are computed again in the backward pass."""

    NONE = "none"
    SELECTIVE = "selective"
    """The inside of attention only."""
    FULL = "full"


class Sharding(StrEnum):
    """Over the data-parallel ranks."""

    NONE = "none"
    ZERO1 = "zero1"
    """Optimizer states."""
    ZERO3 = "zero3"
    """Optimizer states, gradients and weights (FSDP)."""


class TrainingCase(msgspec.Struct, frozen=True):
    """One training set-up. `layout.data` is how many copies of the model there are."""

    architecture: Architecture
    chip: Chip
    layout: Layout
    chips: int
    micro_batch: int
    """Sequences."""
    global_batch: int
    """Sequences a step, over all copies."""
    sequence: int
    """Tokens."""
    precision: Precision = Precision.BF16
    recompute: Recompute = Recompute.NONE
    sequence_parallel: bool = True
    sharding: Sharding = Sharding.ZERO1
    server: Server | None = None
    framework: str | None = None
    framework_version: str | None = None
