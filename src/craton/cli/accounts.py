"""`craton accounts` and `craton projects`: who pays, and what use is attributed to."""

from shlex import quote
from typing import Annotated

import typer

from craton.access.contract import NewKey
from craton.access.records import Account, Project
from craton.apis.native.contract import AccountPage, ProjectPage
from craton.cli.groups import connect, group, listing, pages
from craton.cli.installation import CREDENTIALS_FILE, read_installation
from craton.cli.keys import save_key
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import day_and_time, print_json, print_lines, print_table

accounts_app = group("List and make accounts.", "craton accounts")
projects_app = group("List and make projects.", "craton projects")

FIRST_KEY = "first"


@listing(accounts_app, epilog=example("craton accounts list --json"))
def list_accounts(data: Data = DATA, as_json: AsJson = False) -> None:
    """List accounts."""
    found = [a for page in pages(connect(data), "/accounts", AccountPage) for a in page.accounts]
    if as_json:
        print_json({"accounts": found})
        return
    rows = [(a.id, a.name, day_and_time(a.created_ms)) for a in found]
    print_table(("ACCOUNT", "NAME", "MADE (UTC)"), rows, empty="There are no accounts.")


@accounts_app.command("create", epilog=example("craton accounts create team-a"))
def create_account(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make an account with a member's keys, and add these to the credentials file."""
    connection = connect(data)
    account = connection.post("/accounts", Account, {"name": name})
    key = connection.post("/keys", NewKey, {"name": FIRST_KEY, "account": account.id})
    save_key(read_installation(data), key)
    if as_json:
        print_json({"account": account, "key": key})
        return
    print_lines(
        f"Made account {account.name} ({account.id}). Its keys are in {data / CREDENTIALS_FILE}.",
        f'Use them: eval "$(craton env --data {quote(str(data))} --account {quote(account.name)})"',
    )


@listing(projects_app, epilog=example("craton projects list --account team-a"))
def list_projects(
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List projects."""
    listed = pages(connect(data), "/projects", ProjectPage, {"account": account})
    found = [project for page in listed for project in page.projects]
    if as_json:
        print_json({"projects": found})
        return
    rows = [(p.id, p.name, p.account, day_and_time(p.created_ms)) for p in found]
    print_table(("PROJECT", "NAME", "ACCOUNT", "MADE (UTC)"), rows, empty="There are no projects.")


@projects_app.command("create", epilog=example("craton projects create batch --account team-a"))
def create_project(
    name: Annotated[str, typer.Argument(help="The project's name.")],
    account: Annotated[
        str | None, typer.Option(help="Whose, by id or name. [default: your own account]")
    ] = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make a project in an account."""
    made = connect(data).post("/projects", Project, {"name": name, "account": account})
    if as_json:
        print_json(made)
    else:
        print_lines(f"Made project {made.name} ({made.id}) of account {made.account}.")
