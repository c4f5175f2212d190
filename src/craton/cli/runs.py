"""`craton run`: a command on leased chips, started, followed and paid for like a local one."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from craton.apis.native.runs_contract import RunPage, RunView
from craton.cli.capacity_terms import (
    HOUR_S,
    As,
    Cpus,
    MemoryGib,
    SomeChips,
    connect_as,
    held_words,
    part_terms,
    utc,
)
from craton.cli.connection import Connection, segment
from craton.cli.groups import connect, pages
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import day_and_time, price, print_json, print_lines, print_table
from craton.cli.run_watch import Watch, signal_number, words_of, write_out
from craton.fleet.records import LeaseKind
from craton.fleet.run_folder import RUNS_FOLDER, RunFolder
from craton.fleet.run_records import GRACE_S_MAX, HERE, RANKS_MAX, Order
from craton.kernel.clock import SystemClock
from craton.kernel.errors import BadRequest, CratonError
from craton.kernel.ids import Ids

OWN = frozenset({"start", "ps", "logs", "stop", "--help"})


class RunOrStart(TyperGroup):
    """`craton run …` is `craton run start …`, unless one of its own commands follows."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] - typer passes its own Context
        """The arguments, with `start` before what is to be run."""
        return super().parse_args(ctx, completed(args))


def completed(arguments: Sequence[str]) -> list[str]:
    """What was said after `craton run`, with `start` before it if it is to be run itself."""
    is_start = bool(arguments) and arguments[0] not in OWN
    return ["start", *arguments] if is_start else list(arguments)


app = typer.Typer(
    cls=RunOrStart,
    help=(
        "Run a command on leased chips: craton run [OPTIONS] -- COMMAND. Alone it lists what runs; "
        "`craton run start --help` has the options."
    ),
    epilog=example("craton run --chips 4 --chip h200 --hours 2 -- python train.py"),
    invoke_without_command=True,
    no_args_is_help=False,
)

Ranks = Annotated[
    int, typer.Option(min=1, max=RANKS_MAX, help="Start it so many times on each host.")
]
Grace = Annotated[
    int, typer.Option(min=0, max=GRACE_S_MAX, help="Seconds between SIGTERM and SIGKILL.")
]
NoticeSignal = Annotated[
    str | None,
    typer.Option(help="A signal for the notice that the lease ends, such as USR1."),
]
Rehearse = Annotated[
    bool,
    typer.Option("--rehearse", help="On simulated chips: run it here once all the same."),
]
Block = Annotated[
    str | None,
    typer.Option(help="Inside this reservation or block (cr-… or cb-…); it is paid already."),
]
RunId = Annotated[str, typer.Argument(help="Its id, as `craton run ps` lists it.")]


@app.callback()
def run(
    context: typer.Context, data: Data = DATA, account: OfAccount = None, as_json: AsJson = False
) -> None:
    """Run a command on leased chips: craton run [OPTIONS] -- COMMAND. Alone it lists what runs."""
    if context.invoked_subcommand is None:
        ps(data=data, account=account, as_json=as_json)


