"""`craton policies`: IAM policies of accounts, projects and keys."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from craton.access.policy_document import Effect, read_document
from craton.apis.native.policy_contract import PolicyPage, PolicyTest, PolicyView
from craton.cli.connection import segment
from craton.cli.groups import connect, group, listing, pages
from craton.cli.options import DATA, AsJson, Data, OfAccount, example
from craton.cli.output import day_and_time, print_json, print_lines, print_table
from craton.kernel.errors import BadRequest, NotFound

app = group("List, attach, test and detach IAM policies.", "craton policies")

DENIED = 1
"""The status of `test` when the answer is no."""

Name = Annotated[str, typer.Argument(help="The policy's name, unique on what it is attached to.")]
OnKey = Annotated[
    str | None, typer.Option("--key", help="Attached to this key (id) and its twin of its name.")
]
OnProject = Annotated[str | None, typer.Option("--project", help="Attached to this project (id).")]
OnAccount = Annotated[
    str | None, typer.Option("--account", help="Attached to this account (id or name).")
]


@listing(app, epilog=example("craton policies list --account team-a"))
def list_policies(
    data: Data = DATA,
    account: OfAccount = None,
    as_json: AsJson = False,
) -> None:
    """List policies and what they bind."""
    listed = pages(connect(data), "/policies", PolicyPage, {"account": account})
    found = [policy for page in listed for policy in page.policies]
    if as_json:
        print_json({"policies": found})
        return
    rows = [(p.name, p.level, p.target, p.account, day_and_time(p.updated_ms)) for p in found]
    columns = ("POLICY", "BINDS", "WHICH", "ACCOUNT", "CHANGED (UTC)")
    print_table(columns, rows, empty="There are no policies: a key's role alone decides.")


@app.command("put", epilog=example("craton policies put only-small policy.json --key key-abcdef"))
def put(
    *,
    name: Name,
    file: Annotated[str, typer.Argument(help="A file with the policy as JSON; - reads stdin.")],
    key: OnKey = None,
    project: OnProject = None,
    account: OnAccount = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Attach a policy, in the place of the one of its name; it binds before this returns."""
    folder, connection = _folder(key, project, account), connect(data)
    made = connection.put(f"{folder}/{segment(name)}", PolicyView, _read(file))
    if as_json:
        print_json(made)
        return
    print_lines(f"The policy {made.name} binds {made.level} {made.target} from now on.")
    beside = [p for page in pages(connection, folder, PolicyPage) for p in page.policies]
    if not any(_allows(policy) for policy in beside):
        print_lines(
            f"No policy of {made.level} {made.target} allows anything, so everything is denied to "
            "it. Put an Allow beside the denials."
        )


@app.command("show", epilog=example("craton policies show only-small --key key-abcdef"))
def show(
    *,
    name: Name,
    key: OnKey = None,
    project: OnProject = None,
    account: OnAccount = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Print a policy's document."""
    found = connect(data).get(_path(name, key, project, account), PolicyView)
    print_json(found if as_json else found.document)


@app.command("delete", epilog=example("craton policies delete only-small --key key-abcdef"))
def delete(
    *,
    name: Name,
    key: OnKey = None,
    project: OnProject = None,
    account: OnAccount = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Detach a policy; it binds nobody any more when this returns."""
    gone = connect(data).delete(_path(name, key, project, account), PolicyView)
    if as_json:
        print_json(gone)
    else:
        print_lines(f"The policy {gone.name} of {gone.level} {gone.target} is gone.")


@app.command(
    "test",
    epilog=example("craton policies test --key key-abcdef --action bedrock:InvokeModel"),
)
def rehearse(
    *,
    key: Annotated[str, typer.Option(help="The key (id) that would call.")],
    action: Annotated[str, typer.Option(help="What it would do, such as bedrock:InvokeModel.")],
    resource: Annotated[
        str | None, typer.Option(help="To what, as an ARN. [default: *, or the model]")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="With which model, by id or alias.")
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(help="A condition key's value, as aws:SourceIp=10.0.0.1; repeatable."),
    ] = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Say whether a key would be allowed to do something, and which statement decides it.

    Ends with status 1 if it would be denied.
    """
    body = {
        "key": key,
        "action": action,
        "resource": resource,
        "model": model,
        "context": _context(context or []),
    }
    told = connect(data).post("/policies/test", PolicyTest, body)
    if as_json:
        print_json(told)
    else:
        print_lines("allowed" if told.allowed else "denied", told.reason)
        rows = [
            (
                "allowed" if c.allowed else "denied",
                c.action,
                c.resource,
                f"{c.level}" if c.level else "role",
                c.policy or "",
                c.statement or "",
            )
            for c in told.checks
        ]
        if rows:
            columns = ("", "ACTION", "RESOURCE", "DECIDED BY", "POLICY", "STATEMENT")
            print_table(columns, rows, empty="")
    if not told.allowed:
        raise typer.Exit(DENIED)


def _path(name: str, key: str | None, project: str | None, account: str | None) -> str:
    return f"{_folder(key, project, account)}/{segment(name)}"


def _folder(key: str | None, project: str | None, account: str | None) -> str:
    places = {"keys": key, "projects": project, "accounts": account}
    named = [(plural, id) for plural, id in places.items() if id is not None]
    if len(named) != 1:
        raise BadRequest("Say what the policy is attached to: one of --key, --project, --account.")
    ((plural, id),) = named
    return f"/{plural}/{segment(id)}/policies"


def _allows(policy: PolicyView) -> bool:
    statements = read_document(bytes(policy.document).decode()).statements
    return any(statement.effect is Effect.ALLOW for statement in statements)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise NotFound(f"The file {file} can't be read: {error.strerror}.") from None


def _context(given: list[str]) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or ":" not in key:
            raise BadRequest(f"--context {text!r}: write it as aws:SourceIp=10.0.0.1.")
        values.setdefault(key, []).append(value)
    return {key: many[0] if len(many) == 1 else many for key, many in values.items()}
