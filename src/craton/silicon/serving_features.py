"""What tells serving set-ups apart, as numbers: the inputs of the corrections."""

from collections.abc import Mapping

import numpy as np

from craton.silicon.architecture import Architecture, Experts, Latent, Recurrent
from craton.silicon.case import ServingCase
from craton.silicon.operations import Kind
from craton.silicon.queueing import Flow
from craton.silicon.serving_demand import COLLECTIVES, KINDS, Demand, Numbers


def features(
    case: ServingCase,
    *,
    framework: str,
    family: str,
    flow: Flow,
    running: Numbers,
    asked: Demand,
    seconds: Numbers,
) -> Mapping[str, Numbers]:
    """All features; `asked` and `seconds` are the decode step's, `running` a replica's requests."""
    layout, architecture = case.layout, case.architecture
    named = {
        "log_running": np.log2(np.maximum(running / layout.data, 1.0)),
        "log_input": np.log2(case.input_tokens),
        "log_output": np.log2(max(case.output_tokens, 1.0)),
        "log_tensor": np.log2(layout.tensor),
        "log_data": np.log2(layout.data),
        "log_expert": np.log2(layout.expert),
        "log_active": np.log2(architecture.active_parameters()),
        "log_sparsity": np.log2(architecture.parameters() / architecture.active_parameters()),
        "bits": np.log2(case.formats.experts.bytes),
        "busy": flow.busy,
        "disaggregated": float(case.decode is not None),
        "latent": float(_mixes(architecture, Latent)),
        "recurrent": float(_mixes(architecture, Recurrent)),
        "experts": float(any(isinstance(g.feed_forward, Experts) for g in architecture.groups)),
        f"framework_{framework}": 1.0,
        f"family_{family}": 1.0,
    }
    named |= _shares(asked, seconds, flow.step_s)
    return _Defaulting({name: np.asarray(value, dtype=np.float64) for name, value in named.items()})


GROUPS = ("framework_", "family_")
"""Begins of features that are 1 for one framework or family of chips and 0 for all others."""


class _Defaulting(dict[str, Numbers]):
    """A framework or a family that isn't the set-up's is zero."""

    def __missing__(self, name: str) -> Numbers:
        if not name.startswith(GROUPS):
            raise KeyError(name)
        return np.zeros(())


def _mixes(architecture: Architecture, kind: type[Latent] | type[Recurrent]) -> bool:
    return any(isinstance(group.mixer, kind) for group in architecture.groups)


def _shares(asked: Demand, seconds: Numbers, step_s: Numbers) -> dict[str, Numbers]:
    """Parts of a decode step by what they are spent on."""
    total = np.maximum(step_s, 1e-9)

    parts = np.minimum(_SPENT_ON[:, asked.kind] @ seconds / total, 1.0)
    return dict(zip(_SHARES, parts, strict=True))


_SHARES = {
    "share_attention": (Kind.ATTENTION, Kind.RECURRENCE),
    "share_experts": (Kind.EXPERTS,),
    "share_links": COLLECTIVES,
}
_SPENT_ON = np.array([[float(kind in kinds) for kind in KINDS] for kinds in _SHARES.values()])
