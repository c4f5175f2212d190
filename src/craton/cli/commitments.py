"""`craton commitments`: contracts over years, what they hold, use, owe, and what is to come."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from craton.cli.capacity_terms import As, connect_as
from craton.cli.commitment_tables import (
    print_commitment,
    print_commitments,
    print_schedule,
    print_statement,
)
from craton.cli.connection import segment
from craton.cli.groups import connect, group, listing
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import print_json, print_value
from craton.fleet.commitment_contract import Commitments, CommitmentView, StatementView
from craton.kernel.errors import NotFound

app = group("Sign contracts over years, and see what they hold, use and owe.", "craton commitments")

CommitmentId = Annotated[
    str, typer.Argument(help="Its id (cmt-…) or name, as `craton commitments` lists it.")
]


@listing(app, epilog=example("craton commitments list --account acme"))
def list_commitments(
    *, data: Data = DATA, account: OfAccount = None, as_json: AsJson = False
) -> None:
    """List contracts: their terms, what was recognised of them, and what is still to come."""
    found = connect(data).get("/commitments", Commitments, {"account": account})
    print_value(found, print_commitments, as_json=as_json)


@app.command("sign", epilog=example("craton commitments sign contract.toml --dry-run"))
def sign(
    *,
    file: Annotated[str, typer.Argument(help="The contract (TOML); - reads stdin.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what the fleet holds of it.")
    ] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Put a contract in force: its units are kept, and what the fleet can't hold is shown."""
    path = "/commitments?dry_run=true" if dry_run else "/commitments"
    made = connect(data).put(path, CommitmentView, _read(file))
    print_value(made, print_schedule, as_json=as_json)


@app.command("show", epilog=example("craton commitments show trainium-2gw"))
def show(id: CommitmentId, data: Data = DATA, account: As = None, as_json: AsJson = False) -> None:
    """Show one contract: deliveries, each year's use and bill, and the backlog."""
    found = connect_as(data, account).get("/commitments/" + segment(id), CommitmentView)
    print_value(found, print_commitment, as_json=as_json)


@app.command("schedule", epilog=example("craton commitments schedule trainium-2gw --keep"))
def schedule(
    *,
    id: CommitmentId,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep units for what was missing, where there are now.")
    ] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show whether the fleet holds each delivery: what is kept, what is missing, and why."""
    connection = connect(data)
    if keep:
        found = connection.post("/commitments/capacity", CommitmentView, {"id": id})
    else:
        found = connection.get("/commitments/" + segment(id), CommitmentView)
    print_value(found, print_schedule, as_json=as_json)


@app.command(
    "statement", epilog=example("craton commitments statement trainium-2gw --month 2027-04")
)
def statement(
    *,
    id: CommitmentId,
    month: Annotated[str, typer.Option(help="A month that is over, such as 2027-04.")],
    data: Data = DATA,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Show one month's bill: what was due, delivered, used, and what is above the contract."""
    path = f"/commitments/{segment(id)}/statements/{segment(month)}"
    found = connect_as(data, account).get(path, StatementView)
    print_value(found, print_statement, as_json=as_json)


@app.command("terminate", epilog=example("craton commitments terminate trainium-2gw --yes"))
def terminate(
    *,
    id: CommitmentId,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask whether it is meant.")] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """End a contract now: what was used is billed, its fee is posted, what it has is let go."""
    if not yes:
        typer.confirm(f"End {id} now? What runs in it ends, too.", abort=True)
    ended = connect(data).delete("/commitments/" + segment(id), CommitmentView)
    if as_json:
        print_json(ended)
    else:
        print_commitment(ended)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise NotFound(f"The contract {file} can't be read: {error.strerror}.") from None
