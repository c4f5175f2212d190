"""What the commands about things (models, keys, accounts, …) share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import typer

from craton.cli.connection import Connection, Query
from craton.cli.installation import read_installation

PAGE = 1000


class _Page(Protocol):
    @property
    def next(self) -> str | None: ...


Page = TypeVar("Page", bound=_Page)


def group(summary: str, example: str) -> typer.Typer:
    """A command with commands of its own, which lists when called alone."""
    return typer.Typer(
        help=summary,
        epilog=f"Example: {example}",
        invoke_without_command=True,
        no_args_is_help=False,
    )


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
