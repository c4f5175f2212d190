"""A small model, dense or of experts, trained on eight chips: a test changes what it is about."""

import msgspec

from craton.silicon.architecture import Architecture, Dense, Experts, GroupedQuery, LayerGroup
from craton.silicon.case import TrainingCase
from craton.silicon.catalogue import load_catalogue
from craton.silicon.layout import Layout

H100 = load_catalogue().chip("h100")
ATTENTION = GroupedQuery(heads=8, kv_heads=8, head_size=128)
DENSE = Architecture("small", 1024, 32_000, (LayerGroup(4, ATTENTION, Dense(4096)),))
EXPERTS = Architecture(
    "mixed", 1024, 32_000, (LayerGroup(4, ATTENTION, Experts(count=64, active=4, width=512)),)
)


def case(architecture: Architecture = DENSE, **changes: object) -> TrainingCase:
    whole = TrainingCase(
        architecture=architecture,
        chip=H100,
        layout=Layout(data=8),
        chips=8,
        micro_batch=2,
        global_batch=64,
        sequence=2048,
        framework="megatron",
    )
    return msgspec.structs.replace(whole, **changes)
