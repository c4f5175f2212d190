"""Quotes made by hand: inputs for what renders them. Their figures are made up."""

from datetime import date

from craton.silicon.architecture import Architecture, Dense, Experts, GroupedQuery, LayerGroup
from craton.silicon.case import Recompute, Sharding
from craton.silicon.chip import Chip, LinkLevel, PriceKind, Server, ServerPrice, Topology
from craton.silicon.estimate import Estimate, Provenance
from craton.silicon.figure import Figure
from craton.silicon.layout import Layout
from craton.silicon.precision import Precision
from craton.silicon.quote import (
    Point,
    Quote,
    Refusal,
    ServingJob,
    ServingPlan,
    Share,
    Term,
    TrainingJob,
    TrainingPlan,
)

DAY = date(2026, 11, 22)

MODEL = Architecture(
    name="seventy",
    hidden=8192,
    vocabulary=128_256,
    groups=(LayerGroup(80, GroupedQuery(64, 8, 128), Dense(28_672)),),
)
EXPERT_MODEL = Architecture(
    name="expert",
    hidden=2880,
    vocabulary=201_088,
    groups=(LayerGroup(36, GroupedQuery(64, 8, 64), Experts(128, 4, 2880)),),
)


EIGHT = Layout(tensor=8, expert_tensor=8)


def about(value: float, part: float = 0.15, provenance: Provenance = Provenance.FITTED) -> Estimate:
    return Estimate(value, value * (1 - part), value * (1 + part), provenance)


def read(value: float, *, estimate: bool = False) -> Figure:
    source = "not verified" if estimate else "A data sheet, https://chips.example/sheet.pdf"
    return Figure(value, source, None if estimate else DAY, estimate=estimate)


def chip(name: str, bf16: float, fp8: float, memory: float, bandwidth: float) -> Chip:
    return Chip(
        name=name,
        title=f"The {name}",
        vendor="A maker",
        launch=None,
        tflops={
            Precision.BF16: read(bf16),
            Precision.FP16: read(bf16),
            Precision.FP8: read(fp8),
            Precision.FP32: read(bf16 / 16),
        },
        memory_gib=read(memory),
        memory_tb_s=read(bandwidth),
        links=(
            LinkLevel("switched", Topology.ALL_TO_ALL, 8, read(450), read(2, estimate=True)),
            LinkLevel("network", Topology.NETWORK, 0, read(50), read(8, estimate=True)),
        ),
        power_w=read(700),
    )


CHIPS = (
    chip("h100", 989, 1979, 80, 3.35),
    chip("h200", 989, 1979, 141, 4.8),
    chip("b200", 2250, 4500, 180, 8.0),
    chip("trainium2", 667, 1299, 96, 2.9),
)
SERVERS = (
    Server(
        name="p5en.48xlarge",
        title="Eight of the h200",
        chip="h200",
        chips=8,
        prices=(ServerPrice(PriceKind.ON_DEMAND, read(41.6)),),
        host_share=read(0.35, estimate=True),
    ),
)

TERMS = (
    Term("prefill", "attention and feed-forward", 0.41, 5.6e14, 4.2e10),
    Term("prefill", "attention scores", 0.05, 2.1e13, 1.1e10),
    Term("prefill", "output matrix", 0.002, 1.1e9, 2.6e8),
    Term("prefill", "all-reduce", 0.07, 0.0, 1.1e10),
    Term("prefill", "launches", 0.01),
    Term("decode", "attention and feed-forward", 0.0104, 1.2e12, 1.8e10),
    Term("decode", "attention scores", 0.0061, 2.3e11, 1.6e10),
    Term("decode", "output matrix", 0.0002, 2.2e10, 2.7e8),
    Term("decode", "all-reduce", 0.0035, 0.0, 8.4e7),
    Term("decode", "launches", 0.0021),
)
MEMORY = (
    Share("weights", 16.4),
    Share("cache", 62.0),
    Share("activations", 6.1),
    Share("fragmentation", 4.5),
    Share("runtime", 2.0),
)


def serving_plan(
    name: str = "h200",
    *,
    usd: float | None = 0.92,
    itl: float = 22.3,
    layout: Layout = EIGHT,
    replicas: int = 2,
    prefill: tuple[int, Layout] | None = None,
    provenance: Provenance = Provenance.FITTED,
) -> ServingPlan:
    return ServingPlan(
        chip=name,
        server="p5en.48xlarge" if name == "h200" else None,
        layout=layout,
        replicas=replicas,
        chips=replicas * layout.chips,
        batch=48.0,
        ttft_ms=about(612, 0.3, provenance),
        itl_ms=about(itl, provenance=provenance),
        tokens_s=about(10_430, provenance=provenance),
        tokens_s_chip=about(652, provenance=provenance),
        usd_hour=None if usd is None else 83.2,
        usd_million_tokens=None if usd is None else about(usd),
        joules_token=about(1.31),
        power_kw=about(13.7),
        memory=MEMORY,
        terms=TERMS,
        price_kind=None if usd is None else PriceKind.ON_DEMAND,
        prefill_layout=prefill[1] if prefill else None,
        prefill_workers=prefill[0] if prefill else 0,
        decode_workers=1 if prefill else 0,
    )


