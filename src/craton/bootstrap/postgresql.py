"""The state process's way to PostgreSQL: it waits for the server, and ends when that is lost."""

import asyncio
import os
from typing import NoReturn

import psycopg

from craton.bootstrap.migrate import is_behind, upgrade
from craton.kernel.clock import Clock
from craton.kernel.errors import Conflict, Unavailable
from craton.kernel.log import Log
from craton.store.database import OwnedConnection, Row
from craton.store.postgresql import IN_USE, Lost, connect, open_readers, open_writer, place

LOCK_WAIT_S = 30
"""The most that the session of a state process before this one takes to end: the server notices at
once that a process is gone, and within 25 s that a machine is."""
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 1.0
TRY_WAIT_S = 2
TELL_EVERY_S = 10
LOST_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: the supervisor starts the state process again."""

Pair = tuple[OwnedConnection, OwnedConnection]


async def open_waiting(url: str, stop: asyncio.Event, *, clock: Clock, log: Log) -> Pair | None:
    """The sessions to write and to read through; None if told to stop before.

    A server that doesn't answer is waited for: it may be starting again. What waiting can't mend
    is a Conflict.
    """
    started_ns = clock.monotonic_ns()
    told_ns = 0
    pause_s = PAUSE_FIRST_S
    while not stop.is_set():
        try:
            return await asyncio.to_thread(_open, url, _ending(log))
        except (Conflict, Unavailable) as error:
            now_ns = clock.monotonic_ns()
            may_end = error.code == IN_USE and now_ns - started_ns < LOCK_WAIT_S * 1e9
            if isinstance(error, Conflict) and not may_end:
                raise
            if not told_ns or now_ns - told_ns > TELL_EVERY_S * 1e9:
                log.warning("database_awaited", error=error.message)
                told_ns = now_ns
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
    return None


def _open(url: str, lost: Lost) -> Pair:
    writer = open_writer(url, lost=lost)
    try:
        # While this session holds the lock, nobody else migrates.
        migrate(url)
        return writer, open_readers(url, lost=lost)
    except psycopg.Error as error:
        writer.close()
        raise Unavailable(f"The database could not be opened: {str(error).strip()}") from error
    except BaseException:
        writer.close()
        raise


def migrate(url: str) -> None:
    """Apply the revisions that are missing, all or none; Conflict if the database is newer."""
    if is_behind(revision(url), place(url)):
        upgrade("postgresql+psycopg://", lambda: _transactional(url))


def revision(url: str) -> str | None:
    """The schema's revision; None for a database without Craton's tables."""
    with connect(url, "craton migration") as connection:
        found = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if found is None or not found[0]:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def _transactional(url: str) -> psycopg.Connection[Row]:
    connection = connect(url, "craton migration")
    connection.autocommit = False
    return connection


async def try_out(url: str, clock: Clock) -> None:
    """Open and close it once; an error says what to mend before Craton can start."""
    started_ns = clock.monotonic_ns()
    while True:
        try:
            writer = await asyncio.to_thread(open_writer, url, lost=_raise)
        except Conflict as error:
            # A Craton that was killed as a whole, and is started again, may not be gone yet.
            if error.code != IN_USE or clock.monotonic_ns() - started_ns > TRY_WAIT_S * 1e9:
                raise
            await asyncio.sleep(PAUSE_FIRST_S)
        else:
            writer.close()
            return


def _ending(log: Log) -> Lost:
    def end(error: Exception) -> NoReturn:
        """Go as if killed: what the workers have in hand they send to the next state process."""
        log.error("database_lost", error=str(error).strip())
        log.flush()
        os._exit(LOST_STATUS)

    return end


def _raise(error: Exception) -> NoReturn:
    raise Unavailable(f"The database broke the connection: {str(error).strip()}") from error
