"""`craton fleet share`, `shares` and `maintenance`: who is meant to have how much, and when not."""

from typing import Annotated

import typer

from craton.cli.capacity_terms import moment_s, utc
from craton.cli.connection import segment
from craton.cli.fleet import Note, app
from craton.cli.groups import connect
from craton.cli.options import DATA, AsJson, Data, example
from craton.cli.output import print_json, print_lines, print_table, printable
from craton.fleet.maintenance_contract import MaintenanceState, MaintenanceView, MaintenanceViews
from craton.fleet.share_contract import Shares, ShareView
from craton.kernel.errors import BadRequest

NO_SHARE = "none"


@app.command("share", epilog=example("craton fleet share 111122223333 h200 64"))
def share(
    account: Annotated[str, typer.Argument(help="The account, by its id or name.")],
    chip: Annotated[str, typer.Argument(help="The kind of chip, as `craton chips` names it.")],
    chips: Annotated[str, typer.Argument(help="How many; `none` takes the share away.")],
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Say how many chips of a kind an account is meant to have; others borrow the rest."""
    if chips != NO_SHARE and not (chips.isascii() and chips.isdigit()):
        raise BadRequest(f"A share is a number of chips or `{NO_SHARE}`; this is {chips!r}.")
    body = {
        "account": account,
        "chip": chip,
        "chips": None if chips == NO_SHARE else int(chips),
    }
    told = connect(data).post("/fleet/shares", ShareView, body)
    if as_json:
        print_json(told)
        return
    meant = "has no share any more" if told.chips is None else f"has a share of {told.chips:,}"
    print_lines(printable(f"{account} {meant} {chip}; it holds {told.held_chips:,} now."))


@app.command("shares", epilog=example("craton fleet shares"))
def shares(data: Data = DATA, as_json: AsJson = False) -> None:
    """Show each account's share of the chips, what it holds and what of that is borrowed."""
    told = connect(data).get("/fleet/shares", Shares)
    if as_json:
        print_json(told)
        return
    rows = [
        (
            each.account,
            each.chip,
            "-" if each.chips is None else f"{each.chips:,}",
            f"{each.held_chips:,}",
            f"{each.borrowed_chips:,}",
        )
        for each in told.shares
    ]
    columns = ("ACCOUNT", "CHIP", "SHARE", "HOLDS", "BORROWED")
    print_table(
        columns, rows, empty="Nobody has a share: whoever comes first has what is free.",
        right=columns[2:],
    )  # fmt: skip


@app.command(
    "maintenance",
    epilog=example(
        "craton fleet maintenance north/a1 --from 2026-12-01T08:00 --to 2026-12-01T12:00"
    ),
)
def maintenance(
    *,
    path: Annotated[
        str | None,
        typer.Argument(help="What to take out of use: a site, row, rack or host. None: list."),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="When it begins (UTC).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="When it ends (UTC).")] = None,
    cancel: Annotated[
        str | None, typer.Option(help="Give up the maintenance of this id, or end it now.")
    ] = None,
    note: Note = "",
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Take hosts out of use for a while: nothing is promised there then. Refused where it would."""
    connection = connect(data)
    times = (start, end, note or None)
    if cancel is not None:
        if path is not None or any(each is not None for each in times):
            raise BadRequest("Name a path to schedule maintenance, or --cancel an id; not both.")
        _print_one(
            connection.delete(f"/fleet/maintenance/{segment(cancel)}", MaintenanceView),
            as_json=as_json,
        )
        return
    if path is None and any(each is not None for each in times):
        raise BadRequest("Say what to take out of use: a site, row, rack or host, then the times.")
    if path is None:
        _print_all(connection.get("/fleet/maintenance", MaintenanceViews), as_json=as_json)
        return
    start_s, end_s = moment_s(start, "--from"), moment_s(end, "--to")
    if start_s is None or end_s is None:
        raise BadRequest(
            "Maintenance has a beginning and an end: --from 2026-12-01T08:00 --to 2026-12-01T12:00."
        )
    body = {"path": path, "start_s": start_s, "end_s": end_s, "note": note}
    _print_one(connection.post("/fleet/maintenance", MaintenanceView, body), as_json=as_json)


def _print_one(window: MaintenanceView, *, as_json: bool) -> None:
    if as_json:
        print_json(window)
        return
    hosts = f"{window.hosts:,} {'host' if window.hosts == 1 else 'hosts'} under {window.path}"
    span = f"from {utc(window.start_s)} to {utc(window.end_s)} UTC"
    are = "is" if window.hosts == 1 else "are"
    words = {
        MaintenanceState.CANCELLED: f"{window.id} is given up: {hosts}, {span}.",
        MaintenanceState.OVER: f"{window.id} is over: {hosts}, {span}.",
    }
    told = words.get(window.state, f"{window.id}: {hosts} {are} out of use {span}.")
    print_lines(printable(told))


def _print_all(told: MaintenanceViews, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    rows = [
        (
            each.id,
            each.path,
            f"{each.hosts:,}",
            utc(each.start_s),
            utc(each.end_s),
            each.state,
            each.note,
        )
        for each in told.windows
    ]
    columns = ("MAINTENANCE", "UNDER", "HOSTS", "FROM (UTC)", "TO", "STATE", "WHY")
    print_table(columns, rows, empty="No maintenance is scheduled.", right=("HOSTS",))
