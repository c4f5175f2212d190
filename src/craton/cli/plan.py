"""`craton plan`: what a job costs, takes and burns on any chip, before it runs."""

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from craton.cli.chips import FOLDER
from craton.cli.options import DATA, AsJson, Data, example
from craton.cli.output import print_json, print_lines
from craton.cli.plan_numbers import days, quantity, whole
from craton.cli.plan_tables import print_known, print_quote
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.architecture import Architecture
from craton.silicon.catalogue import Catalogue, load_catalogue
from craton.silicon.chip import PriceKind
from craton.silicon.models import cards, find_model
from craton.silicon.operations import Formats
from craton.silicon.planner import quote
from craton.silicon.power import load_own_site
from craton.silicon.predict import predict
from craton.silicon.quote import Objective, Quote, ServingJob, TrainingJob
from craton.silicon.report import page
from craton.silicon.rows import Row, formats_of, precision_of

app = typer.Typer(
    help="Plan a job before it runs: which chip, how many, split how, at what price and power. "
    "Alone, it lists the models and chips it knows by name.",
    epilog=example("craton plan serve llama-3.1-70b --input 4000 --output 500 --rate 20"),
    invoke_without_command=True,
    no_args_is_help=False,
)

Model = Annotated[
    str,
    typer.Argument(
        help="A name such as llama-3.1-8b or deepseek-v3 (`craton plan` lists them), a Hugging "
        "Face config.json, a folder with one, or a GGUF file."
    ),
]
Chips = Annotated[
    list[str] | None,
    typer.Option("--chip", help="A chip to consider; say it once for each. (default: all)"),
]
By = Annotated[Objective, typer.Option("--by", help="What the best plan has least of.")]
Price = Annotated[
    PriceKind | None,
    typer.Option(
        "--price",
        help="Under which terms. (default: the first known of capacity-block, on-demand, reserved)",
    ),
]
Confident = Annotated[
    bool,
    typer.Option(
        "--confident",
        help="Hold the limits against the high end of each interval, which the truth is below "
        "in 9 cases of 10. (default: against the middle)",
    ),
]
PowerLimit = Annotated[
    float | None, typer.Option("--power-kw", min=0.001, help="Most kilowatts at the wall, peak.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="Most plans to show; a report has all.")]
Html = Annotated[
    Path | None,
    typer.Option("--html", help="Also write a report for people to this file: one page, offline."),
]


_SERVE = """Rank the chips for serving a model under a load, within limits.

TTFT is the time to the first token, ITL the time between two tokens of one answer. Every plan shown
meets the limits at the rate asked for by the middle of its intervals: the truth is about as often
above as below. With --confident the high ends meet them. A split names the ways one copy of the
model is cut: TP tensor, PP pipeline, DP attention data, EP expert parallelism."""

_TRAIN = """Rank the chips for training a model, by a day if there is one.

MFU is the part of the chips' peak that the model's own arithmetic reaches. Days and cost include
what failures and checkpoints take at that size. A split names the ways the model is cut: TP tensor,
PP pipeline, VP interleaved pipeline, CP context, DP data, EP expert parallelism."""

_PREDICT = """Predict fixed set-ups: one line of JSON for each line, in order, as they are made.

A row has an id, a kind (serve or train), a model or an arch, a chip, a split and a load. A row that
can't be predicted gives its id and an error, and the rest go on; the exit status is 0."""


def _flowing(text: str) -> str:
    """Help whose paragraphs the terminal wraps, not the source."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


@app.callback()
def plan(context: typer.Context, data: Data = DATA, as_json: AsJson = False) -> None:
    """Plan a job before it runs: which chip, how many, split how, at what price and power.

    Alone, it lists the models and chips it knows by name. Nothing here needs a running Craton.
    """
    if context.invoked_subcommand is not None:
        return
    chips = _catalogue(data).chips
    models = {
        name: (made.layers, made.parameters(), made.active_parameters())
        for name, made in ((name, card.architecture()) for name, card in cards().items())
    }
    if as_json:
        keys = ("name", "layers", "parameters", "active_parameters")
        listed = [dict(zip(keys, (name, *sizes), strict=True)) for name, sizes in models.items()]
        print_json({"models": listed, "chips": list(chips)})
    else:
        print_known(models, chips)


@app.command(
    "serve",
    help=_flowing(_SERVE),
    epilog=example(
        "craton plan serve llama-3.1-70b --input 4000 --output 500 --rate 20 --ttft-ms 800 "
        "--itl-ms 40 --chip h200 --chip trainium2 --html report.html"
    ),
)
def serve(
    *,
    model: Model,
    tokens_in: Annotated[
        str, typer.Option("--input", help="Tokens of a prompt, on the mean: 4000, 4k.")
    ],
    tokens_out: Annotated[str, typer.Option("--output", help="Tokens of an answer, on the mean.")],
    rate: Annotated[str, typer.Option(help="Requests a second, on the mean: 20, 0.5.")],
    ttft_ms: Annotated[
        float | None, typer.Option(min=0.001, help="Most milliseconds to the first token.")
    ] = None,
    itl_ms: Annotated[
        float | None, typer.Option(min=0.001, help="Most milliseconds between two tokens.")
    ] = None,
    chip: Chips = None,
    precision: Annotated[
        str,
        typer.Option(help="Of the weights: fp32, bf16, fp8, mxfp8, int8, fp4, mxfp4, int4."),
    ] = "bf16",
    kv_precision: Annotated[
        str | None, typer.Option(help="Of the key-value cache. (default: 16 bits)")
    ] = None,
    by: By = Objective.COST,
    power_kw: PowerLimit = None,
    max_chips_per_replica: Annotated[
        int | None, typer.Option(min=1, help="Most chips one copy of the model is split over.")
    ] = None,
    cached: Annotated[
        float, typer.Option(min=0, max=0.999, help="Part of a prompt found in the prefix cache.")
    ] = 0.0,
    framework: Annotated[
        str | None, typer.Option(help="The serving software: vllm, sglang, trtllm.")
    ] = None,
    confident: Confident = False,
    price: Price = None,
    disaggregation: Annotated[
        bool, typer.Option(help="Also try prefill and decode on chips of their own.")
    ] = True,
    top: Top = 10,
    html: Html = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Rank the chips for serving a model under a load, within limits."""
    architecture = find_model(model)
    job = ServingJob(
        architecture=architecture,
        input_tokens=quantity(tokens_in, "--input"),
        output_tokens=quantity(tokens_out, "--output"),
        rate=quantity(rate, "--rate"),
        formats=formats(architecture, precision, kv_precision),
        ttft_limit_ms=ttft_ms,
        itl_limit_ms=itl_ms,
        power_limit_kw=power_kw,
        chips_limit=max_chips_per_replica,
        cached_fraction=cached,
        framework=framework,
        objective=by,
        disaggregated=disaggregation,
        confident=confident,
    )
    catalogue = _catalogue(data)
    today = _day(SystemClock())
    found = quote(
        job, _names(chip, catalogue), price, catalogue, today=today, site=load_own_site(data)
    )
    _tell(found, catalogue, today, top=top, html=html, as_json=as_json)


@app.command(
    "train",
    help=_flowing(_TRAIN),
    epilog=example(
        "craton plan train llama-3.1-70b --tokens 2e12 --sequence 8192 --batch 4M --deadline 30d"
    ),
)
def train(
    *,
    model: Model,
    tokens: Annotated[str, typer.Option(help="Tokens to train on: 2e12, 1.5T.")],
    sequence: Annotated[str, typer.Option(help="Tokens of a sequence: 8192, 8k is 8,000.")],
    batch: Annotated[str, typer.Option(help="Tokens of a step, over all chips: 4M.")],
    deadline: Annotated[str | None, typer.Option(help="Longest it may take: 12h, 30d, 6w.")] = None,
    chip: Chips = None,
    precision: Annotated[str, typer.Option(help="What it multiplies in: bf16, fp8 …")] = "bf16",
    by: By = Objective.COST,
    power_kw: PowerLimit = None,
    max_chips: Annotated[int | None, typer.Option(min=1, help="Most chips in all.")] = None,
    price: Price = None,
    top: Top = 10,
    html: Html = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Rank the chips for training a model, by a day if there is one."""
    job = TrainingJob(
        architecture=find_model(model),
        tokens=quantity(tokens, "--tokens"),
        sequence=whole(sequence, "--sequence"),
        global_batch_tokens=quantity(batch, "--batch"),
        deadline_days=None if deadline is None else days(deadline, "--deadline"),
        precision=precision_of(precision, "--precision"),
        chips_limit=max_chips,
        power_limit_kw=power_kw,
        objective=by,
    )
    catalogue = _catalogue(data)
    today = _day(SystemClock())
    found = quote(
        job, _names(chip, catalogue), price, catalogue, today=today, site=load_own_site(data)
    )
    _tell(found, catalogue, today, top=top, html=html, as_json=as_json)


@app.command(
    "predict",
    help=_flowing(_PREDICT),
    epilog=example("craton plan predict rows.jsonl > predictions.jsonl"),
)
def predict_rows(
    rows: Annotated[
        str, typer.Argument(help="A file with one set-up a line, as JSON; `-` is standard input.")
    ],
    data: Data = DATA,
    as_json: AsJson = False,  # noqa: ARG001 - what it prints is JSON either way
) -> None:
    """Predict fixed set-ups: one line of JSON for each line, in order, as they are made."""
    catalogue = _catalogue(data)
    with _opened(rows) as lines:
        print_predictions(lines, catalogue)


def print_predictions(lines: Iterable[bytes], catalogue: Catalogue) -> None:
    """One line for each line, each before the next is read."""
    try:
        for made in predict(lines, catalogue):
            sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough (`| head`). Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def formats(architecture: Architecture, precision: str, kv_precision: str | None) -> Formats:
    """Formats by the rules that rows follow, so that a plan and a prediction agree."""
    row = Row(id=0, kind="serve", chip="", precision=precision, kv_precision=kv_precision)
    return formats_of(row, architecture)


def write_report(found: Quote, catalogue: Catalogue, path: Path, day: date) -> None:
    """Write the page; BadRequest where the file can't be written."""
    chips, servers = list(catalogue.chips.values()), list(catalogue.servers.values())
    try:
        path.write_text(page(found, chips, servers, day=day), encoding="utf-8")
    except OSError as error:
        raise BadRequest(
            f"The report can't be written to {path}: {error.strerror}. Give --html a file in a "
            "folder that exists."
        ) from error


def _tell(
    found: Quote, catalogue: Catalogue, today: date, *, top: int, html: Path | None, as_json: bool
) -> None:
    if html is not None:
        write_report(found, catalogue, html, today)
    if as_json:
        print_json(msgspec.structs.replace(found, plans=found.plans[:top]))
        return
    print_quote(found, catalogue.chips, top=top)
    if html is not None:
        print_lines(f"The report is in {html}.")


def _day(clock: Clock) -> date:
    return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).date()


def _catalogue(data: Path) -> Catalogue:
    return load_catalogue(data.expanduser() / FOLDER)


def _names(chips: list[str] | None, catalogue: Catalogue) -> list[str] | None:
    """The chips' own names; None for all."""
    return [catalogue.chip(name).name for name in chips] if chips else None


@contextmanager
def _opened(rows: str) -> Generator[BinaryIO]:
    if rows == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(rows).open("rb")  # noqa: SIM115 - closed below; only opening is guarded
    except OSError as error:
        raise NotFound(
            f"The file {rows} can't be read: {error.strerror}. Give a file of JSON lines, or -."
        ) from error
    with file:
        yield file
