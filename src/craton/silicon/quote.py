"""What is asked and what is answered: jobs, plans and quotes, all frozen.

`quote(job, chips, prices)` (in `planner`) ranks plans; capacity, training and billing call it.
A quote carries the id of everything it rests on, so that it can be made again and compared.
"""

from enum import StrEnum

import msgspec

from craton.silicon.architecture import Architecture
from craton.silicon.case import Recompute, Sharding
from craton.silicon.chip import PriceKind
from craton.silicon.estimate import Estimate
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats


class Objective(StrEnum):
    """What the best plan has least of."""

    COST = "cost"
    ENERGY = "energy"
    LATENCY = "latency"
    CHIPS = "chips"
    POWER = "power"


class ServingJob(msgspec.Struct, frozen=True):
    """A model to serve under a load, within limits."""

    architecture: Architecture
    input_tokens: float
    output_tokens: float
    rate: float
    """Requests a second."""
    formats: Formats = Formats()
    ttft_limit_ms: float | None = None
    itl_limit_ms: float | None = None
    power_limit_kw: float | None = None
    """At the wall, peak."""
    chips_limit: int | None = None
    """Of one replica."""
    cached_fraction: float = 0.0
    """Of the prompt, found in the prefix cache."""
    framework: str | None = None
    objective: Objective = Objective.COST
    disaggregated: bool = True
    """Whether to try prefill and decode apart, too."""
    confident: bool = False
    """Whether limits are held against the high ends of intervals, so that nine plans of ten keep
    them; else against the middle, and one of two does."""


class TrainingJob(msgspec.Struct, frozen=True):
    """A model to train, by a day if there is one."""

    architecture: Architecture
    tokens: float
    sequence: int
    global_batch_tokens: float
    deadline_days: float | None = None
    precision: str = "bf16"
    chips_limit: int | None = None
    power_limit_kw: float | None = None
    objective: Objective = Objective.COST


class Term(msgspec.Struct, frozen=True):
    """A part of a step's time, for the timeline and the roofline."""

    phase: str
    """`prefill`, `decode`, `forward`, `backward` or `step`."""
    name: str
    seconds: float
    flops: float = 0.0
    data_bytes: float = 0.0


class Share(msgspec.Struct, frozen=True):
    """A part of one chip's memory."""

    name: str
    gib: float


class ServingPlan(msgspec.Struct, frozen=True):
    """One way to serve a job: everything about it, each figure with its interval."""

    chip: str
    server: str | None
    layout: Layout
    """Of a replica; of a decode worker where the phases are apart."""
    replicas: int
    chips: int
    """In all."""
    batch: float
    """Requests in flight in one replica."""
    ttft_ms: Estimate
    itl_ms: Estimate
    tokens_s: Estimate
    """Output tokens a second the chips can give."""
    tokens_s_chip: Estimate
    usd_hour: float | None
    """Of all chips; None where no price is known."""
    usd_million_tokens: Estimate | None
    """Output tokens, at the load asked for."""
    joules_token: Estimate | None
    power_kw: Estimate | None
    """At the wall, of all chips at this load."""
    memory: tuple[Share, ...]
    terms: tuple[Term, ...]
    price_kind: PriceKind | None = None
    prefill_layout: Layout | None = None
    prefill_workers: int = 0
    decode_workers: int = 0


class TrainingPlan(msgspec.Struct, frozen=True):
    """One way to train a job."""

    chip: str
    server: str | None
    layout: Layout
    chips: int
    micro_batch: int
    recompute: Recompute
    sharding: Sharding
    step_s: Estimate
    mfu: Estimate
    tflops_chip: Estimate
    tokens_s: Estimate
    days: Estimate
    """Wall-clock, what failures take included."""
    goodput: float
    """Of the time, the part that isn't lost to failures and checkpoints."""
    failures_day: float
    checkpoint_interval_s: float
    usd: Estimate | None
    mwh: Estimate | None
    power_kw: Estimate | None
    memory: tuple[Share, ...]
    terms: tuple[Term, ...]
    price_kind: PriceKind | None = None


class Refusal(msgspec.Struct, frozen=True):
    """What was tried and why it lost."""

    chip: str
    what: str
    """The split, or "any"."""
    reason: str


class Point(msgspec.Struct, frozen=True):
    """One point of a chip's front of cost against interactivity."""

    chip: str
    tokens_s_user: float
    tokens_s_chip: float
    usd_million_tokens: float | None
    layout: Layout
    batch: float


class Quote(msgspec.Struct, frozen=True):
    """Ranked plans, best first, and what lost."""

    id: str
    """A digest of the job, the catalogue, the prices and the fits."""
    job: ServingJob | TrainingJob
    plans: tuple[ServingPlan | TrainingPlan, ...]
    refusals: tuple[Refusal, ...]
    front: tuple[Point, ...]
    warnings: tuple[str, ...]