def front_of(name: str, cost: float | None, speed: float) -> tuple[Point, ...]:
    return tuple(
        Point(
            chip=name,
            tokens_s_user=speed / (1 + batch / 40),
            tokens_s_chip=speed * batch / (1 + batch / 40) / 8,
            usd_million_tokens=None if cost is None else cost * (0.4 + 30 / batch),
            layout=EIGHT,
            batch=float(batch),
        )
        for batch in (8, 16, 32, 64, 128, 256)
    )


SERVING_JOB = ServingJob(
    architecture=MODEL,
    input_tokens=4000,
    output_tokens=500,
    rate=20,
    ttft_limit_ms=800,
    itl_limit_ms=40,
)


def serving_quote(**changes: object) -> Quote:
    disaggregated = (3, Layout(tensor=2, expert_tensor=2))
    quote = {
        "id": "quote-8c1f",
        "job": SERVING_JOB,
        "plans": (
            serving_plan(),
            serving_plan(
                usd=0.98, itl=20.1, layout=Layout(data=8, expert=8), prefill=disaggregated
            ),
            serving_plan("b200", usd=1.04, itl=14.2, layout=Layout(tensor=4, expert_tensor=4)),
            serving_plan("h100", usd=1.41, itl=27.0, replicas=3),
            serving_plan("trainium2", usd=None, itl=36.0, provenance=Provenance.SPEC_EXTRAPOLATED),
        ),
        "refusals": (
            Refusal("h100", "TP1", "does not fit: needs 142.5 GiB a chip, h100 has 80"),
            Refusal("h100", "PP2", "does not fit: needs 81 GiB a chip, h100 has 80"),
            Refusal("h100", "TP2", "ITL 61 ms, the limit is 40"),
            Refusal("trainium2", "TP4", "ITL 44 ms, the limit is 40"),
            Refusal("trainium2", "TP8", "ITL 52.5 ms, the limit is 40"),
            Refusal("trainium2", "TP16", "ITL 71 ms, the limit is 40"),
            Refusal("trainium2", "TP32", "ITL 90 ms, the limit is 40"),
        ),
        "front": (
            *front_of("h200", 1.9, 110),
            *front_of("b200", 2.0, 165),
            *front_of("h100", 2.6, 95),
            *front_of("trainium2", None, 60),
        ),
        "warnings": ("The price of p5en.48xlarge was read 150 days ago (2026-06-25).",),
    }
    return Quote(**{**quote, **changes})  # type: ignore[arg-type]


TRAINING_JOB = TrainingJob(
    architecture=MODEL,
    tokens=2e12,
    sequence=8192,
    global_batch_tokens=4e6,
    deadline_days=30,
)


def training_plan(
    name: str = "h200", *, usd: float | None = 5.1e6, chips: int = 1024
) -> TrainingPlan:
    return TrainingPlan(
        chip=name,
        server="p5en.48xlarge" if name == "h200" else None,
        layout=Layout(tensor=8, pipeline=4, data=chips // 32, virtual=5),
        chips=chips,
        micro_batch=1,
        recompute=Recompute.SELECTIVE,
        sharding=Sharding.ZERO1,
        step_s=about(4.31),
        mfu=about(0.412),
        tflops_chip=about(407),
        tokens_s=about(928_000),
        days=about(25.6),
        goodput=0.957,
        failures_day=1.21,
        checkpoint_interval_s=2040,
        usd=None if usd is None else about(usd),
        mwh=about(812),
        power_kw=about(1320),
        memory=(Share("weights", 4.1), Share("gradients", 8.2), Share("activations", 41.0)),
        terms=(
            Term("forward", "multiplications", 1.02, 4.1e14, 2.2e12),
            Term("forward", "attention scores", 0.11, 3.1e13, 4e11),
            Term("forward", "tensor-parallel collectives", 0.21),
            Term("backward", "multiplications", 2.05, 8.2e14, 4.4e12),
            Term("backward", "attention scores", 0.3, 7.7e13, 9e11),
            Term("backward", "tensor-parallel collectives", 0.3),
            Term("step", "pipeline bubble", 0.19),
            Term("step", "data-parallel collectives", 0.09),
            Term("step", "optimizer", 0.04, 2e9, 6e10),
        ),
        price_kind=None if usd is None else PriceKind.ON_DEMAND,
    )


def training_quote(**changes: object) -> Quote:
    quote = {
        "id": "quote-77aa",
        "job": TRAINING_JOB,
        "plans": (training_plan(), training_plan("b200", usd=5.6e6, chips=512)),
        "refusals": (Refusal("trainium2", "any", "needs 61 days with 4096 chips, asked for 30"),),
        "front": (),
        "warnings": (),
    }
    return Quote(**{**quote, **changes})  # type: ignore[arg-type]