@app.command(
    "start",
    epilog=example("craton run start --interruptible --grace 60 -- python train.py --resume"),
    context_settings={"allow_interspersed_args": False},
)
def start(
    *,
    command: Annotated[list[str], typer.Argument(help="What to run, and its arguments.")],
    block: Block = None,
    chips: SomeChips = None,
    cpus: Cpus = None,
    memory_gib: MemoryGib = None,
    hosts: Annotated[int | None, typer.Option(min=1, help="Or how many whole hosts.")] = None,
    chip: Annotated[str | None, typer.Option(help="Which chip, such as h200.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="Or which instance type.")] = None,
    zone: Annotated[str | None, typer.Option(help="In this zone (a site of the fleet).")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.0003, help="For so long at most; else until it ends.")
    ] = None,
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="Cheaper; taken back when somebody pays more.")
    ] = False,
    priority: Annotated[int, typer.Option(help="Before lower ones in the queue.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait in the queue if none is free.")
    ] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print its id and leave; it goes on.")
    ] = False,
    name: Annotated[str, typer.Option(help="A name, to tell runs apart.")] = "",
    ranks_per_host: Ranks = 1,
    grace: Grace = 30,
    notice_signal: NoticeSignal = None,
    rehearse: Rehearse = False,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Take a lease, run a command on it, show what it writes, and end with its exit status."""
    terms: dict[str, str | int | bool | None] = {
        "kind": LeaseKind.INTERRUPTIBLE if interruptible else None,
        "reservation": block,
        **part_terms(chips, cpus, memory_gib),
        "hosts": hosts,
        "chip": chip,
        "instance_type": type,
        "zone": zone,
        "seconds": None if hours is None else max(1, round(hours * HOUR_S)),
        "priority": priority,
        "wait": wait and block is None,
    }
    order = Order(
        command=tuple(command),
        folder=str(Path.cwd()),
        environment=dict(os.environ),  # a command runs as it would in this shell
        lease=_somewhere(terms),
        name=name,
        ranks_per_host=ranks_per_host,
        grace_s=grace,
        notice_signal=signal_number(notice_signal),
        is_rehearsal=rehearse,
    )
    connection = connect_as(data, account)
    view = _order(connection, data, order)
    if detach:
        if as_json:
            print_json(view)
        else:
            print_lines(view.id)
        return
    raise typer.Exit(Watch(connection, SystemClock(), as_json=as_json).follow(view))


def _somewhere(
    terms: dict[str, str | int | bool | None],
) -> dict[str, str | int | bool | None]:
    """The terms with what nobody said: this machine, one chip of a kind, or else one host."""
    places = ("reservation", "chip", "instance_type", "zone")
    is_here = all(terms[each] is None for each in places)
    found = {**terms, "pool": HERE if is_here else None}
    is_part = terms["cpu_milli"] is not None or terms["memory_mib"] is not None
    if terms["chips"] is None and terms["hosts"] is None and not is_part:
        found["hosts" if terms["chip"] is None else "chips"] = 1
    return found


def _order(connection: Connection, data: Path, order: Order) -> RunView:
    """Write down what to run, and ask for it to be started."""
    folder = RunFolder(data / RUNS_FOLDER)
    try:
        id = folder.order(Ids(SystemClock()), order)
    except OSError as error:
        raise BadRequest(
            f"The order can't be written into {folder.root}: {error}. Commands run only for who "
            "may write into the data folder of a Craton on this machine."
        ) from None
    try:
        return connection.post("/runs", RunView, {"id": id})
    except CratonError as error:
        if error.code is None and not (folder.path(id) / "claim.json").exists():
            folder.drop(id)  # nobody took it
        raise


@app.command("ps", epilog=example("craton run ps --all"))
def ps(
    *,
    every: Annotated[bool, typer.Option("--all", "-a", help="Also those that ended.")] = False,
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List what waits and runs."""
    listed = pages(connect(data), "/runs", RunPage, {"account": account})
    found = [run for page in listed for run in page.runs if every or run.ended_ms is None]
    if as_json:
        print_json({"runs": found})
        return
    rows = [
        (
            run.id,
            words_of(run),
            held_words(run) if run.hosts else "-",
            str(run.ranks),
            "-" if run.started_ms is None else day_and_time(run.started_ms),
            utc(run.ends_s),
            price(run.spent_nanos, run.currency),
            run.name or shlex.join(run.command),
        )
        for run in found
    ]
    columns = ("RUN", "STATE", "CHIPS", "RANKS", "STARTED (UTC)", "ENDS (UTC)", "COST", "COMMAND")
    empty = "Nothing runs. `craton run -- COMMAND` runs something; --all lists what ended."
    print_table(columns, rows, empty=empty, right=("CHIPS", "RANKS", "COST"))


@app.command("logs", epilog=example("craton run logs --follow run-0192f0c1d2e3a4b5c6d7e8f9"))
def logs(
    id: RunId,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it ends, as `craton run` does.")
    ] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show what a run wrote, over or not."""
    pieces: list[str] = []
    watch = Watch(connect(data), SystemClock(), write=pieces.append if as_json else write_out)
    if follow:
        watch.show_to_end(id)
    else:
        watch.show(id)
    if as_json:
        print_json({"id": id, "log": "".join(pieces)})


@app.command("stop", epilog=example("craton run stop run-0192f0c1d2e3a4b5c6d7e8f9"))
def stop(
    id: RunId,
    *,
    now: Annotated[bool, typer.Option("--now", help="With SIGKILL, without any grace.")] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """End a run: SIGTERM, and SIGKILL after its grace. Waits until it is over."""
    connection = connect(data)
    query = "?grace_s=0" if now else ""
    connection.delete(f"/runs/{segment(id)}{query}", RunView)
    ended = Watch(connection, SystemClock()).until_ended(id)
    if as_json:
        print_json(ended)
    else:
        cost = price(ended.spent_nanos, ended.currency)
        print_lines(f"{ended.id} ended: {ended.outcome}; it cost {cost}.")
