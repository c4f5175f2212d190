"""All measured serving rows at once, so that a fit can try many figures: one flat array a quantity.

The arithmetic is the package's own (`efficiency.one_operation`, `queueing`); here it only runs over
the operations of all rows together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from benchmarks.silicon.data_serving import Measured
from craton.silicon.efficiency import one_operation
from craton.silicon.queueing import Flow, Server, closed_loop, disaggregated, joined
from craton.silicon.serving import Parts, take_apart, transfer_s
from craton.silicon.serving_demand import COLLECTIVES, KINDS, WIDTHS, Demand
from craton.silicon.serving_fit import ServingFit

Numbers = NDArray[np.float64]

PASSES = ("decode_one", "decode_all", "prefill_one", "prefill_full")
"""The passes of a row."""

FLAT = ("multiply_s", "weights_s", "data_s", "sending_s", "latency_s")


@dataclass(frozen=True, slots=True)
class Flat:
    """The operations of one pass of all rows."""

    row: NDArray[np.intp]
    figure: NDArray[np.intp]
    """Multiplying: which figure of its kind, width and family, as an index in `Table.names`."""
    moved: NDArray[np.intp]
    kernel: NDArray[np.intp]
    family: NDArray[np.intp]
    launch: NDArray[np.intp]
    links: NDArray[np.intp]
    latency: NDArray[np.intp]
    count: Numbers
    kernels: Numbers
    multiply_s: Numbers
    moved_s: Numbers
    sending_s: Numbers
    latency_s: Numbers


@dataclass(frozen=True, slots=True)
class Rows:
    """One element a row."""

    in_flight: Numbers
    running: Numbers
    in_group: Numbers
    passes_one: Numbers
    prompts_full: Numbers
    output: Numbers
    groups: Numbers
    prompt: Numbers
    apart: NDArray[np.bool_]
    prefill_workers: Numbers
    decode_workers: Numbers
    transfer_s: Numbers
    software: Mapping[str, NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Table:
    """Everything a fit needs of the measured rows."""

    measured: Sequence[Measured]
    parts: Sequence[Parts]
    names: tuple[str, ...]
    passes: Mapping[str, Flat]
    rows: Rows
    ttft_s: Numbers
    tpot_s: Numbers

    def select(self, keep: NDArray[np.bool_]) -> "Table":
        """The rows kept, as a table of their own."""
        at = np.cumsum(keep) - 1

        def flat(each: Flat) -> Flat:
            mine = keep[each.row]
            values = {f.name: getattr(each, f.name)[mine] for f in fields(Flat)}
            return Flat(**(values | {"row": at[values["row"]]}))

        rows = {f.name: getattr(self.rows, f.name) for f in fields(Rows)}
        software = {name: index[keep] for name, index in rows.pop("software").items()}
        return Table(
            [each for each, kept in zip(self.measured, keep, strict=True) if kept],
            [each for each, kept in zip(self.parts, keep, strict=True) if kept],
            self.names,
            {name: flat(each) for name, each in self.passes.items()},
            Rows(**{name: value[keep] for name, value in rows.items()}, software=software),
            self.ttft_s[keep],
            self.tpot_s[keep],
        )


SOFTWARE = (
    "step", "sequence", "request", "input", "wait", "prompt", "token", "fused", "first_wave",
)  # fmt: skip


def tabulate(
    measured: Sequence[Measured], fit: ServingFit, families: Mapping[str, str], names: Sequence[str]
) -> Table:
    """Walk the passes of every row. `families` of chips; `names` of figures as `figure_names`."""
    index = {name: position for position, name in enumerate(names)}
    parts = [
        take_apart(each.case, fit, np.array([each.case.concurrency or 1.0])) for each in measured
    ]
    groups = [(families[each.system], each.framework) for each in measured]
    demands = {
        "decode_one": [each.decode.one for each in parts],
        "decode_all": [each.decode.all for each in parts],
        "prefill_one": [each.prefill.one for each in parts],
        "prefill_full": [each.prefill.full for each in parts],
    }
    return Table(
        measured,
        parts,
        tuple(names),
        {name: _flat(each, groups, index) for name, each in demands.items()},
        _rows(measured, parts, groups, index),
        np.array([each.ttft_ms for each in measured]) / 1e3,
        np.array([each.tpot_ms for each in measured]) / 1e3,
    )


def _flat(
    demands: Sequence[Demand], groups: Sequence[tuple[str, str]], index: Mapping[str, int]
) -> Flat:
    row = np.repeat(np.arange(len(demands)), [len(each.kind) for each in demands])
    columns: dict[str, list[int]] = {name: [] for name in "fmkghla"}
    for each, (family, framework) in zip(demands, groups, strict=True):
        for kind, width in zip(each.kind, each.width, strict=True):
            name = KINDS[kind]
            sends = name in COLLECTIVES
            multiply = "multiply-gemm-16" if sends else f"multiply-{name}-{WIDTHS[width]}"
            memory = "memory-gemm" if sends else f"memory-{name}"
            columns["f"].append(index[f"{multiply}|{family}"])
            columns["m"].append(index[f"{memory}|{family}"])
            kernel = "kernel-collective" if sends else f"kernel-{name}"
            columns["k"].append(index[f"{kernel}|{framework}"])
            columns["g"].append(index[f"kernel|{family}"])
            columns["h"].append(index[f"launch|{framework}"])
            columns["l"].append(index[f"links|{family}"])
            columns["a"].append(index[f"latency|{family}"])
    values = {
        name: np.concatenate([getattr(each, name)[:, 0] for each in demands]) for name in FLAT
    }
    return Flat(
        row,
        *(np.array(columns[name], dtype=np.intp) for name in "fmkghla"),
        np.concatenate([each.count for each in demands]),
        np.concatenate([each.kernels for each in demands]),
        values["multiply_s"],
        values["weights_s"] + values["data_s"],
        values["sending_s"],
        values["latency_s"],
    )


def _rows(
    measured: Sequence[Measured],
    parts: Sequence[Parts],
    groups: Sequence[tuple[str, str]],
    index: Mapping[str, int],
) -> Rows:
    def column(values: list[float]) -> Numbers:
        return np.array(values, dtype=np.float64)

    pools = [(each.case.prefill, each.case.decode) for each in measured]
    return Rows(
        column([float(each.in_flight[0]) for each in parts]),
        column([float(each.running[0]) for each in parts]),
        column([max(float(p.decode.in_pass[0]) / p.work.layout.data, 1.0) for p in parts]),
        column([each.prefill.passes_one for each in parts]),
        column([float(np.ravel(each.prefill.prompts_full)[0]) for each in parts]),
        column([each.case.output_tokens for each in measured]),
        column([float(each.work.layout.data) for each in parts]),
        column([each.case.input_tokens for each in measured]),
        np.array([each.case.decode is not None for each in measured]),
        column([float(pool[0].workers) if pool[0] else 1.0 for pool in pools]),
        column([float(pool[1].workers) if pool[1] else 1.0 for pool in pools]),
        column([transfer_s(each.case) for each in measured]),
        {
            name: np.array([index[f"{name}|{framework}"] for _, framework in groups])
            for name in SOFTWARE
        },
    )


def pass_seconds(flat: Flat, figures: Numbers, rows: int, *, launched: bool) -> Numbers:
    """Seconds of one pass of every row at these figures; `launched` as `Clockwork.launched`."""
    each = flat.count * one_operation(
        flat.multiply_s,
        flat.moved_s,
        flat.sending_s,
        flat.latency_s,
        multiply=figures[flat.figure],
        memory=figures[flat.moved],
        fixed_s=flat.kernels * figures[flat.kernel] * figures[flat.family] * 1e-6,
        links=figures[flat.links],
        latency=figures[flat.latency],
    )
    chips = np.bincount(flat.row, each, rows)
    if not launched:
        return chips
    host = np.bincount(flat.row, flat.count * flat.kernels * figures[flat.launch] * 1e-6, rows)
    return joined(chips, host)


def flows(table: Table, figures: Numbers) -> Flow:
    """What a request of every row sees at these figures."""
    rows = table.rows
    size = len(table.measured)
    seconds = {
        name: pass_seconds(flat, figures, size, launched=name.startswith("prefill"))
        for name, flat in table.passes.items()
    }
    software = {name: figures[index] for name, index in rows.software.items()}
    step = software["step"] * 1e-3
    sequence = software["sequence"] * 1e-6
    server = Server(
        decode_one_s=seconds["decode_one"] + step + sequence,
        decode_s=seconds["decode_all"] + step + sequence * rows.in_group,
        prefill_one_s=(seconds["prefill_one"] + step + sequence) * rows.passes_one,
        prefill_full_s=seconds["prefill_full"] + step + sequence,
        prompts_full=rows.prompts_full,
        fused=np.minimum(software["fused"], 1.0),
        first_wave=np.minimum(software["first_wave"], 1.0),
        request_s=software["request"] * 1e-3 + software["input"] * rows.prompt * 1e-6,
        wait_steps=software["wait"],
        host_s=(software["prompt"] * rows.prompt + software["token"] * rows.output)
        * 1e-6
        / rows.groups,
    )
    one = closed_loop(server, rows.in_flight, rows.running, rows.output)
    two = disaggregated(
        server,
        server,
        rows.in_flight,
        rows.running,
        rows.output,
        prefill_workers=rows.prefill_workers,
        decode_workers=rows.decode_workers,
        transfer_s=rows.transfer_s,
    )
    return Flow(
        *(
            np.where(rows.apart, getattr(two, each.name), getattr(one, each.name))
            for each in fields(Flow)
        )
    )
