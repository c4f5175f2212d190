"""What the parts of a training step multiply and move, for the roofline.

Of one rank and a whole step, on the mean pipeline stage. Bytes are the least there are: each
operand once a pass. What is sent between ranks isn't among them.
"""

from typing import NamedTuple

from craton.silicon.case import TrainingCase
from craton.silicon.training_demand import Demand, demand_of, specification_of
from craton.silicon.training_time import ATTENTION_BACKWARD, BACKWARD


class Work(NamedTuple):
    """Multiplications and memory traffic."""

    flops: float = 0.0
    data_bytes: float = 0.0


def work_of(case: TrainingCase) -> dict[str, Work]:
    """Work by part, named as in `training_time.Timeline`; parts that only wait or send have none.

    BadRequest where the case's split can't be, Unsupported where the chip has no rate for it.
    """
    demand = demand_of(case)
    forward = _forward(case, demand)
    turns = float(demand.micro_batches)
    found = {
        name: Work(
            turns * work.flops * (1.0 + (ATTENTION_BACKWARD if name == "attention" else BACKWARD)),
            turns * work.data_bytes * (1.0 + BACKWARD),
        )
        for name, work in forward.items()
    }
    layers = [work for name, work in forward.items() if name != "logits"]
    again, inside = float(demand.recompute), float(demand.scores_again)
    attention = forward["attention"]
    found["recompute"] = Work(
        turns * (again * sum(work.flops for work in layers) + inside * attention.flops),
        turns * (again * sum(work.data_bytes for work in layers) + inside * attention.data_bytes),
    )
    bytes_s = specification_of(case).bytes_s
    found["optimizer"] = Work(0.0, float(demand.optimizer) * bytes_s)
    return found


def _forward(case: TrainingCase, demand: Demand) -> dict[str, Work]:
    """One micro-batch's forward pass: seconds at the specification, times the specification."""
    ideal = specification_of(case)
    rate, wide, bytes_s = ideal.flops_s, ideal.wide_flops_s, ideal.bytes_s
    stages = float(demand.stages)
    elementwise = demand.norm + demand.activation + demand.permute + demand.quantize
    return {
        "gemm": Work(
            float(demand.gemm * rate + demand.wide * wide), float(demand.gemm_memory * bytes_s)
        ),
        "experts": Work(
            float(demand.expert * rate),
            float((demand.expert_memory + demand.expert_weights) * bytes_s),
        ),
        "attention": Work(
            float((demand.attention + demand.recurrence) * wide),
            float((demand.attention_memory + demand.scores) * bytes_s),
        ),
        "elementwise": Work(0.0, float((elementwise + demand.recurrence_memory) * bytes_s)),
        # The output matrix is the last stage's alone.
        "logits": Work(
            float(demand.logits * wide) / stages, float(demand.logits_memory * bytes_s) / stages
        ),
    }
