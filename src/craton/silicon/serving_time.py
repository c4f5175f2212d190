"""How long one pass of a replica takes: its operations, and the software's own time.

One call times every batch of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from craton.silicon.architecture import Architecture
from craton.silicon.chip import Chip, LinkLevel
from craton.silicon.efficiency import Rates, Software, operation_seconds, rates
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats, Pass, Quantity
from craton.silicon.precision import Precision
from craton.silicon.queueing import joined
from craton.silicon.serving_demand import Demand, Numbers, demand
from craton.silicon.serving_fit import ServingFit, load_serving_fit
from craton.silicon.walks import Walks


@dataclass(frozen=True, slots=True)
class Clockwork:
    """A replica under a framework: it times passes."""

    architecture: Architecture
    layout: Layout
    formats: Formats
    chip: Chip
    levels: tuple[LinkLevel, ...]
    gemm: Precision | None
    software: Software
    rates: Rates
    walks: Walks

    @property
    def chunk_tokens(self) -> int:
        """Prompt tokens a pass of one attention group takes, at most."""
        return self.software.chunk_tokens

    @property
    def fused(self) -> float:
        """Of a decode step's fixed part, what a prefill that runs with it saves."""
        return self.software.fused

    @property
    def first_wave(self) -> float:
        """Of all prompts in flight, the part that is ahead of one since requests go in step."""
        return self.software.first_wave

    def request_s(self, prompt: float) -> float:
        """A request waits on its way in and out, whatever the load; `prompt` in tokens."""
        return self.software.request_ms / 1e3 + self.software.input_us * prompt / 1e6

    def host_s(self, prompt: float, output: float) -> float:
        """The host's work on one request, beside the chips; each attention group has its own."""
        work_us = self.software.prompt_us * prompt + self.software.token_us * output
        return work_us / 1e6 / self.layout.data

    def demand(self, step: Pass, *, busy_groups: Quantity | None = None) -> Demand:
        """What a pass asks of a chip; `busy_groups` attention groups have tokens (default: all)."""
        walk = self.walks.walk(self.layout, self.formats, step, busy_groups)
        return demand(walk, self.layout, self.chip, levels=self.levels, gemm=self.gemm)

    def operations(self, asked: Demand) -> Numbers:
        """Seconds of each operation of one stage over a pass: a row each, a column a case."""
        return operation_seconds(asked, self.rates)

    def graphed(self, asked: Demand) -> Numbers:
        """Seconds of one stage's pass that replays a CUDA graph, as decode steps do."""
        return self.operations(asked).sum(axis=0)

    def launched(self, asked: Demand) -> Numbers:
        """Seconds of one stage's pass whose kernels the host launches, as in prefill."""
        host = (asked.count * asked.kernels).sum() * self.software.launch_us / 1e6
        return joined(self.graphed(asked), host)

    def seconds(self, step: Pass, *, busy_groups: Quantity | None = None) -> Numbers:
        """Seconds from a pass's begin to its tokens, one for each case in `step`."""
        asked = self.demand(step, busy_groups=busy_groups)
        decodes = np.all(np.asarray(step.new_a_sequence) <= 1.0)
        stage = self.graphed(asked) if decodes else self.launched(asked)
        # A token goes through all stages one after the other.
        return stage * self.layout.pipeline + self.overhead_s(step.sequences)

    def overhead_s(self, sequences: Quantity) -> Numbers:
        """What the software adds to a pass with that many sequences in a group."""
        each = self.software.sequence_us / 1e6 * np.asarray(sequences, dtype=np.float64)
        return self.software.step_ms / 1e3 + each


def clockwork(  # noqa: PLR0917 - a set-up in the order of a case
    architecture: Architecture,
    layout: Layout,
    formats: Formats,
    chip: Chip,
    levels: Sequence[LinkLevel] | None = None,
    framework: str | None = None,
    *,
    gemm: Precision | None = None,
    fit: ServingFit | None = None,
    walks: Walks | None = None,
) -> Clockwork:
    """The clockwork of one replica. `levels` are the server's links, the chip's own by default.

    `walks` of the same architecture may be shared by all chips.
    """
    fit = fit or load_serving_fit()
    software = fit.framework(framework)
    return Clockwork(
        architecture,
        layout,
        formats,
        chip,
        tuple(levels or chip.links),
        gemm,
        software,
        rates(fit.family(chip), software),
        walks or Walks(architecture),
    )


def step_seconds(work: Clockwork, sequences: Quantity, context: float) -> Numbers:
    """Decode steps with `sequences` in the replica, `context` tokens long on the mean."""
    groups = work.layout.data
    a_group = np.maximum(np.asarray(sequences, dtype=np.float64) / groups, 1.0)
    step = Pass(a_group, a_group, context, a_group)
    return work.seconds(step, busy_groups=np.minimum(sequences, groups))
