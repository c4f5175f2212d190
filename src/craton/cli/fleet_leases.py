"""`craton leases`: chips held now, inside a reservation or of what is free."""

from collections.abc import Sequence
from typing import Annotated

import typer

from craton.apis.native.fleet_contract import LeasePage
from craton.cli.capacity_terms import (
    HOUR_S,
    IMAGINED,
    NAMED_MAX,
    NOT_REAL,
    As,
    Cpus,
    MemoryGib,
    SomeChips,
    chips_of,
    connect_as,
    held_words,
    part_terms,
    utc,
)
from craton.cli.connection import segment
from craton.cli.groups import connect, group, listing, pages
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import day_and_time, price, print_json, print_lines, print_table, printable
from craton.fleet.contract import LeaseView
from craton.fleet.records import LeaseKind, LeaseState

app = group("List, take and give back chips.", "craton leases")

LeaseId = Annotated[str, typer.Argument(help="Its id, as `craton leases` lists it.")]


@listing(app, epilog=example("craton leases list --account team-a"))
def list_leases(data: Data = DATA, account: OfAccount = None, as_json: AsJson = False) -> None:
    """List the leases that wait or run, oldest first."""
    listed = pages(connect(data), "/leases", LeasePage, {"account": account})
    found = [lease for page in listed for lease in page.leases]
    if as_json:
        print_json({"leases": found})
    else:
        _print_table(found)


@app.command("show", epilog=example("craton leases show lease-abcdefghijkl"))
def show(id: LeaseId, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show one lease: its hosts and chips, what it cost, and how it ended."""
    _tell(connect(data).get("/leases/" + segment(id), LeaseView), as_json=as_json)


@app.command(
    "request", epilog=example("craton leases request --chip trainium2 --chips 64 --hours 8 --wait")
)
def request(
    *,
    chips: SomeChips = None,
    cpus: Cpus = None,
    memory_gib: MemoryGib = None,
    hosts: Annotated[int | None, typer.Option(min=1, help="Or how many hosts.")] = None,
    chips_per_host: Annotated[
        int | None, typer.Option(min=1, max=32, help="So many chips of each host; else all.")
    ] = None,
    chip: Annotated[str | None, typer.Option(help="Which chip, such as trainium2.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="Which instance type.")] = None,
    zone: Annotated[str | None, typer.Option(help="In this zone (a site of the fleet).")] = None,
    reservation: Annotated[
        str | None, typer.Option(help="Inside this reservation (cr-…); it is paid for already.")
    ] = None,
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="Cheaper; taken back when somebody pays more.")
    ] = False,
    hours: Annotated[
        float | None, typer.Option(min=0.01, help="For so long; else until it is released.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Before lower ones in the queue.")] = 0,
    purpose: Annotated[str, typer.Option(help="What for, to tell leases apart.")] = "",
    one_row: Annotated[bool, typer.Option("--one-row", help="All in one row.")] = False,
    one_leaf: Annotated[
        bool, typer.Option("--one-leaf", help="All in one UltraServer or rack.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait in the queue if none is free.")
    ] = False,
    client_token: Annotated[
        str | None, typer.Option(help="The same again makes nothing new.")
    ] = None,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Hold chips: inside a reservation, or of what is free now. They are paid by the second."""
    body = {
        "kind": LeaseKind.INTERRUPTIBLE if interruptible else None,
        **part_terms(chips, cpus, memory_gib),
        "hosts": hosts,
        "chips_per_host": chips_per_host,
        "chip": chip,
        "instance_type": type,
        "zone": zone,
        "reservation": reservation,
        "seconds": None if hours is None else round(hours * HOUR_S),
        "priority": priority,
        "purpose": purpose,
        "is_one_row": one_row,
        "is_one_leaf": one_leaf,
        "wait": wait,
        "client_token": client_token,
    }
    _tell(connect_as(data, account).post("/leases", LeaseView, body), as_json=as_json)


@app.command("release", epilog=example("craton leases release lease-abcdefghijkl"))
def release(id: LeaseId, data: Data = DATA, account: As = None, as_json: AsJson = False) -> None:
    """Give chips back, or give up waiting for them."""
    ended = connect_as(data, account).delete("/leases/" + segment(id), LeaseView)
    if as_json:
        print_json(ended)
        return
    cost = price(ended.spent_nanos, ended.currency)
    print_lines(f"{ended.id} is {ended.state}; it cost {cost}.")


def _print_table(found: Sequence[LeaseView]) -> None:
    rows = [
        (
            lease.id,
            _state(lease),
            lease.kind,
            held_words(lease),
            str(len(lease.hosts)),
            f"{lease.pool} ({NOT_REAL})" if lease.is_simulated else lease.pool,
            utc(lease.started_s or None),
            utc(lease.ends_s if lease.ends_s is not None else lease.until_s),
            price(lease.spent_nanos, lease.currency),
            lease.purpose,
            lease.account,
        )
        for lease in found
    ]
    columns = ("LEASE", "STATE", "KIND", "CHIPS", "HOSTS", "POOL", "SINCE (UTC)", "ENDS (UTC)")
    columns += ("COST SO FAR", "FOR", "ACCOUNT")
    empty = "No chips are held. `craton leases request` holds some."
    print_table(columns, rows, empty=empty, right=("CHIPS", "HOSTS", "COST SO FAR"))


def _state(lease: LeaseView) -> str:
    if lease.state is LeaseState.WAITING and lease.queue_position is not None:
        return f"waiting, number {lease.queue_position}"
    return lease.state if lease.reason is None else f"{lease.state} ({lease.reason})"


def _tell(lease: LeaseView, *, as_json: bool) -> None:
    if as_json:
        print_json(lease)
        return
    lines = [f"{lease.id} is {_state(lease)}: {lease.kind}, {held_words(lease)}"]
    lines[0] += f" in {lease.pool}" if lease.pool else ""
    if lease.started_s:
        lines.append(f"since {utc(lease.started_s)} UTC, fencing token {lease.token}")
    else:
        lines.append(f"asked for on {day_and_time(lease.created_ms)} UTC")
    ends_s = lease.ends_s if lease.ends_s is not None else lease.until_s
    if ends_s is not None:
        lines.append(f"{'ended' if lease.state is LeaseState.ENDED else 'ends'} {utc(ends_s)} UTC")
    if lease.reservation is not None:
        lines.append(f"inside {lease.reservation}")
    if lease.part is not None and lease.hosts:
        cpus, memory_gib = (lease.part.cpu_milli or 0) / 1000, (lease.part.memory_mib or 0) / 1024
        lines.append(f"with {cpus:g} processors and {memory_gib:g} GiB of memory")
    if lease.spent_nanos:
        lines.append(f"cost {price(lease.spent_nanos, lease.currency)} so far")
    if lease.purpose:
        lines.append(f"for {printable(lease.purpose)}")
    if lease.outcome:
        lines.append(f"outcome: {printable(lease.outcome)}")
    for host, mask in list(zip(lease.hosts, lease.masks, strict=True))[:NAMED_MAX]:
        lines.append(f"  {host} chips {chips_of(mask)}")
    more = len(lease.hosts) - NAMED_MAX
    if more > 0:
        lines.append(f"  and {more:,} more hosts; --json lists all")
    if lease.is_simulated:
        lines.append(IMAGINED)
    print_lines(*lines)
