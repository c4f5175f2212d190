"""Measured serving set-ups: read, put right, and filtered by rules that look at no estimate.

The rows are the `silicon_sample.csv` of the PyPI wheel aiconfigurator-core 0.12.0 (Apache-2.0):
time to first token and per output token as measured, most of them by InferenceX. `pip download`
brings the wheel into a cache folder; nothing of it is kept here.

What is put right, because the benchmark's own configuration file says otherwise:

- a split of k x k ranks whose experts are k-way both ways is k ranks (the sample multiplied the
  launch's `tp` and `ep`); the same where tp = dp = k and ep = k x k (vLLM with expert parallelism);
- experts of a model without any expert parallelism are split as the rest is.

What is left out, and why, is counted by `Left`.
"""

import csv
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from craton.kernel.errors import CratonError
from craton.silicon.case import Pool, ServingCase
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision
from craton.silicon.serving_memory import usual_cache

WHEEL = "aiconfigurator-core==0.12.0"
MEMBER = "silicon_sample.csv"
SPECULATIVE = Path(__file__).with_name("data") / "serving_speculative.json"

Fields = Mapping[str, str]

CHIPS = {
    "b200_sxm": "b200",
    "b300_sxm": "b300",
    "gb200": "gb200",
    "gb300": "gb300",
    "h100_sxm": "h100",
    "h200_sxm": "h200",
}

FORMATS = {"fp8": Precision.FP8, "fp4": Precision.NVFP4, "bf16": Precision.BF16}

LISTED = "listed with speculative decoding"

SETTLED = timedelta(days=7)
"""A set-up is listed at most this long after its first measurement."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One set-up and what was measured of it."""

    id: str
    case: ServingCase
    model: str
    """The architecture: the same weights, or other weights of the same shape, are one model."""
    published: str
    """The name the row goes by."""
    framework: str
    ttft_ms: float
    tpot_ms: float
    file: str
    """Where the sample has it from."""

    @property
    def system(self) -> str:
        """The chip's name."""
        return self.case.chip.name

    @property
    def is_dense(self) -> bool:
        """Whether no layer has experts."""
        return self.model in ("llama-3.1-8b", "qwen3-32b")


class Left(Counter[str]):
    """Rows left out, by reason."""


