"""`craton limits`: how fast accounts, projects and keys may use models."""

from collections.abc import Sequence
from typing import Annotated

import typer

from craton.apis.native.contract import Removed
from craton.cli.budgets import BoundedAccount, BoundedKey, BoundedProject, print_removed
from craton.cli.connection import segment
from craton.cli.groups import connect, group, listing, pages
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import print_list, print_table, print_value
from craton.economics.contract import LimitPage, LimitStatus

app = group("Bound how fast models are used.", "craton limits")

LimitId = Annotated[str, typer.Argument(help="Its id, as `craton limits` lists it.")]
Requests = Annotated[int | None, typer.Option(min=1, help="Most requests in any 60 seconds.")]
Tokens = Annotated[
    int | None, typer.Option(min=1, help="Most tokens, input and output, in any 60 seconds.")
]
AtOnce = Annotated[int | None, typer.Option(min=1, help="Most requests under way at once.")]


@listing(app, epilog=example("craton limits list --account team-a"))
def list_limits(
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List limits, and what counts against them now."""
    listed = pages(connect(data), "/limits", LimitPage, {"account": account})
    found = [limit for page in listed for limit in page.limits]
    print_list("limits", found, _print_table, as_json=as_json)


@app.command("show", epilog=example("craton limits show lim-abcdefghijkl"))
def show(id: LimitId, data: Data = DATA, as_json: AsJson = False) -> None:
    """Show one limit."""
    found = connect(data).get("/limits/" + segment(id), LimitStatus)
    print_value(found, _print_one, as_json=as_json)


@app.command("create", epilog=example("craton limits create calm --requests 60 --tokens 100000"))
def create(
    *,
    name: Annotated[str, typer.Argument(help="A name, unique in the account.")],
    requests: Requests = None,
    tokens: Tokens = None,
    at_once: AtOnce = None,
    model: Annotated[
        str | None, typer.Option(help="Count only this model's requests; its id or an alias.")
    ] = None,
    account: BoundedAccount = None,
    project: BoundedProject = None,
    key: BoundedKey = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Bound how fast an account, project or key may use models; in force when this returns."""
    body = {
        "name": name,
        "account": account,
        "project": project,
        "key": key,
        "model": model,
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "requests_at_once": at_once,
    }
    made = connect(data).post("/limits", LimitStatus, body)
    print_value(made, _print_one, as_json=as_json)


@app.command("update", epilog=example("craton limits update lim-abcdefghijkl --requests 120"))
def update(
    *,
    id: LimitId,
    requests: Requests = None,
    tokens: Tokens = None,
    at_once: AtOnce = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Give a limit other numbers; one that is left out stays."""
    numbers = {
        "requests_per_minute": requests,
        "tokens_per_minute": tokens,
        "requests_at_once": at_once,
    }
    given = {name: number for name, number in numbers.items() if number is not None}
    changed = connect(data).post("/limits/update", LimitStatus, {"id": id, **given})
    print_value(changed, _print_one, as_json=as_json)


@app.command("delete", epilog=example("craton limits delete lim-abcdefghijkl"))
def delete(id: LimitId, data: Data = DATA, as_json: AsJson = False) -> None:
    """Take a limit away."""
    removed = connect(data).delete("/limits/" + segment(id), Removed)
    print_value(removed, print_removed, as_json=as_json)


def _print_one(limit: LimitStatus) -> None:
    _print_table([limit])


def _print_table(limits: Sequence[LimitStatus]) -> None:
    rows = [
        (
            x.id,
            x.name,
            f"{x.scope} {x.subjects[0]}",
            x.model or "all",
            _of(x.requests_counted, x.requests_per_minute),
            _of(x.tokens_counted, x.tokens_per_minute),
            _of(x.requests_running, x.requests_at_once),
        )
        for x in limits
    ]
    counts = ("REQUESTS A MINUTE", "TOKENS A MINUTE", "AT ONCE")
    columns = ("ID", "NAME", "OF", "MODEL", *counts)
    print_table(columns, rows, empty="There are no limits.", right=counts)


def _of(count: int, limit: int | None) -> str:
    return f"{count} of {limit}" if limit is not None else "no limit"
