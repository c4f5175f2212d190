"""Rows of `craton plan predict`: fixed set-ups as people write them, read into cases.

A row names a model or carries its Hugging Face keys, a chip, a split and a load. What it leaves
out is filled in by rules that are stated here, once.
"""

from enum import StrEnum
from typing import Any, Literal, TypeVar

import msgspec

from craton.kernel.errors import BadRequest
from craton.silicon.architecture import Architecture
from craton.silicon.case import (
    Batching,
    Load,
    Pool,
    Recompute,
    ServingCase,
    Sharding,
    TrainingCase,
)
from craton.silicon.catalogue import Catalogue
from craton.silicon.chip import Chip
from craton.silicon.huggingface import read_config
from craton.silicon.layout import Layout
from craton.silicon.models import find_model
from craton.silicon.operations import Formats
from craton.silicon.precision import ALIASES, Precision
from craton.silicon.serving_memory import usual_cache

_Choice = TypeVar("_Choice", bound=StrEnum)


class PoolRow(msgspec.Struct, frozen=True):
    """One phase's workers in a row with `mode: "disagg"`."""

    workers: int = 1
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int | None = None
    moe_tp: int | None = None
    batch: int | None = None


class Row(msgspec.Struct, frozen=True):
    """A fixed set-up. Members it doesn't know are ignored."""

    id: str | int
    kind: Literal["serve", "train"]
    chip: str
    model: str | None = None
    arch: dict[str, Any] | None = None
    chips: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    cp: int | None = None
    moe_tp: int | None = None
    ranks_per_chip: int | None = None
    precision: str | None = None
    weight_precision: str | None = None
    kv_precision: str | None = None
    gemm_precision: str | None = None
    moe_precision: str | None = None
    framework: str | None = None
    framework_version: str | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    concurrency: float | None = None
    batching: str | None = None
    speculative: Any = None
    dataset: str | None = None
    mode: str | None = None
    prefill: PoolRow | None = None
    decode: PoolRow | None = None
    load: str | None = None
    ttft_limit_ms: float | None = None
    itl_limit_ms: float | None = None
    micro_batch: int | None = None
    global_batch: int | None = None
    sequence: int | None = None
    vp: int | None = None
    recompute: str | None = None
    sequence_parallel: bool | None = None
    sharding: str | None = None


def read_row(line: bytes | str) -> Row:
    """One line of JSON; BadRequest names what is wrong with it."""
    try:
        return msgspec.json.decode(line, type=Row)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"the row can't be read: {error}") from error