def obtain(cache: Path) -> Path:
    """The sample's file, downloaded on first use."""
    found = cache / MEMBER
    if not found.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest"]
        subprocess.run([*command, str(cache), WHEEL], check=True)
        wheel = next(cache.glob("aiconfigurator_core-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            name = next(each for each in archive.namelist() if each.endswith(MEMBER))
            found.write_bytes(archive.read(name))
    return found


def read(path: Path) -> list[Fields]:
    """All rows, as text by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def measured(
    rows: Iterable[Fields], *, known: Iterable[str], speculative: bool = False
) -> tuple[list[Measured], Left]:
    """The rows of the models `known` (as the sample names them) that can be used.

    With `speculative`, those of set-ups that were only listed with speculative decoding.
    """
    catalogue, left = load_catalogue(), Left()
    names = set(known)
    found: dict[tuple[object, ...], Measured] = {}
    for row in sorted(rows, key=_completeness):
        if row["model_path"] not in names:
            left["of a model that is held out"] += 1
            continue
        each = _read(row, catalogue, left, speculative=speculative)
        if each is None:
            continue
        case = each.case
        key = (
            each.model, case.chip.name, each.framework, case.formats, case.input_tokens,
            case.output_tokens, case.concurrency, case.layout, case.decode,
            round(each.ttft_ms, 1), round(each.tpot_ms, 2),
        )  # fmt: skip
        if key in found:
            left["the same measurement again"] += 1
        else:
            found[key] = each
    return _without_cached(_without_contradicted(list(found.values()), left), left), left


CONTRADICTED = 1.5
PEAK_AT_MOST = 0.6
"""Of the dense peak, over a whole run; training runs reach 0.55 (NVIDIA Megatron-Bridge)."""


def _without_contradicted(rows: list[Measured], left: Left) -> list[Measured]:
    """Leave out rows that a lower load of the very same set-up contradicts.

    More requests in flight never make a token faster. Where the sample says they do by half, tokens
    reached the client late and in bursts: the sum of both times is right, its parts are not.
    """
    slowest: dict[object, list[tuple[float, float]]] = {}
    for each in rows:
        slowest.setdefault(_set_up_of(each), []).append((_in_flight(each), each.tpot_ms))

    def contradicted(each: Measured) -> bool:
        return any(
            load <= _in_flight(each) / 2 and tpot > CONTRADICTED * each.tpot_ms
            for load, tpot in slowest[_set_up_of(each)]
        )

    kept = [each for each in rows if not contradicted(each)]
    left["contradicted by a lower load of the same set-up"] += len(rows) - len(kept)
    return kept


def _without_cached(rows: list[Measured], left: Left) -> list[Measured]:
    """Leave out files whose prompts cannot all have been computed.

    A file in which a row would have needed more than `PEAK_AT_MOST` of the chips' peak was measured
    with prompts from a cache, and says nothing of prefill.
    """
    cached = {each.file for each in rows if _utilisation(each) > PEAK_AT_MOST}
    kept = [each for each in rows if each.file not in cached]
    left["of a file with prompts from a cache"] += len(rows) - len(kept)
    return kept


def _in_flight(each: Measured) -> float:
    return each.case.concurrency or 0.0


def _set_up_of(each: Measured) -> object:
    case = each.case
    return (
        each.published, each.framework, case.chip.name, case.layout, case.prefill, case.formats,
        case.input_tokens, case.output_tokens,
    )  # fmt: skip


def _utilisation(each: Measured) -> float:
    case = each.case
    seconds = (each.ttft_ms + each.tpot_ms * (case.output_tokens - 1.0)) / 1e3
    tokens = (case.input_tokens + case.output_tokens) * _in_flight(each) / seconds
    peak = case.chips * case.chip.peak_tflops(case.formats.weights) * 1e12
    return tokens * 2.0 * case.architecture.active_parameters() / peak


def _completeness(row: Fields) -> int:
    # A row that says its image and its day settles what its copies leave open.
    return -len(re.findall(r"measured=|image=|db-dump", row["silicon_data_source"]))


def _read(row: Fields, catalogue: Catalogue, left: Left, *, speculative: bool) -> Measured | None:
    if "gtl_" in row["silicon_data_source"]:
        left["several workers behind a router, their number not told"] += 1
        return None
    architecture = find_model(row["model_path"])
    weights = FORMATS[row["precision"] or "bf16"]
    experts = Precision.MXFP4 if architecture.name.startswith("gpt-oss") else weights
    if architecture.name.startswith("gpt-oss"):
        weights = Precision.BF16
    try:
        set_up = _disaggregated(row) if row["mode"] == "disagg" else _aggregated(row)
        for each in (set_up.layout, *(pool.layout for pool in set_up.pools)):
            each.check_serving(architecture)
    except _Unusable as reason:
        left[str(reason)] += 1
        return None
    except CratonError:
        left["a split that cannot be"] += 1
        return None
    if architecture.draft_layers:
        doubt = _speculates(row, architecture.name, set_up)
        if doubt != (LISTED if speculative else ""):
            left[doubt or "listed without speculative decoding"] += 1
            return None
    elif speculative:
        left["without a draft head"] += 1
        return None
    prefill, decode = set_up.pools or (None, None)
    case = ServingCase(
        architecture=architecture,
        chip=catalogue.chip(CHIPS[row["system"]]),
        layout=set_up.layout,
        formats=Formats(
            weights=weights,
            experts=experts,
            cache=usual_cache(row["backend"], experts, catalogue.chip(CHIPS[row["system"]])),
        ),
        input_tokens=float(row["isl"]),
        output_tokens=float(row["osl"]),
        concurrency=set_up.concurrency,
        chips=set_up.chips,
        framework=row["backend"],
        framework_version=row["backend_version"] or None,
        speculative=speculative,
        prefill=prefill,
        decode=decode,
    )
    return Measured(
        row["id"], case, architecture.name, row["model_path"], row["backend"],
        float(row["silicon_ttft_ms"]), float(row["silicon_tpot_ms"]),
        row["silicon_data_source"].split(";")[0],
    )  # fmt: skip


class _Unusable(Exception):
    """Why a row can't be used."""


@dataclass(frozen=True, slots=True)
class _SetUp:
    layout: Layout
    concurrency: float
    chips: int
    pools: tuple[Pool, ...] = ()

    @property
    def split(self) -> str:
        """As in the table of speculative set-ups."""

        def one(layout: Layout) -> str:
            kind = "dp" if layout.data > 1 else "tp"
            return f"{layout.ranks}-{layout.expert}-{kind}"

        if not self.pools:
            return one(self.layout)
        return " ".join(f"{pool.workers}x{one(pool.layout)}" for pool in self.pools)


def _aggregated(row: Fields) -> _SetUp:
    tensor, data = _number(row["tp_size"]), _number(row["attention_dp_size"])
    expert_tensor, expert = _number(row["moe_tp_size"]), _number(row["moe_ep_size"])
    batch = float(row["batch_size"])
    concurrency = _concurrency(row) or batch * data
    if expert > 1 and expert_tensor == expert and tensor * data == expert * expert:
        tensor, data = (expert, 1) if data == 1 else (1, expert)
        expert_tensor = 1
    elif tensor == data > 1 and expert == tensor * data:
        data, expert, expert_tensor = 1, tensor, 1
    elif expert == expert_tensor == 1:
        expert_tensor = tensor * data
    if row["system"] in ("gb200", "gb300") and tensor > 8:
        raise _Unusable("prefill and decode apart, of which only the chips are told")
    layout = Layout(tensor=tensor, data=data, expert=expert, expert_tensor=expert_tensor)
    return _SetUp(layout, concurrency, layout.chips)


def _disaggregated(row: Fields) -> _SetUp:
    if not row["prefill_num_workers"] or not row["decode_num_workers"]:
        raise _Unusable("prefill and decode apart, the number of workers not told")
    concurrency = _concurrency(row)
    if concurrency is None:
        raise _Unusable("prefill and decode apart, the concurrency not told")
    pools = tuple(_pool(row, phase) for phase in ("prefill", "decode"))
    chips = sum(pool.workers * pool.layout.chips for pool in pools)
    return _SetUp(pools[1].layout, concurrency, chips, pools)


def _pool(row: Fields, phase: str) -> Pool:
    tensor, data = _number(row[f"{phase}_tp_size"]), _number(row[f"{phase}_attention_dp_size"])
    expert_tensor = _number(row[f"{phase}_moe_tp_size"])
    expert = _number(row[f"{phase}_moe_ep_size"])
    if expert == expert_tensor == 1:
        expert_tensor = tensor * data
    layout = Layout(tensor=tensor, data=data, expert=expert, expert_tensor=expert_tensor)
    batch = row[f"{phase}_batch_size"]
    workers = int(float(row[f"{phase}_num_workers"]))
    return Pool(workers, layout, int(float(batch)) if batch else None)


def _number(text: str) -> int:
    return max(int(float(text)), 1) if text else 1


def _concurrency(row: Fields) -> float | None:
    found = re.search(r"silicon_concurrency=(\d+)", row["silicon_data_source"])
    return float(found[1]) if found else None


@cache
def _table() -> Mapping[str, Mapping[str, Mapping[str, list[int]]]]:
    return json.loads(SPECULATIVE.read_text(encoding="utf-8"))["set_ups"]


def _speculates(row: Fields, model: str, set_up: _SetUp) -> str:
    """Why the row may be speculative; empty where its set-up was only listed without."""
    source = row["silicon_data_source"]
    if "gap-analysis" in source and row["backend"] == "trtllm":
        return ""  # aiconfigurator's own runs, of plain engines
    day = re.search(r"measured=(\d{4}-\d\d-\d\d)", source)
    latest = date.fromisoformat(day[1]) + SETTLED if day else date.max
    image = re.search(r"(?:lmsysorg|nvcr\.io|vllm)[/#][^; ]*", source)
    methods = set(_listed(row, model, set_up, image[0].replace("#", "/") if image else "", latest))
    if not methods and image:
        methods = set(_listed(row, model, set_up, "", latest))
    if methods == {"none"}:
        return ""
    if not methods:
        return "a model with a draft head, in a set-up that is not listed"
    if "none" in methods:
        return "listed with and without speculative decoding"
    return LISTED


def _listed(row: Fields, model: str, set_up: _SetUp, image: str, latest: date) -> Iterator[str]:
    framework = {"trtllm": "trt"}.get(row["backend"], row["backend"])
    head = (model, CHIPS[row["system"]], row["precision"] or "bf16", framework)
    tail = (row["isl"], row["osl"], set_up.split)
    for key, methods in _table().items():
        *start, listed_image, isl, osl, split = key.split("|")
        if (*start,) != head or (isl, osl, split) != tail or image not in ("", listed_image):
            continue
        for method, days in methods.items():
            for first, concurrencies in days.items():
                if date.fromisoformat(first) <= latest and set_up.concurrency in concurrencies:
                    yield method
