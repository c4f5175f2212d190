"""Which database a Craton stores everything in: what `--database` may say, and what is remembered.

A data folder belongs to one ledger. The first start with `--database` notes the address in the
folder, so that later starts and `craton doctor` find it, and no start without the option begins
a second ledger beside the first.
"""

import importlib.util
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from craton.kernel.errors import BadRequest, Conflict

SCHEMES = ("postgresql", "postgres")
SECRETS = ("password", "sslpassword")
FILE = "database.json"


class DatabaseFile(msgspec.Struct, frozen=True):
    """Where the ledger of a data folder is, if not in the folder; holds no password."""

    url: str


def checked_url(url: str) -> str:
    """The address if it can be one and holds no secret; BadRequest says what to write instead.

    An address stands on command lines, which other users of the machine can read, and in files.
    The refusal doesn't repeat it, since it goes to terminals and logs.
    """
    try:
        parts = urlsplit(url)
        names = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        raise BadRequest(
            "--database is not an address. Write postgresql://user@host/name."
        ) from None
    if parts.scheme not in SCHEMES:
        raise BadRequest(
            "--database must begin with postgresql://, as in postgresql://user@host/name. Without "
            "the option Craton keeps its ledger in a file of the data folder."
        )
    if parts.password is not None or any(name in names for name in SECRETS):
        raise BadRequest(
            "--database holds a password, which other users of this machine could read. Leave it "
            "out, and put it into ~/.pgpass, or into a file of that form (mode 0600) that the "
            "variable PGPASSFILE or `?passfile=` in the address names. Change it if it was real."
        )
    if importlib.util.find_spec("psycopg") is None:
        raise BadRequest(
            "--database needs PostgreSQL's driver, which isn't installed. Install it with "
            "`pip install 'craton[postgresql]'`, or leave the option out."
        )
    return url


def remembered(data: Path) -> str | None:
    """The address that a data folder noted; None if its ledger is a file in it."""
    path = data / FILE
    if not path.exists():
        return None
    try:
        return checked_url(msgspec.json.decode(path.read_bytes(), type=DatabaseFile).url)
    except msgspec.MsgspecError as error:
        raise Conflict(
            f"{path} is damaged: {error}. Write the address of the ledger's database into it, as "
            '{"url": "postgresql://user@host/name"}, or put it back from a backup.'
        ) from None


def chosen(asked: str | None, data: Path, ledger_file: Path) -> str | None:
    """The database to use; Conflict if this folder's ledger is in its file already."""
    if asked is None:
        return remembered(data)
    if remembered(data) is None and ledger_file.exists():
        raise Conflict(
            f"The ledger of the data folder {data} is in {ledger_file.name}, and Craton doesn't "
            "move it to PostgreSQL. Start without --database, or choose a new folder with --data."
        )
    return asked


def remember(url: str, data: Path) -> None:
    """Note where the ledger is, once it was reached."""
    (data / FILE).write_bytes(msgspec.json.encode(DatabaseFile(url)))
