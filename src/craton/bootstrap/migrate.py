"""Brings a database up to the schema of this version, before anything else opens it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from craton.kernel.errors import Conflict

HEAD = "0003"
REVISIONS = ("0001", "0002", "0003")


def migrate(database: Path) -> None:
    """Apply the revisions that are missing; Conflict if the database is newer than this version."""
    if is_behind(revision(database), str(database)):
        upgrade(f"sqlite:///{database}")
        assert revision(database) == HEAD, "a migration ran and did not arrive"


def is_behind(present: str | None, database: str) -> bool:
    """Whether revisions are missing; Conflict if the database is newer than this version."""
    if present == HEAD:  # the usual start; Alembic would take half a second to say so
        return False
    if present is not None and present not in REVISIONS:
        raise Conflict(
            f"The database {database} has schema {present}, which this version of Craton does not "
            f"know (it has {HEAD}). Start the newer version, or restore a backup."
        )
    return True


def revision(database: Path) -> str | None:
    """The schema's revision; None for a new database."""
    if not database.exists():
        return None
    connection = sqlite3.connect(database)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    finally:
        connection.close()
    return row[0] if row else None


def upgrade(url: str, connect: Callable[[], Any] | None = None, *, to: str = "head") -> None:
    """Run the missing revisions, up to one, on an engine of SQLAlchemy's, in one transaction."""
    # Imported here: only a start that migrates pays for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(url) if connect is None else create_engine(url, creator=connect)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
    finally:
        engine.dispose()