def row_id(line: bytes | str) -> str | int | None:
    """The id of a row that may be otherwise unreadable; None where it has none."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None
    if isinstance(found, dict):
        identifier: object = found.get("id")  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - any JSON
        return identifier if isinstance(identifier, str | int) else None
    return None


def architecture_of(row: Row) -> Architecture:
    """The model a row names, or carries."""
    if row.arch is not None:
        return read_config(row.arch, name=row.model or "the row's arch")
    if row.model is None:
        raise BadRequest("the row has neither 'model' nor 'arch'; name a model or give its config")
    return find_model(row.model)


def precision_of(text: str, member: str) -> Precision:
    """A format by any of its names; BadRequest lists them."""
    name = text.lower()
    if name in ALIASES:
        return ALIASES[name]
    try:
        return Precision(name)
    except ValueError:
        known = ", ".join([*Precision, *ALIASES])
        raise BadRequest(f"{member} {text!r} is not a precision; one of: {known}") from None


def formats_of(row: Row, architecture: Architecture, chip: Chip | None = None) -> Formats:
    """How the parts are stored: the row's `precision`, and what it says apart.

    Without `kv_precision` the cache is what servers usually set on the chip; the output matrix is
    in 16 bits, always. A model that is only published in mixed formats (gpt-oss: experts in MXFP4,
    the rest in 16 bits) keeps them unless the row says otherwise of just that part.
    """
    common = precision_of(row.precision or row.weight_precision or "bf16", "precision")
    weights = precision_of(row.weight_precision or common, "weight_precision")
    experts = precision_of(row.moe_precision or weights, "moe_precision")
    if architecture.name.startswith(MIXED):
        experts = experts if row.moe_precision else Precision.MXFP4
        weights = weights if weights.bytes > Precision.MXFP8.bytes else Precision.BF16
    wide = weights if weights in (Precision.FP32, Precision.FP16) else Precision.BF16
    if row.kv_precision is not None:
        cache = precision_of(row.kv_precision, "kv_precision")
    else:
        usual = usual_cache(row.framework, experts, chip) if chip is not None else wide
        cache = usual if usual is Precision.FP8 else wide
    return Formats(weights=weights, experts=experts, cache=cache, output=wide, activations=wide)


MIXED = "gpt-oss"
"""Models published in one mixture of formats only (arXiv:2508.10925, section 2.1)."""


def _layout(row: Row | PoolRow, *, ranks_per_chip: int) -> Layout:
    tensor, data = row.tp or 1, row.dp or 1
    experts = (row.ep or 1) * (row.moe_tp or 1)
    if row.dp is None and experts > tensor:
        # Servers split the rest of the layer over the ranks of the experts unless told otherwise.
        tensor = experts
    ranks = tensor * data
    expert = row.ep
    if expert is None:
        expert = max(ranks // row.moe_tp, 1) if row.moe_tp else 1
    # What is below 1 is refused by the layout's own rules.
    expert_tensor = row.moe_tp or max(ranks // max(expert, 1), 1)
    return Layout(
        tensor=tensor,
        pipeline=row.pp or 1,
        data=data,
        expert=expert,
        expert_tensor=expert_tensor,
        context=(row.cp or 1) if isinstance(row, Row) else 1,
        ranks_per_chip=ranks_per_chip,
    )


def _choice(kind: type[_Choice], text: str, member: str) -> _Choice:
    try:
        return kind(text.lower())
    except ValueError:
        raise BadRequest(f"{member} {text!r} is not one of: {', '.join(kind)}") from None


LEAST, LARGEST = 1e-6, 1e12
"""No count in a row is above it; what is, is a slip or an attack on the arithmetic."""


def _needed(value: float | None, member: str, kind: str) -> float:
    if value is None:
        raise BadRequest(f"a {kind} row needs {member!r}")
    if not LEAST <= value <= LARGEST:
        raise BadRequest(f"{member} is {value}; it is above 0 and at most {LARGEST:g}")
    return value


def _given(value: float | None, member: str, kind: str) -> float | None:
    return None if value is None else _needed(value, member, kind)


def serving_case(row: Row, architecture: Architecture, catalogue: Catalogue) -> ServingCase:
    """The case of a `serve` row whose split is given; BadRequest where it can't be one."""
    chip, ranks = chip_of(row, catalogue)
    pools = _pools(row, ranks)
    layout = pools[1].layout if pools else _layout(_with_tensor(row, ranks), ranks_per_chip=ranks)
    for each in [pool.layout for pool in pools] or [layout]:
        each.check_serving(architecture, pads_heads=chip.pads_heads)
    own = sum(pool.workers * pool.layout.chips for pool in pools) if pools else layout.chips
    return ServingCase(
        architecture=architecture,
        chip=chip,
        layout=layout,
        formats=formats_of(row, architecture, chip),
        input_tokens=_needed(row.input_tokens, "input_tokens", row.kind),
        output_tokens=_needed(row.output_tokens, "output_tokens", row.kind),
        concurrency=_given(row.concurrency, "concurrency", row.kind),
        chips=_chips(row, own),
        framework=row.framework,
        framework_version=row.framework_version,
        batching=_choice(Batching, row.batching or Batching.CONTINUOUS, "batching"),
        speculative=_is_on(row.speculative),
        dataset=row.dataset,
        load=_choice(Load, row.load, "load") if row.load else None,
        prefill=pools[0] if pools else None,
        decode=pools[1] if pools else None,
        gemm=precision_of(row.gemm_precision, "gemm_precision") if row.gemm_precision else None,
        ttft_limit_ms=_given(row.ttft_limit_ms, "ttft_limit_ms", row.kind),
        itl_limit_ms=_given(row.itl_limit_ms, "itl_limit_ms", row.kind),
    )


