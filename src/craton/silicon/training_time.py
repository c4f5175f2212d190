"""How long a training step takes: its needs over what share of the specification is reached.

The time of a multiplication is what it computes over the reached rate plus what it moves over the
reached bandwidth. The sum, not the larger of the two, is what makes small and narrow
multiplications less efficient than large ones, as measured: 0.78 to 0.90 of peak on an A100 in
bf16, 0.50 to 0.61 on an H100 in fp8. The reached rate also falls with the watts a chip has for each
operation, because large multiplications are held back by power (`power_exponent`).
"""

from dataclasses import dataclass

import numpy as np

from craton.silicon.operations import Quantity
from craton.silicon.training_demand import Demand

EFFICIENCY_MAX = 0.95
"""No measured multiplication of any chip came closer to its peak."""

BACKWARD = 2.0
"""Multiplications backward for each one forward: by the weights, and for their gradients."""
ATTENTION_BACKWARD = 2.5
"""The same of fused attention, which computes its scores again."""

_HOST_SHARPNESS = 4.0
"""How sharply the slower of chip and host decides: the power of the norm that joins them."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What share of the specification is reached, and what is hidden behind what.

    Made by `training_coefficients` from the fitted file; members may be arrays, as in `Demand`.
    """

    gemm_efficiency: Quantity
    """Of the peak rate, before what the memory traffic costs."""
    expert_efficiency: Quantity
    expert_rows: Quantity
    """Tokens an expert needs to be multiplied at half the rate that many tokens reach."""
    gemm_passes: Quantity
    """Times the operands of a multiplication are moved: tiles read them again, narrow formats are
    cast and transposed."""
    expert_passes: Quantity
    wide_efficiency: Quantity
    attention_efficiency: Quantity
    memory_efficiency: Quantity
    norm_passes: Quantity
    """Times the residual stream is read and written around a norm."""
    activation_passes: Quantity
    permute_passes: Quantity
    quantize_passes: Quantity
    score_passes: Quantity
    recurrence_passes: Quantity
    launch_us: Quantity
    expert_launch_us: Quantity
    """Waiting for the counts of tokens, a layer."""
    local_expert_us: Quantity
    """Of each expert on a rank: its launches, its padding, its partly filled tiles."""
    tensor_exposed: Quantity
    """Seconds shown of an ideal second, where the rest is hidden; above 1 where links fall short.
    """
    tensor_latency: Quantity
    context_exposed: Quantity
    expert_near_exposed: Quantity
    expert_far_exposed: Quantity
    expert_far_interleaved: Quantity
    """The same, as a share, where a stage has several chunks: one computes while another sends."""
    send_exposed: Quantity
    data_near: Quantity
    """Seconds an ideal second of gradient or weight traffic really takes."""
    data_far: Quantity
    data_exposed: Quantity
    """Of that traffic, never hidden."""
    data_window: Quantity
    """Of a micro-batch's work, behind which the rest can hide."""
    ends_imbalance: Quantity
    """0 where stages are balanced around the output matrix, 1 where the last simply does more."""
    optimizer_passes: Quantity


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the seconds of a step go; they add up to `step`."""

    gemm: Quantity
    experts: Quantity
    attention: Quantity
    elementwise: Quantity
    """Everything that memory bandwidth limits: norms, nonlinearities, casts, permutations."""
    logits: Quantity
    recompute: Quantity
    host: Quantity
    """Waiting for launches."""
    tensor: Quantity
    context: Quantity
    expert: Quantity
    """Tokens on their way to experts."""
    send: Quantity
    bubble: Quantity
    data: Quantity
    optimizer: Quantity

    @property
    def step(self) -> Quantity:
        """Seconds in all."""
        return sum(self.parts().values(), start=0.0)

    def parts(self) -> dict[str, Quantity]:
        """Seconds by part, in the order above."""
        return {name: getattr(self, name) for name in self.__slots__}


def timeline_of(demand: Demand, rates: Rates) -> Timeline:
    """The seconds of one step, by part."""
    forward = _forward_parts(demand, rates)
    backward = {name: BACKWARD * seconds for name, seconds in forward.items()}
    backward["attention"] = ATTENTION_BACKWARD * forward["attention"]
    layers = sum((forward[name] for name in forward if name != "logits"), start=0.0)
    again = demand.recompute * layers
    inside = demand.scores_again * (forward["attention"] + forward["scores"])
    passes = 2.0 + demand.recompute
    tensor = passes * (
        demand.tensor * rates.tensor_exposed + demand.tensor_latency * rates.tensor_latency
    )
    context = (1.0 + passes) * demand.context * rates.context_exposed
    overlap = np.where(np.greater(demand.virtual, 1.0), rates.expert_far_interleaved, 1.0)
    exchange = passes * (
        demand.expert_near * rates.expert_near_exposed
        + demand.expert_far * rates.expert_far_exposed * overlap
        + demand.expert_latency
    )
    work = sum(forward.values(), start=0.0) + sum(backward.values(), start=0.0) + again + inside
    busy = work + tensor + context + exchange
    host = (1.0 + passes) * demand.kernels * rates.launch_us * 1e-6
    # Experts aren't launched before it is known how many tokens each got: that is waited for.
    apart = (
        demand.expert_kernels * rates.expert_launch_us
        + demand.local_experts * rates.local_expert_us
    )
    waits = (1.0 + passes) * apart * 1e-6
    unit = (busy**_HOST_SHARPNESS + host**_HOST_SHARPNESS) ** (1 / _HOST_SHARPNESS) + waits
    turns = demand.micro_batches

    def twice(name: str) -> Quantity:
        return turns * (forward[name] + backward[name])

    return Timeline(
        gemm=twice("gemm"),
        experts=twice("experts"),
        attention=twice("attention") + twice("scores"),
        elementwise=twice("elementwise"),
        logits=twice("logits"),
        recompute=turns * (again + inside),
        host=turns * (unit - busy),
        tensor=turns * tensor,
        context=turns * context,
        expert=turns * exchange,
        send=turns * 2.0 * demand.send * rates.send_exposed,
        bubble=(demand.stages - 1.0) / demand.virtual * unit,
        data=_data_parallel(demand, rates, unit),
        optimizer=demand.optimizer * rates.optimizer_passes / rates.memory_efficiency,
    )


def _forward_parts(demand: Demand, rates: Rates) -> dict[str, Quantity]:
    """Seconds of one micro-batch's forward pass on a stage."""
    memory = rates.memory_efficiency
    elementwise = (
        demand.norm * rates.norm_passes
        + demand.activation * rates.activation_passes
        + demand.permute * rates.permute_passes
        + demand.quantize * rates.quantize_passes
        + demand.recurrence_memory * rates.recurrence_passes
    )
    logits = demand.logits / rates.wide_efficiency + demand.logits_memory / memory
    share = 1.0 / demand.stages
    return {
        "gemm": demand.gemm / rates.gemm_efficiency
        + demand.wide / rates.wide_efficiency
        + demand.gemm_memory * rates.gemm_passes / memory,
        "experts": demand.expert
        / rates.expert_efficiency
        * (1.0 + rates.expert_rows / demand.expert_rows)
        + (demand.expert_memory * rates.expert_passes + demand.expert_weights) / memory,
        "attention": (demand.attention + demand.recurrence) / rates.attention_efficiency,
        "scores": demand.scores * rates.score_passes / memory,
        "elementwise": elementwise / memory,
        "logits": logits * (share + rates.ends_imbalance * (1.0 - share)),
    }


def _data_parallel(demand: Demand, rates: Rates, unit: Quantity) -> Quantity:
    """What is not hidden of reducing gradients and gathering weights."""
    reduce = demand.reduce_near * rates.data_near + demand.reduce_far * rates.data_far
    gather = demand.gather_near * rates.data_near + demand.gather_far * rates.data_far
    # Sharded weights are gathered forward and backward, and gradients scattered, each micro-batch.
    traffic = reduce + gather * (1.0 + demand.sharded)
    times = 1.0 + demand.sharded * (demand.micro_batches - 1.0)
    # Stages that wait in the pipeline have that time, too.
    window = unit * (1.0 + (demand.stages - 1.0) / demand.virtual)
    hidden = (1.0 - rates.data_exposed) * traffic - rates.data_window * window
    return times * (rates.data_exposed * traffic + np.maximum(hidden, 0.0))
