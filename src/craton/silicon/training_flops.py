"""Multiplications a token of training takes, counted as the software that trains reports them."""

import msgspec

from craton.silicon.architecture import Architecture, Experts, LayerGroup
from craton.silicon.case import TrainingCase
from craton.silicon.layout import Layout
from craton.silicon.operations import Formats, Kind, Pass, forward
from craton.silicon.training_family import Family, family_of

_WHOLE_MASK = frozenset({Family.MEGATRON_2022, Family.FSDP})
"""Families that report attention as if no token were masked: Narayanan et al. (arXiv:2104.04473),
equation 3, and llm-foundry's benchmark tables. The others report the causal half."""


def trained(architecture: Architecture) -> Architecture:
    """The architecture with its layers of multi-token prediction among the others.

    Such a layer is like the model's last; of a hybrid, where a layer either mixes tokens or works
    on each, it is a layer of attention and one of experts (as in Nemotron 3).
    """
    extra = architecture.draft_layers
    if not extra:
        return architecture
    groups = list(architecture.groups)
    wholes = [i for i, group in enumerate(groups) if group.mixer and group.feed_forward]
    if wholes:
        chosen = [wholes[-1]]
    else:
        experts = [i for i, group in enumerate(groups) if isinstance(group.feed_forward, Experts)]
        mixers = [i for i, group in enumerate(groups) if group.mixer is not None]
        chosen = [*mixers[-1:], *experts[-1:]]
    for i in chosen:
        groups[i] = LayerGroup(groups[i].count + extra, groups[i].mixer, groups[i].feed_forward)
    return msgspec.structs.replace(architecture, groups=tuple(groups))


def logits_passes(architecture: Architecture) -> float:
    """Times the output matrix is applied to a token: once, and once a layer of prediction."""
    return 1.0 + architecture.draft_layers


def model_flops_token(case: TrainingCase) -> float:
    """Floating-point operations one token takes forward and backward, nothing computed again.

    A multiply-add is two; backward is twice forward. The embedding isn't multiplied.
    """
    sequence = float(case.sequence)
    one = Pass(tokens=sequence, sequences=1.0, cached=0.0, logits=sequence)
    mask = 2.0 if family_of(case) in _WHOLE_MASK else 1.0
    flops = 0.0
    for operation in forward(trained(case.architecture), Layout(), Formats(), one):
        share = mask if operation.kind is Kind.ATTENTION else 1.0
        if operation.name == "logits":
            share = logits_passes(case.architecture)
        flops += operation.count * float(operation.flops) * share
    return 3.0 * flops / sequence
