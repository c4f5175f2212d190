"""`craton ledger`: the books, and whether they balance."""

from typing import Annotated

import typer

from craton.cli.groups import connect, group
from craton.cli.options import DATA, AsJson, Data, example
from craton.cli.output import price, print_json, print_lines, print_table
from craton.economics.contract import Balances, Verdict

app = group("Show the ledger's balances, and check that it is whole.", "craton ledger")


@app.callback()
def ledger(
    context: typer.Context,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show the ledger's balances, and check that it is whole."""
    if context.invoked_subcommand is None:
        balances("", data, as_json)


@app.command("balances", epilog=example("craton ledger balances customer/"))
def balances(
    prefix: Annotated[str, typer.Argument(help="Only accounts that start so.")] = "",
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show the balance of each ledger account; all of a currency sum to zero."""
    found = connect(data).get("/ledger/balances", Balances, {"prefix": prefix or None})
    if as_json:
        print_json(found)
        return
    rows = [
        (b.ledger_account, price(b.amount_nanos, b.currency), str(b.postings))
        for b in found.balances
    ]
    columns = ("LEDGER ACCOUNT", "BALANCE", "POSTINGS")
    print_table(columns, rows, empty="Nothing was posted.", right=columns[1:])


@app.command("verify", epilog=example("craton ledger verify"))
def verify(data: Data = DATA, as_json: AsJson = False) -> None:
    """Check that every transaction sums to zero; exit code 1 if not."""
    verdict = connect(data).get("/ledger/verify", Verdict)
    is_whole = not verdict.faults and verdict.sum_nanos == 0
    if as_json:
        print_json({"whole": is_whole, "verdict": verdict})
    else:
        print_lines(
            f"{verdict.usage_records} usage records, {verdict.transactions} transactions, "
            f"{verdict.postings} postings; they sum to {verdict.sum_nanos}.",
            *verdict.faults,
            "The ledger is whole."
            if is_whole
            else "The ledger is NOT whole. Stop Craton, keep a copy of its data folder, and look "
            "at these transactions before anything is billed.",
        )
    if not is_whole:
        raise typer.Exit(1)
