"""Opens the database that the settings name: a file of SQLite's, or PostgreSQL."""

import asyncio
from pathlib import Path

from craton.bootstrap.database_url import chosen, remember
from craton.bootstrap.migrate import migrate
from craton.bootstrap.settings import Settings
from craton.kernel.clock import Clock
from craton.kernel.log import Log
from craton.store.database import OwnedConnection
from craton.store.sqlite import open_sqlite

Databases = tuple[OwnedConnection, OwnedConnection]
"""What the state process writes through, and what it reads from."""


async def open_databases(
    settings: Settings, stop: asyncio.Event, *, clock: Clock, log: Log
) -> Databases | None:
    """Open it in the schema of this version; None if told to stop while waiting for it."""
    if settings.postgresql is not None:
        # A plug-in's loader: only who stores in PostgreSQL has its driver.
        from craton.bootstrap import postgresql  # noqa: PLC0415

        return await postgresql.open_waiting(settings.postgresql, stop, clock=clock, log=log)
    migrate(settings.database)
    return open_sqlite(settings.database), open_sqlite(settings.database, read_only=True)


async def choose(asked: str | None, data: Path, ledger_file: Path, clock: Clock) -> str | None:
    """The PostgreSQL database to use, which is there, fit and free; None for the file.

    Asked before anything starts, so that what is wrong is said at once, to who started it.
    """
    url = chosen(asked, data, ledger_file)
    if url is not None:
        from craton.bootstrap import postgresql  # noqa: PLC0415 - a plug-in's loader, as above

        await postgresql.try_out(url, clock)
        remember(url, data)
    return url
