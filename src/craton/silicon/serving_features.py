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
    crowd: Numbers,
    filled: Numbers,
    alone_s: Numbers,
    asked: Demand,
    seconds: Numbers,
) -> Mapping[str, Numbers]:
    """All features; `asked` and `seconds` are the decode step's, `running` a replica's requests.

    `crowd` are the requests whose prompts could be ahead of one on its server, `filled` those in
    flight over those that memory holds, `alone_s` the passes of one prompt that nothing delays.
    """
    layout, architecture = case.layout, case.architecture
    first_s = np.maximum(flow.ttft_s, LEAST_S)
    log_filled = np.log2(np.minimum(np.maximum(filled, FILLED_LEAST), FILLED_MOST))
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
        "log_filled": log_filled,
        "near_full": np.maximum(log_filled + 1.0, 0.0),
        "log_wait": np.log2(first_s / np.maximum(flow.prompt_s + flow.step_s, LEAST_S)),
        "log_slack": np.log2(np.maximum(crowd * flow.prompt_s, LEAST_S) / first_s),
        "share_prompt": np.minimum(alone_s / first_s, 1.0),
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


LEAST_S = 1e-9
"""What divides or is put into a logarithm is at least as long."""
FILLED_LEAST, FILLED_MOST = 1e-5, 16.0
"""Requests in flight over those that memory holds: what lies beyond counts as this."""

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
