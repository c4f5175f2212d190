"""`craton keys`: access keys for SigV4 and API keys, made in pairs."""

from typing import Annotated

import msgspec
import typer

from craton.access.contract import NewKey
from craton.access.credentials import Credentials, write_credentials
from craton.access.records import Role
from craton.apis.native.contract import KeyPage, KeyView
from craton.cli.connection import segment
from craton.cli.groups import connect, group, listing, pages
from craton.cli.installation import CREDENTIALS_FILE, Installation, read_installation
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import day_and_time, print_json, print_lines, print_table

app = group("List, make and revoke keys.", "craton keys")


@listing(app, epilog=example("craton keys list --account default"))
def list_keys(
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List keys; secrets are never shown again after they were made."""
    listed = pages(connect(data), "/keys", KeyPage, {"account": account})
    found = [key for page in listed for key in page.keys]
    if as_json:
        print_json({"keys": found})
        return
    rows = [
        (
            k.id,
            k.kind,
            k.name,
            k.account,
            k.role,
            k.state,
            f"…{k.hint}" if k.hint else "",
            day_and_time(k.created_ms),
        )
        for k in found
    ]
    columns = ("KEY", "KIND", "NAME", "ACCOUNT", "ROLE", "STATE", "ENDS", "MADE (UTC)")
    print_table(columns, rows, empty="There are no keys.")


@app.command("create", epilog=example("craton keys create ci --account team-a"))
def create(
    *,
    name: Annotated[str, typer.Argument(help="A name, unique in the account.")],
    account: Annotated[
        str | None, typer.Option(help="Whose key, by id or name. [default: your own account]")
    ] = None,
    project: Annotated[str, typer.Option(help="To which use is attributed.")] = "default",
    role: Annotated[
        Role, typer.Option(help="A member uses models; an operator administers.")
    ] = Role.MEMBER,
    save: Annotated[
        bool, typer.Option("--save", help="Make it the account's keys in the credentials file.")
    ] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make an access key and an API key; their secrets are told this once."""
    body = {"name": name, "account": account, "project": project, "role": role}
    made = connect(data).post("/keys", NewKey, body)
    if save:
        save_key(read_installation(data), made)
    if as_json:
        print_json(made)
        return
    print_lines(*secret_lines(made))
    if save:
        print_lines(f"Saved in {data / CREDENTIALS_FILE}.")
    else:
        print_lines("Keep them now: they are not shown again.")


@app.command("revoke", epilog=example("craton keys revoke key-abcdefgh"))
def revoke(
    ids: Annotated[list[str], typer.Argument(help="Ids of keys, as `craton keys` lists them.")],
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Revoke keys; they are refused everywhere before this returns."""
    connection = connect(data)
    revoked: list[KeyView] = []
    for id in ids:
        revoked.append(connection.delete("/keys/" + segment(id), KeyView))
        if not as_json:
            print_lines(f"Revoked {id}.")
    if as_json:
        print_json({"keys": revoked})


def secret_lines(made: NewKey) -> list[str]:
    """A new pair of keys as lines to read."""
    return [
        f"Account            {made.account} ({made.account_name}), project {made.project}",
        f"Role               {made.role}",
        f"Access key id      {made.access_key_id}",
        f"Secret access key  {made.secret_access_key}",
        f"API key id         {made.api_key_id}",
        f"API key            {made.api_key}",
    ]


def save_key(installation: Installation, made: NewKey) -> None:
    """Put a new pair of keys into the credentials file, in the place of its account's old one."""
    old: Credentials = installation.credentials
    keys = {**old.keys, made.account_name: made}
    write_credentials(installation.data / CREDENTIALS_FILE, msgspec.structs.replace(old, keys=keys))
