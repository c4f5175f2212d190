"""What a million tokens take on a chip: the planner's answers that the page of claims compares.

They are kept in chip-hours, because chips have several prices and some have none: dollars are
chip-hours times what an hour costs, and a chip without a price has one at which it draws level.
"""

from collections.abc import Iterable, Iterator

import msgspec

from craton.silicon.architecture import Architecture
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import Chip, PriceKind
from craton.silicon.estimate import Estimate
from craton.silicon.models import find_model
from craton.silicon.offer import Offer
from craton.silicon.operations import Formats
from craton.silicon.planner_serving import plan_serving
from craton.silicon.power import Site
from craton.silicon.precision import Precision
from craton.silicon.prices import ChipHour
from craton.silicon.quote import ServingJob
from craton.silicon.rows import Row, formats_of
from craton.silicon.walks import Walks

NVIDIA = ("a100", "h100", "h200", "b200", "b300", "gb200")
NEURON_CHIPS = ("trainium1", "trainium2", "trainium3")
ALIKE_CHIPS = ("trainium2", "trainium3")
"""Chips that are also planned as if their software were as good as a GPU's."""

DENSE = ("llama-3.1-8b", "qwen3-32b", "llama-3.1-70b")
MODELS = (*DENSE, "gpt-oss-120b", "deepseek-v3")
FRAMEWORK = "vllm"
"""It serves on all of these chips, and GPUs were measured with it."""
SERVER_CHIPS_LEAST = 8
"""Replicas span chips: servers of fewer have no fast links to others."""


class TokenLoad(msgspec.Struct, frozen=True):
    """Requests to be served, and how fast."""

    name: str
    input_tokens: float
    output_tokens: float
    ttft_limit_ms: float | None = None
    itl_limit_ms: float | None = None
    rate: float = 200.0
    """Requests a second: enough that a chip more or less is no matter."""


LOADS = (
    TokenLoad("chat", 1000, 250, ttft_limit_ms=1000, itl_limit_ms=40),
    TokenLoad("documents", 8000, 500, ttft_limit_ms=5000, itl_limit_ms=60),
    TokenLoad("batch", 500, 2000),
)


class TokenCost(msgspec.Struct, frozen=True):
    """What a model takes on a chip under a load."""

    model: str
    load: str
    chip: str
    chip_hours: Estimate
    """Of a million output tokens."""
    alike: bool = False
    """As if the chip's software reached what servers on GPUs reach of theirs."""


def token_costs(
    catalogue: Catalogue, site: Site, models: Iterable[str] = MODELS
) -> Iterator[TokenCost]:
    """Every model under every load: each NVIDIA chip, each Trainium, and these as if alike.

    The best plan in chips, prefill and decode on the same ones. What no plan carries is left out.
    """
    whole = whole_servers(catalogue)
    asked = [(offer, False) for offer in _offers(whole, (*NVIDIA, *NEURON_CHIPS), site)]
    asked += [(offer, True) for offer in _offers(whole, ALIKE_CHIPS, site, alike=True)]
    for model in models:
        architecture = find_model(model)
        for load in LOADS:
            walks = Walks(architecture)
            for offer, alike in asked:
                job = _job(architecture, load, offer.chip)
                plans, _, _ = plan_serving(job, offer, walks=walks)
                for plan in plans:
                    assert plan.usd_million_tokens is not None, "the offer has a price"
                    yield TokenCost(model, load.name, plan.chip, plan.usd_million_tokens, alike)


def whole_servers(catalogue: Catalogue) -> Catalogue:
    """The catalogue without servers of a few chips."""
    kept = {
        name: server
        for name, server in catalogue.servers.items()
        if server.chips >= SERVER_CHIPS_LEAST
    }
    return Catalogue(catalogue.chips, kept, catalogue.unmeasured)


# At one dollar an hour, dollars are chip-hours.
_HOUR = ChipHour(1.0, PriceKind.OWNED, "a unit", None, estimate=False)


def _offers(
    catalogue: Catalogue, names: Iterable[str], site: Site, *, alike: bool = False
) -> Iterator[Offer]:
    """The chips in their largest servers; `alike` hides the maker, by whom software is told."""
    for chip in map(catalogue.chip, names):
        server = max(catalogue.servers_of(chip), key=lambda each: each.chips)
        known = msgspec.structs.replace(chip, vendor="") if alike else chip
        yield Offer(known, server, _HOUR, warning=None, site=site, curve=None)


def _job(architecture: Architecture, load: TokenLoad, chip: Chip) -> ServingJob:
    return ServingJob(
        architecture=architecture,
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        rate=load.rate,
        formats=native_formats(architecture, chip),
        ttft_limit_ms=load.ttft_limit_ms,
        itl_limit_ms=load.itl_limit_ms,
        framework=FRAMEWORK,
        disaggregated=False,
    )


def native_formats(architecture: Architecture, chip: Chip) -> Formats:
    """FP8 where the chip multiplies in it, else BF16, by the rules of `craton plan serve`."""
    is_narrow = chip.computes_in(Precision.FP8) is Precision.FP8
    precision = Precision.FP8 if is_narrow else Precision.BF16
    return formats_of(Row(id=0, kind="serve", chip=chip.name, precision=precision), architecture)
