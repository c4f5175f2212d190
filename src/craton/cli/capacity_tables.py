"""How offers, blocks and reservations are printed."""

from collections.abc import Sequence

from craton.cli.capacity_terms import IMAGINED, NOT_REAL, an_hour, days, hosts_line, utc
from craton.cli.output import day_and_time, price, print_json, print_lines, print_table
from craton.fleet.contract import Offer, ReservationView
from craton.fleet.records import ReservationState

NOTHING_FREE = (
    "No such block is free. Ask for fewer, for fewer days, from a later date, or in another zone; "
    "`craton capacity types` lists what there is."
)


PAID = "paid up front"
_PAID = {
    ReservationState.PAYMENT_PENDING: "to pay within 12 hours of buying, or before it starts",
    ReservationState.PAYMENT_FAILED: "was not paid: a budget of the account has no room for it, or "
    "the operator said so. `craton budgets` shows what is left",
}


def what(units: int, name: str) -> str:
    """How many of what."""
    return f"{units} x {name}"


def print_offers(offers: Sequence[Offer]) -> None:
    """Print offers as a table."""
    rows = [
        (
            utc(offer.start_s),
            utc(offer.end_s),
            days(offer.end_s - offer.start_s),
            what(offer.units, offer.ultraserver or offer.instance_type),
            str(offer.hosts),
            f"{offer.zone} ({NOT_REAL})" if offer.is_simulated else offer.zone,
            price(offer.amount_nanos, offer.currency),
            offer.id,
        )
        for offer in offers
    ]
    columns = ("FROM (UTC)", "TO (UTC)", "LASTS", "WHAT", "HOSTS", "ZONE", "PRICE", "OFFER")
    print_table(columns, rows, empty=NOTHING_FREE, right=("HOSTS", "PRICE"))


def print_quote(offer: Offer, buying: str) -> None:
    """Print one offer with its price an hour, and the command that buys it."""
    seconds = offer.end_s - offer.start_s
    hour = an_hour(offer.amount_nanos, offer.hosts, seconds, offer.currency)
    told = what(offer.units, offer.ultraserver or offer.instance_type)
    print_lines(
        f"{told} in {offer.zone}: {offer.hosts} hosts of {offer.instance_type}",
        f"from {utc(offer.start_s)} to {utc(offer.end_s)} UTC, {days(seconds)}",
        f"{price(offer.amount_nanos, offer.currency)} up front, {hour} a host-hour",
        *([IMAGINED] if offer.is_simulated else []),
        f"Buy it: {buying}",
    )


def tell(found: ReservationView, *, as_json: bool) -> None:
    """Print one reservation."""
    if as_json:
        print_json(found)
        return
    told = what(found.units, found.ultraserver or found.instance_type)
    name = f"{found.id} ({found.block})" if found.block else found.id
    until = f"to {utc(found.end_s)} UTC" if found.end_s is not None else "until it is released"
    in_use = f"{found.used_hosts} of {found.total_hosts} hosts in use"
    lines = [
        f"{name} is {found.state}: {told} in {found.zone}, {in_use}",
        f"from {utc(found.start_s)} UTC {until}",
    ]
    if found.block:
        lines.append(f"{price(found.amount_nanos, found.currency)} {_PAID.get(found.state, PAID)}")
    lines += [
        f"made longer on {day_and_time(each.purchased_ms)} UTC, to {utc(each.end_s)} UTC, for "
        f"{price(each.amount_nanos, found.currency)}"
        for each in found.extensions
    ]
    if found.idle_host_s:
        lines.append(
            f"{found.idle_host_s / 3600:,.1f} host-hours of it weren't used, "
            f"{price(found.idle_nanos, found.currency)} of what it cost"
        )
    if found.broken_hosts:
        lines.append(f"{found.broken_hosts} of its hosts don't work and couldn't be replaced")
    if found.hosts:
        lines.append(f"hosts: {hosts_line(found.hosts)}")
    if found.tags:
        lines.append("tags: " + ", ".join(f"{k}={v}" for k, v in sorted(found.tags.items())))
    if found.is_simulated:
        lines.append(IMAGINED)
    print_lines(*lines)
