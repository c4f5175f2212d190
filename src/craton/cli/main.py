"""The `craton` command: every command in one table, and how errors end it."""

import sys
from collections.abc import Sequence

import msgspec
import typer

from craton.apis.native.contract import ErrorBody, ErrorDetail
from craton.cli import (
    accounts,
    budgets,
    capacity,
    chips,
    commitments,
    fleet_leases,
    fleet_upkeep,
    keys,
    ledger,
    limits,
    models,
    plan,
    policies,
    runs,
)
from craton.cli.ask import ask
from craton.cli.chat import chat
from craton.cli.doctor import doctor
from craton.cli.environment import env
from craton.cli.options import example
from craton.cli.prices import prices
from craton.cli.up import up
from craton.cli.usage import usage
from craton.kernel.errors import CratonError

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""

app = typer.Typer(
    name="craton",
    help="An AI cloud that you own, behind the APIs your programs already use.",
    epilog=example("craton up"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up", epilog=example("craton up --port 8400 --data ./craton-data"))(up)
app.command("env", epilog=example('eval "$(craton env)"'))(env)
app.command("ask", epilog=example("craton ask 'Why is the sky blue?'"))(ask)
app.command("chat", epilog=example("craton chat --system 'Answer in one sentence.'"))(chat)
app.add_typer(models.app, name="models")
app.add_typer(chips.app, name="chips")
app.add_typer(plan.app, name="plan")
app.add_typer(fleet_upkeep.app, name="fleet")
app.add_typer(capacity.app, name="capacity")
app.add_typer(fleet_leases.app, name="leases")
app.add_typer(commitments.app, name="commitments")
app.add_typer(runs.app, name="run")
app.add_typer(keys.app, name="keys")
app.add_typer(policies.app, name="policies")
app.add_typer(accounts.accounts_app, name="accounts")
app.add_typer(accounts.projects_app, name="projects")
app.add_typer(budgets.app, name="budgets")
app.add_typer(limits.app, name="limits")
app.command("prices", epilog=example("craton prices"))(prices)
app.command("usage", epilog=example("craton usage --since 24h"))(usage)
app.add_typer(ledger.app, name="ledger")
app.command("doctor", epilog=example("craton doctor"))(doctor)


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit status. Errors go to standard error, as JSON if `--json` is on."""
    try:
        app(runs.completed(arguments), prog_name="craton")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except CratonError as error:
        if "--json" in arguments:
            body = ErrorBody(ErrorDetail(error.fault, error.message))
            sys.stderr.write(msgspec.json.encode(body).decode() + "\n")
        else:
            sys.stderr.write(f"craton: {error.message}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def run() -> None:
    """The program."""
    sys.exit(main(sys.argv[1:]))
