"""How long one serving search takes on one core, and how much it looks at.

    OMP_NUM_THREADS=1 python -m benchmarks.silicon.search

Seconds are of processor time, of all threads, with the process held to one core; the least of three
searches, and the first of them, in which nothing has been worked out before. Each search covers
every split of replicas of up to 32 chips (tensor, pipeline, attention data and expert parallelism),
every power of two of requests in flight, and prefill and decode both together and apart.
`planner_serving.tabulate` times one split at all its batches; its calls are counted.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from unittest import mock

from craton.silicon import planner_serving
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.models import find_model
from craton.silicon.offer import Offer, offers
from craton.silicon.operations import Formats
from craton.silicon.planner_serving import plan_serving
from craton.silicon.power import load_site
from craton.silicon.precision import Precision
from craton.silicon.quote import ServingJob
from craton.silicon.replica import GROUP_BATCHES, tabulate
from craton.silicon.splits import replica_sizes, serving_layouts
from craton.silicon.walks import Walks

CHIPS = 32
MODELS = ("llama-3.1-70b", "deepseek-v3")
"""One dense, one of experts."""
CHIP = "h200"
ONE_CHIP_GOAL_S, ALL_CHIPS_GOAL_S = 1.0, 10.0
REPETITIONS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """One search, repeated."""

    model: str
    chips: str
    pruned: bool
    both: bool
    """Whether phases apart were tried, too: then no split is passed over for being slow."""
    first_s: float
    least_s: float
    splits: int
    """That keep the rules of parallelism."""
    worked_out: int
    """Of these, timed at every batch: the others were passed over by a bound."""
    plans: int

    @property
    def batches(self) -> int:
        """Set-ups timed."""
        return self.worked_out * len(GROUP_BATCHES)


def job_of(model: str, *, both: bool = True) -> ServingJob:
    """The load of the benchmark: 20 requests a second of 4,000 tokens, answers of 500, in fp8."""
    return ServingJob(
        find_model(model),
        input_tokens=4000,
        output_tokens=500,
        rate=20,
        formats=Formats(weights=Precision.FP8, experts=Precision.FP8),
        ttft_limit_ms=2000,
        itl_limit_ms=40,
        chips_limit=CHIPS,
        disaggregated=both,
    )


def time_search(
    job: ServingJob, offered: Sequence[Offer], *, pruned: bool, clock: Callable[[], float]
) -> Timing:
    """Search all offers, and count in the last search what was looked at."""

    def search() -> tuple[float, int]:
        start, walks = clock(), Walks(job.architecture)
        found = [
            plan
            for offer in offered
            for plan in plan_serving(job, offer, pruned=pruned, walks=walks)[0]
        ]
        return clock() - start, len(found)

    seconds = [search()[0] for _ in range(REPETITIONS - 1)]
    with mock.patch.object(planner_serving, "tabulate", wraps=tabulate) as looked:
        last, plans = search()
    seconds.append(last)
    splits = sum(
        1
        for offer in offered
        for size in replica_sizes(CHIPS)
        for _ in serving_layouts(job.architecture, offer.chip, size)
    )
    return Timing(
        job.architecture.name,
        offered[0].chip.name if len(offered) == 1 else f"all {len(offered)}",
        pruned,
        job.disaggregated,
        seconds[0],
        min(seconds),
        splits,
        looked.call_count,
        plans,
    )


def timings(
    catalogue: Catalogue, today: date, clock: Callable[[], float], *, unpruned: bool = True
) -> Iterator[Timing]:
    """Both models, on one chip and on all, pruned and, if wanted, not."""
    one = offers(catalogue, [CHIP], None, load_site(), today)
    every = offers(catalogue, None, None, load_site(), today)
    for offered in (one, every):
        for model in MODELS:
            for both in (True, False) if unpruned else (True,):
                for pruned in (True, False) if unpruned else (True,):
                    job = job_of(model, both=both)
                    yield time_search(job, offered, pruned=pruned, clock=clock)


def hold_to_one_core() -> None:
    """Where the system can, keep this process on the first core it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only as users search: pruned, both")
    options = parser.parse_args()
    hold_to_one_core()
    catalogue, today = load_catalogue(), datetime.now(UTC).date()
    print(f"Seconds of one core's time; replicas of up to {CHIPS} chips.")
    print(
        f"{'model':14} {'chips':8} {'phases':8} {'bounds':7} {'first':>7} {'least':>7} {'goal':>5}"
        f" {'splits':>7} {'timed':>6} {'set-ups':>8} {'plans':>6}"
    )
    for each in timings(catalogue, today, time.process_time, unpruned=not options.quick):
        goal = ONE_CHIP_GOAL_S if each.chips == CHIP else ALL_CHIPS_GOAL_S
        print(
            f"{each.model:14} {each.chips:8} {'both' if each.both else 'together':8}"
            f" {'yes' if each.pruned else 'no':7}"
            f" {each.first_s:7.2f} {each.least_s:7.2f} {goal:5.0f} {each.splits:7,d}"
            f" {each.worked_out:6,d} {each.batches:8,d} {each.plans:6d}",
            flush=True,
        )


if __name__ == "__main__":
    main()