def training_case(row: Row, architecture: Architecture, catalogue: Catalogue) -> TrainingCase:
    """The case of a `train` row; BadRequest where it can't be one."""
    chip, ranks = chip_of(row, catalogue)
    tensor, pipeline, context = row.tp or 1, row.pp or 1, row.cp or 1
    model_ranks = tensor * pipeline * context
    chips = row.chips or -(-model_ranks * (row.dp or 1) // ranks)
    copies = chips * ranks // model_ranks
    if copies * model_ranks != chips * ranks or (row.dp is not None and row.dp != copies):
        raise BadRequest(
            f"tp {tensor} x pp {pipeline} x cp {context} x dp {row.dp or copies} is not the"
            f" {chips * ranks} ranks of {chips} chips"
        )
    micro_batch = int(_needed(row.micro_batch or 1, "micro_batch", row.kind))
    global_batch = int(_needed(row.global_batch, "global_batch", row.kind))
    if global_batch % (micro_batch * copies):
        raise BadRequest(
            f"global_batch {global_batch} is not a multiple of micro_batch {micro_batch} x dp"
            f" {copies}: the copies would differ in work"
        )
    layout = Layout(
        tensor=tensor,
        pipeline=pipeline,
        data=copies,
        expert=row.ep or 1,
        expert_tensor=row.moe_tp or 1,
        context=context,
        virtual=row.vp or 1,
        ranks_per_chip=ranks,
    )
    layout.check_training(architecture)
    parallel = row.sequence_parallel
    return TrainingCase(
        architecture=architecture,
        chip=chip,
        layout=layout,
        chips=chips,
        micro_batch=micro_batch,
        global_batch=global_batch,
        sequence=int(_needed(row.sequence, "sequence", row.kind)),
        precision=precision_of(row.precision or row.gemm_precision or "bf16", "precision"),
        recompute=_choice(Recompute, row.recompute or Recompute.NONE, "recompute"),
        sequence_parallel=tensor > 1 if parallel is None else parallel,
        sharding=_choice(Sharding, row.sharding or Sharding.ZERO1, "sharding"),
        framework=row.framework,
        framework_version=row.framework_version,
    )


def chip_of(row: Row, catalogue: Catalogue) -> tuple[Chip, int]:
    """The chip a row names, and the ranks each counts as."""
    chip = catalogue.chip(row.chip)
    return chip, row.ranks_per_chip or chip.ranks


def _with_tensor(row: Row, ranks: int) -> Row:
    """The row with its `tp` filled in: all ranks of its chips that other splits leave."""
    if row.tp is not None:
        return row
    if row.chips is None:
        raise BadRequest("the row has neither 'chips' nor 'tp'; give one of them")
    rest, over = divmod(row.chips * ranks, (row.pp or 1) * (row.dp or 1))
    if over or rest < 1:
        raise BadRequest(
            f"pp {row.pp or 1} x dp {row.dp or 1} doesn't divide the {row.chips * ranks} ranks of"
            f" {row.chips} chips"
        )
    return msgspec.structs.replace(row, tp=rest)


def _pools(row: Row, ranks: int) -> tuple[Pool, ...]:
    if row.mode is None or row.mode == "agg":
        return ()
    if row.mode != "disagg":
        raise BadRequest(f"mode {row.mode!r} is not one of: agg, disagg")
    if row.prefill is None or row.decode is None:
        raise BadRequest("a row with mode 'disagg' needs 'prefill' and 'decode' objects")
    return tuple(
        Pool(each.workers, _layout(each, ranks_per_chip=ranks), each.batch)
        for each in (row.prefill, row.decode)
    )


def _chips(row: Row, own: int) -> int:
    if row.chips is None:
        return own
    if row.chips < own:
        raise BadRequest(f"the split needs {own} chips and the row has {row.chips}")
    return row.chips


def _is_on(flag: object) -> bool:
    """Rows say `speculative` as a boolean, a method's name, or an object."""
    return bool(flag) and str(flag).lower() not in ("none", "off", "false", "0")
