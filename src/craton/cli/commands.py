"""Every `craton` command in one table; each is imported when it is asked for.

So `craton env` and `craton ask` don't wait for what `craton plan` computes with, and `craton up`
doesn't keep it in memory.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

import typer
from typer.core import TyperCommand, TyperGroup

from craton.cli.options import example

Command = TyperCommand | TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is: a function, or a `typer.Typer` with commands of its own."""

    module: str
    attribute: str = "app"
    epilog: str | None = None


COMMANDS = {
    "up": Entry("craton.cli.up", "up", example("craton up --port 8400 --data ./craton-data")),
    "env": Entry("craton.cli.environment", "env", example('eval "$(craton env)"')),
    "ask": Entry("craton.cli.ask", "ask", example("craton ask 'Why is the sky blue?'")),
    "chat": Entry(
        "craton.cli.chat", "chat", example("craton chat --system 'Answer in one sentence.'")
    ),
    "models": Entry("craton.cli.models"),
    "chips": Entry("craton.cli.chips"),
    "plan": Entry("craton.cli.plan"),
    "fleet": Entry("craton.cli.fleet_upkeep"),
    "capacity": Entry("craton.cli.capacity"),
    "leases": Entry("craton.cli.fleet_leases"),
    "commitments": Entry("craton.cli.commitments"),
    "run": Entry("craton.cli.runs"),
    "keys": Entry("craton.cli.keys"),
    "policies": Entry("craton.cli.policies"),
    "accounts": Entry("craton.cli.accounts", "accounts_app"),
    "projects": Entry("craton.cli.accounts", "projects_app"),
    "budgets": Entry("craton.cli.budgets"),
    "limits": Entry("craton.cli.limits"),
    "prices": Entry("craton.cli.prices", "prices", example("craton prices")),
    "usage": Entry("craton.cli.usage", "usage", example("craton usage --since 24h")),
    "ledger": Entry("craton.cli.ledger"),
    "doctor": Entry("craton.cli.doctor", "doctor", example("craton doctor")),
}


class Commands(TyperGroup):
    """The commands of the table, in its order."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride] - typer passes its own Context
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Command | None:  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride] - as above
        """One of them, imported now; None if there is no such command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = getattr(import_module(entry.module), entry.attribute)
        holder = typer.Typer(callback=_nothing, pretty_exceptions_enable=False)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=cmd_name)
        else:
            holder.command(cmd_name, epilog=entry.epilog)(found)
        return cast("Command", typer.main.get_group(holder).commands[cmd_name])


def _nothing() -> None:
    """A group does nothing by itself."""
