"""How contracts over years are printed: rounded for people; `--json` has the whole figures."""

from datetime import UTC, datetime

from craton.cli.capacity_terms import IMAGINED, NOT_REAL
from craton.cli.output import print_lines, print_table
from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentView,
    DeliveryView,
    StatementView,
)
from craton.fleet.commitment_terms import RollsOver

_SCALES = {"watt_s": (3_600_000_000, "MWh"), "chip_s": (3600, "chip-hours")}
_ROLLS = {
    RollsOver.NONE: "what isn't used lapses",
    RollsOver.MONTH: "what isn't used can be used in the next month",
    RollsOver.YEAR: "what isn't used can be used until the year ends",
}


def print_commitments(found: Commitments) -> None:
    """Print contracts, a line each."""
    rows = [
        (
            each.id,
            each.name,
            f"{each.state} ({NOT_REAL})" if each.is_simulated else each.state,
            each.account,
            _day(each.start_s),
            _day(each.end_s),
            _money(each.contracted),
            _money(each.recognised),
            _money(each.backlog),
            each.currency,
        )
        for each in found.commitments
    ]
    columns = ("COMMITMENT", "NAME", "STATE", "ACCOUNT", "FROM", "TO", "CONTRACTED", "RECOGNISED")
    columns += ("BACKLOG", "")
    empty = "There are no commitments. `craton commitments sign FILE` puts a contract in force."
    print_table(columns, rows, empty=empty, right=("CONTRACTED", "RECOGNISED", "BACKLOG"))


def print_schedule(view: CommitmentView) -> None:
    """Print what the fleet keeps for each delivery, and what it can't."""
    _head(view)
    rows = [
        (
            _day(each.start_s),
            _day(each.end_s),
            " or ".join(each.of),
            f"{each.amount} {view.unit}",
            each.held,
            f"{each.chips:,}",
            ", ".join(f"{units:,} x {pool}" for pool, units in each.pools.items()) or "-",
            each.missing if each.missing != "0" else "",
        )
        for each in view.deliveries
    ]
    columns = ("FROM", "TO", "OF", "PROMISED", "KEPT", "CHIPS", "UNITS", "MISSING")
    print_table(columns, rows, empty="", right=("PROMISED", "KEPT", "CHIPS", "MISSING"))
    lacking = [each for each in view.deliveries if each.missing != "0"]
    print_lines(*(_shortfall(each, view) for each in lacking))
    if view.is_simulated:
        print_lines(IMAGINED)


def _shortfall(delivery: DeliveryView, view: CommitmentView) -> str:
    return (
        f"The fleet lacks {delivery.missing} of {delivery.amount} {view.unit} from "
        f"{_day(delivery.start_s)} on: {delivery.reason}. What isn't delivered is credited."
    )


def print_commitment(view: CommitmentView) -> None:
    """Print one contract: its deliveries, its years, and how its amount stands."""
    print_schedule(view)
    scale, unit = _SCALES[view.measure]
    rows = [
        (
            str(each.year),
            str(each.months_posted),
            _whole(each.committed, scale),
            _whole(each.delivered, scale),
            _whole(each.used, scale),
            _money(each.amount),
            _money(each.due),
            _money(each.credited),
            _money(each.recognised),
            _money(each.above),
            _money(each.backlog),
        )
        for each in view.years
    ]
    columns = ("YEAR", "MONTHS", f"PROMISED ({unit})", "DELIVERED", "USED", "WORTH", "DUE")
    columns += ("CREDITED", "RECOGNISED", "ABOVE", "BACKLOG")
    print_lines("")
    print_table(columns, rows, empty="", right=columns[1:])
    lines = [
        (
            f"contracted {_money(view.contracted)} {view.currency}: recognised "
            f"{_money(view.recognised)}, lapsed {_money(view.lapsed)}, still to come "
            f"{_money(view.backlog)}"
        ),
    ]
    if view.credited != "0.00":
        lines.append(f"credited for what wasn't delivered: {_money(view.credited)}")
    if view.above_amount != "0.00":
        lines.append(f"besides, for use above it: {_money(view.above_amount)}")
    if view.fee != "0.00":
        lines.append(f"for ending it early: {_money(view.fee)}")
    if view.banked:
        lines.append(f"paid and still to be used: {_whole(view.banked, scale)} {unit}")
    print_lines("", *lines)


def print_statement(view: StatementView) -> None:
    """Print one month's bill."""
    scale, unit = _SCALES[view.measure]
    lines = [
        f"{view.name} ({view.id}) of {view.account}, {view.month}",
        (
            f"promised {_whole(view.committed, scale)} {unit}, delivered "
            f"{_whole(view.delivered, scale)}, used {_whole(view.used, scale)}"
        ),
        f"due by take-or-pay      {view.due} {view.currency}",
        f"used besides            {view.extra} {view.currency}",
        f"credit for what lacked  -{view.credit} {view.currency}",
        f"total                   {view.total} {view.currency}",
    ]
    if view.over:
        told = ", ".join(f"{amount} {currency}" for currency, amount in view.above.items())
        lines.append(
            f"above it                {told or 'no price'}, for {_whole(view.over, scale)} {unit} "
            "on demand"
        )
    if view.drawn:
        lines.append(f"used of what rolled over: {_whole(view.drawn, scale)} {unit}")
    if view.banked:
        lines.append(f"rolls over: {_whole(view.banked, scale)} {unit}")
    if view.is_simulated:
        lines.append(IMAGINED)
    print_lines(*lines)


def _head(view: CommitmentView) -> None:
    what = "would be signed" if view.is_dry_run else f"is {view.state}"
    take = f"{view.take_or_pay_permille / 10:g} % take-or-pay"
    above = "on demand" if view.above == "on-demand" else "refused"
    lines = [
        (
            f"{view.name} ({view.id}) of {view.account} {what}: {_money(view.contracted)} "
            f"{view.currency} from {_day(view.start_s)} to {_day(view.end_s)}"
        ),
        f"{take}; {_ROLLS[view.rolls_over]}; use above it is {above}",
    ]
    if view.exclusive:
        lines.append(f"nobody else may use {', '.join(view.exclusive)}")
    print_lines(*lines, "")


def _day(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def _money(text: str) -> str:
    """An amount with its thousands apart, cut to cents."""
    whole, _, rest = text.partition(".")
    return f"{int(whole):,}.{rest[:2]:0<2}"


def _whole(quantity: int, scale: int) -> str:
    return f"{quantity / scale:,.0f}"
