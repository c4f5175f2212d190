"""`craton capacity`: blocks of chips ahead of time, and reservations from now on."""

from typing import Annotated, Any

import typer

from craton.apis.native.fleet_contract import CapacityPools, ReservationPage
from craton.cli.capacity_tables import NOTHING_FREE, print_offers, print_quote, tell, what
from craton.cli.capacity_terms import (
    NOT_REAL,
    As,
    ReservationId,
    connect_as,
    moment_s,
    utc,
)
from craton.cli.connection import segment
from craton.cli.groups import connect, group, pages
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import price, print_json, print_lines, print_table
from craton.fleet.contract import Offers, ReservationView
from craton.fleet.records import PROMISING
from craton.kernel.errors import BadRequest, NotFound

app = group("Buy blocks of chips ahead of time, and reserve what is free.", "craton capacity")

Type = Annotated[str | None, typer.Option("--type", help="Count hosts of this instance type.")]
UltraServer = Annotated[
    str | None, typer.Option("--ultraserver", help="Count whole UltraServers of this type.")
]
Count = Annotated[int, typer.Option(min=1, help="How many hosts, or UltraServers.")]
Days = Annotated[
    int, typer.Option(min=1, max=182, help="For how long: 1 to 14 days, or whole weeks to 182.")
]
From = Annotated[str | None, typer.Option("--from", help="Not before this UTC date or moment.")]
To = Annotated[str | None, typer.Option("--to", help="Over by this UTC date or moment.")]
Zone = Annotated[str | None, typer.Option(help="In this zone (a site of the fleet).")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag, as name=value; repeatable.")]
Platform = Annotated[str, typer.Option(help="As EC2 names operating systems.")]


@app.callback()
def capacity(
    context: typer.Context,
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """Buy blocks of chips ahead of time, and reserve what is free."""
    if context.invoked_subcommand is None:
        list_reservations(data=data, account=account, as_json=as_json)


@app.command("list", epilog=example("craton capacity list --all"))
def list_reservations(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List blocks and reservations: when, how much, and how much of it is in use."""
    listed = pages(connect(data), "/capacity/reservations", ReservationPage, {"account": account})
    found = [
        each for page in listed for each in page.reservations if every or each.state in PROMISING
    ]
    if as_json:
        print_json({"reservations": found})
        return
    rows = [
        (
            each.id,
            each.block or "",
            f"{each.state} ({NOT_REAL})" if each.is_simulated else each.state,
            what(each.units, each.ultraserver or each.instance_type),
            each.zone,
            f"{each.used_hosts} of {each.total_hosts}",
            utc(each.start_s),
            utc(each.end_s),
            price(each.amount_nanos, each.currency) if each.block else "by the second",
            each.account,
        )
        for each in found
    ]
    columns = ("RESERVATION", "BLOCK", "STATE", "WHAT", "ZONE", "HOSTS USED", "FROM (UTC)")
    columns += ("TO (UTC)", "PAID", "ACCOUNT")
    empty = "Nothing is reserved. `craton capacity search` finds what could be."
    print_table(columns, rows, empty=empty, right=("HOSTS USED", "PAID"))


@app.command("show", epilog=example("craton capacity show cr-0123456789abcdef0"))
def show(id: ReservationId, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show one block or reservation: its hosts, what of it is used, and what that cost."""
    found = connect(data).get("/capacity/reservations/" + segment(id), ReservationView)
    tell(found, as_json=as_json)


@app.command("types", epilog=example("craton capacity types"))
def types(data: Data = DATA, account: As = None, as_json: AsJson = False) -> None:
    """List the kinds of capacity there are, and how much of each is free now."""
    found = connect_as(data, account).get("/capacity/pools", CapacityPools)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            pool.ultraserver or pool.instance_type,
            pool.zone,
            f"{pool.hosts_per_unit} x {pool.instance_type}" if pool.ultraserver else "1 host",
            f"{pool.hosts_per_unit * pool.chips_per_host} x {pool.chip}",
            f"{pool.units:,}",
            f"{pool.free_units_now:,}",
            NOT_REAL if pool.is_simulated else "",
        )
        for pool in found.pools
    ]
    columns = ("TYPE", "ZONE", "EACH IS", "CHIPS OF EACH", "THERE ARE", "FREE NOW", "")
    empty = "There is no capacity: the fleet is empty."
    print_table(columns, rows, empty=empty, right=("THERE ARE", "FREE NOW"))


@app.command(
    "search", epilog=example("craton capacity search --type p5en.48xlarge --count 4 --days 7")
)
def search(
    *,
    type: Type = None,
    ultraserver: UltraServer = None,
    count: Count = 1,
    days: Days = 1,
    start: From = None,
    end: To = None,
    zone: Zone = None,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Search for blocks that could be bought: the earliest, with their prices."""
    body = _asked(
        type=type,
        ultraserver=ultraserver,
        count=count,
        days=days,
        start=start,
        end=end,
        zone=zone,
    )
    found = connect_as(data, account).post("/capacity/offers", Offers, body)
    if as_json:
        print_json(found)
        return
    print_offers(found.offers)
    if found.offers:
        print_lines("", "Buy one: craton capacity buy OFFER")


@app.command(
    "quote", epilog=example("craton capacity quote --ultraserver u-trn2x64 --count 2 --days 14")
)
def quote(
    *,
    type: Type = None,
    ultraserver: UltraServer = None,
    count: Count = 1,
    days: Days = 1,
    start: From = None,
    end: To = None,
    zone: Zone = None,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Say when the cheapest block of a size could start, and what it costs; nothing is bought."""
    body = _asked(
        type=type,
        ultraserver=ultraserver,
        count=count,
        days=days,
        start=start,
        end=end,
        zone=zone,
    )
    found = connect_as(data, account).post("/capacity/offers", Offers, body).offers
    if not found:
        raise NotFound(NOTHING_FREE)
    best = min(found, key=lambda offer: (offer.amount_nanos, offer.start_s))
    if as_json:
        print_json(best)
    else:
        print_quote(best, f"craton capacity buy {best.id}")


@app.command("buy", epilog=example("craton capacity buy cbo-abcdef --tag job=pretraining"))
def buy(
    *,
    offer: Annotated[str, typer.Argument(help="The offer's id, as `search` or `quote` shows it.")],
    tag: Tags = None,
    platform: Platform = "Linux/UNIX",
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Buy a block that was offered; it is paid up front. The same offer is bought only once."""
    body = {"offer": offer, "platform": platform, "tags": _tags(tag)}
    bought = connect_as(data, account).post("/capacity/reservations/buy", ReservationView, body)
    tell(bought, as_json=as_json)


@app.command("extend", epilog=example("craton capacity extend cr-0123456789abcdef0 --days 7"))
def extend(
    *,
    id: ReservationId,
    days: Annotated[
        int | None, typer.Option(min=1, max=182, help="Show what so many days more cost.")
    ] = None,
    offer: Annotated[
        str | None, typer.Option(help="Buy this one of the offers that --days showed.")
    ] = None,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Make a block longer: ask for its price with --days, then buy with --offer."""
    if (days is None) == (offer is None):
        raise BadRequest(
            "Give --days N to see what making it longer costs, or --offer ID to buy what was shown."
        )
    connection = connect_as(data, account)
    if offer is not None:
        body = {"id": id, "offer": offer}
        extended = connection.post("/capacity/reservations/extend", ReservationView, body)
        tell(extended, as_json=as_json)
        return
    asked = {"id": id, "hours": (days or 0) * 24}
    found = connection.post("/capacity/extensions", Offers, asked)
    if as_json:
        print_json(found)
    elif not found.offers:
        print_lines(f"{id} can't be made so much longer: its units are promised to others then.")
    for each in [] if as_json else found.offers:
        print_quote(each, f"craton capacity extend {id} --offer {each.id}")


@app.command("reserve", epilog=example("craton capacity reserve --type p5en.48xlarge --count 2"))
def reserve(
    *,
    type: Annotated[str, typer.Option("--type", help="The instance type.")],
    count: Annotated[int, typer.Option(min=1, help="How many hosts.")] = 1,
    zone: Zone = None,
    until: Annotated[
        str | None, typer.Option(help="Until this UTC moment; else until it is released.")
    ] = None,
    targeted: Annotated[
        bool, typer.Option("--targeted", help="Used only by leases that name it.")
    ] = False,
    platform: Platform = "Linux/UNIX",
    tag: Tags = None,
    client_token: Annotated[
        str | None, typer.Option(help="The same again makes nothing new.")
    ] = None,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Keep hosts from now on, paid by the second whether used or not, until released."""
    body = {
        "instance_type": type,
        "hosts": count,
        "zone": zone,
        "end_s": moment_s(until, "--until"),
        "is_targeted": targeted,
        "platform": platform,
        "client_token": client_token,
        "tags": _tags(tag),
    }
    made = connect_as(data, account).post("/capacity/reservations", ReservationView, body)
    tell(made, as_json=as_json)


@app.command("change", epilog=example("craton capacity change cr-0123456789abcdef0 --count 4"))
def change(
    *,
    id: ReservationId,
    count: Annotated[int | None, typer.Option(min=1, help="How many hosts it keeps.")] = None,
    until: Annotated[str | None, typer.Option(help="Until this UTC moment.")] = None,
    endless: Annotated[bool, typer.Option("--endless", help="Until it is released.")] = False,
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Change how many hosts a reservation keeps, or until when; blocks are extended instead."""
    if endless and until is not None:
        raise BadRequest("Give --until or --endless, not both.")
    body: dict[str, Any] = {"id": id, "hosts": count}
    if endless or until is not None:
        body["end_s"] = moment_s(until, "--until")
    changed = connect_as(data, account).post("/capacity/reservations/update", ReservationView, body)
    tell(changed, as_json=as_json)


@app.command("release", epilog=example("craton capacity release cr-0123456789abcdef0"))
def release(
    id: ReservationId, data: Data = DATA, account: As = None, as_json: AsJson = False
) -> None:
    """Give a reservation back, after the leases in it; blocks that were bought stay bought."""
    path = "/capacity/reservations/" + segment(id)
    gone = connect_as(data, account).delete(path, ReservationView)
    if as_json:
        print_json(gone)
    else:
        print_lines(f"{gone.id} is {gone.state}.")


@app.command("payment", epilog=example("craton capacity payment cr-0123456789abcdef0 --paid"))
def payment(
    *,
    id: ReservationId,
    paid: Annotated[bool, typer.Option("--paid/--unpaid", help="Whether it was paid.")],
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Say that a block that waits for its payment was paid, or won't be; for operators."""
    body = {"id": id, "is_paid": paid}
    tell(connect(data).post("/capacity/payments", ReservationView, body), as_json=as_json)


def _asked(
    *,
    type: str | None,
    ultraserver: str | None,
    count: int,
    days: int,
    start: str | None,
    end: str | None,
    zone: str | None,
) -> dict[str, Any]:
    if (type is None) == (ultraserver is None):
        raise BadRequest(
            "Give --type for hosts of an instance type, or --ultraserver for whole UltraServers; "
            "`craton capacity types` lists both."
        )
    return {
        "units": count,
        "hours": days * 24,
        "instance_type": type,
        "ultraserver": ultraserver,
        "start_s": moment_s(start, "--from"),
        "end_s": moment_s(end, "--to"),
        "zone": zone,
    }


def _tags(given: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadRequest(f"--tag {text!r}: write it as name=value.")
        found[name] = value
    return found
