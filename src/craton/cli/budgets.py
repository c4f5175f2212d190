"""`craton budgets`: what accounts, projects and keys may spend, and what is left."""

from collections.abc import Sequence
from typing import Annotated

import typer

from craton.apis.native.contract import Removed
from craton.cli.connection import segment
from craton.cli.groups import connect, group, listing, pages
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import day_and_time, price, print_lines, print_list, print_table, print_value
from craton.economics.bounds import Period
from craton.economics.contract import BudgetPage, BudgetStatus
from craton.kernel.errors import BadRequest
from craton.kernel.units import nanos

app = group("Bound what is spent; show what is left.", "craton budgets")

BoundedAccount = Annotated[
    str | None, typer.Option("--account", help="Whose, by id or name. [default: your own account]")
]
BoundedProject = Annotated[
    str | None, typer.Option("--project", help="Bound this project of the account, by id or name.")
]
BoundedKey = Annotated[
    str | None, typer.Option("--key", help="Bound this pair of keys, by its name or either id.")
]
Amount = Annotated[str, typer.Option(help="A decimal amount of the currency, such as 20 or 0.5.")]
BudgetId = Annotated[str, typer.Argument(help="Its id, as `craton budgets` lists it.")]


@listing(app, epilog=example("craton budgets list --account team-a"))
def list_budgets(
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List budgets: what is spent, held by requests under way, and left."""
    listed = pages(connect(data), "/budgets", BudgetPage, {"account": account})
    found = [budget for page in listed for budget in page.budgets]
    print_list("budgets", found, _print_table, as_json=as_json)


@app.command("show", epilog=example("craton budgets show bud-abcdefghijkl"))
def show(id: BudgetId, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show one budget."""
    found = connect(data).get("/budgets/" + segment(id), BudgetStatus)
    print_value(found, _print_one, as_json=as_json)


@app.command(
    "create", epilog=example("craton budgets create trial --amount 20 --per month --account team-a")
)
def create(
    *,
    name: Annotated[str, typer.Argument(help="A name, unique in the account.")],
    amount: Amount,
    currency: Annotated[str, typer.Option(help="As the price files write it.")] = "USD",
    per: Annotated[
        Period, typer.Option(help="When it begins anew: at midnight or a month's first, UTC.")
    ] = Period.MONTH,
    account: BoundedAccount = None,
    project: BoundedProject = None,
    key: BoundedKey = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Bound what an account, project or key may spend; in force when this returns."""
    body = {
        "name": name,
        "account": account,
        "project": project,
        "key": key,
        "amount_nanos": _nanos(amount),
        "currency": currency,
        "period": per,
    }
    made = connect(data).post("/budgets", BudgetStatus, body)
    print_value(made, _print_one, as_json=as_json)


@app.command("update", epilog=example("craton budgets update bud-abcdefghijkl --amount 50"))
def update(id: BudgetId, amount: Amount, data: Data = DATA, as_json: AsJson = False) -> None:
    """Give a budget another amount; below what is spent, nothing more passes."""
    body = {"id": id, "amount_nanos": _nanos(amount)}
    changed = connect(data).post("/budgets/update", BudgetStatus, body)
    print_value(changed, _print_one, as_json=as_json)


@app.command("delete", epilog=example("craton budgets delete bud-abcdefghijkl"))
def delete(id: BudgetId, data: Data = DATA, as_json: AsJson = False) -> None:
    """Take a budget away."""
    removed = connect(data).delete("/budgets/" + segment(id), Removed)
    print_value(removed, print_removed, as_json=as_json)


def print_removed(removed: Removed) -> None:
    """Say what was taken away."""
    print_lines(f"Deleted {removed.removed}.")


def _nanos(amount: str) -> int:
    try:
        return nanos(amount)
    except (ValueError, ArithmeticError):
        raise BadRequest(
            f"--amount is {amount!r}. Write a decimal amount with at most nine decimals, such as "
            "20 or 0.5."
        ) from None


def _print_one(budget: BudgetStatus) -> None:
    _print_table([budget])


def _print_table(budgets: Sequence[BudgetStatus]) -> None:
    rows = [
        (
            b.id,
            b.name,
            f"{b.scope} {b.subjects[0]}",
            b.period,
            price(b.amount_nanos, b.currency),
            price(b.spent_nanos, b.currency),
            price(b.held_nanos, b.currency),
            price(b.left_nanos, b.currency),
            price(b.over_nanos, b.currency) if b.over_nanos else "",
            day_and_time(b.renews_ms) if b.renews_ms is not None else "never",
        )
        for b in budgets
    ]
    amounts = ("BUDGET", "SPENT", "HELD", "LEFT", "OVER")
    columns = ("ID", "NAME", "OF", "PER", *amounts, "RENEWS (UTC)")
    print_table(columns, rows, empty="There are no budgets.", right=amounts)
