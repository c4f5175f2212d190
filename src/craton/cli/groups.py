"""What the commands about things (models, keys, accounts, …) share."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import typer

from craton.cli.connection import Connection, Query
from craton.cli.installation import read_installation

PAGE = 1000


class _Page(Protocol):
    @property
    def next(self) -> str | None: ...


Page = TypeVar("Page", bound=_Page)
Options = ParamSpec("Options")


def group(summary: str, example: str) -> typer.Typer:
    """A command with commands of its own, which lists when called alone."""
    return typer.Typer(
        help=summary,
        epilog=f"Example: {example}",
        invoke_without_command=True,
        no_args_is_help=False,
    )


def listing(
    app: typer.Typer, *, epilog: str
) -> Callable[[Callable[Options, None]], Callable[Options, None]]:
    """A group's `list`, which is also what the group does when it is called alone."""

    def register(command: Callable[Options, None]) -> Callable[Options, None]:
        def alone(context: typer.Context, *args: Options.args, **options: Options.kwargs) -> None:
            if context.invoked_subcommand is None:
                command(*args, **options)

        # Typer reads the options of a function from these two.
        signature = inspect.signature(command)
        first = next(iter(inspect.signature(alone).parameters.values()))
        parameters = [first, *signature.parameters.values()]
        alone.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportFunctionMemberAccess] - inspect's protocol
        alone.__annotations__ = {"context": typer.Context, **command.__annotations__}
        app.callback()(alone)
        app.command("list", epilog=epilog)(command)
        return command

    return register


def connect(data: Path) -> Connection:
    """The running Craton of a data folder, with its default key."""
    installation = read_installation(data)
    return Connection(
        installation.endpoint.url, installation.key().api_key, trust=installation.endpoint.trust
    )


def pages(
    connection: Connection, path: str, reads: type[Page], query: Query | None = None
) -> Iterator[Page]:
    """Every page of a list."""
    after: str | None = None
    while True:
        page = connection.get(path, reads, {**(query or {}), "limit": PAGE, "after": after})
        yield page
        if page.next is None:
            return
        after = page.next
