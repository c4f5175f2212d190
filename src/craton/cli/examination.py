"""The checks of `craton doctor`. Each looks at one thing and changes nothing."""

import errno
import hashlib
import shutil
import socket
import sqlite3
import stat
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from craton.cli.answer import readiness
from craton.cli.connection import Connection
from craton.cli.installation import (
    ENDPOINT_FILE,
    OTHERS,
    EndpointFile,
    read_endpoint,
    read_installation,
)
from craton.economics.contract import Verdict
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError
from craton.models import weights

PYTHON_MIN = (3, 11)
DISK_FAIL_BYTES = 100 * 1024**2
DISK_WARN_BYTES = 1024**3
SKEW_WARN_S = 30
SKEW_FAIL_S = 300
"""SigV4 refuses a signature whose time is more than five minutes off."""
TIMEOUT_S = 10
# A plain sum may be above 64 bits, which SQLite refuses: as `economics/sums.py`, and without what
# that needs loaded.
_UNBALANCED = (
    "SELECT count(*) FROM (SELECT 1 FROM postings GROUP BY transaction_id, currency "
    "HAVING sum(amount & 4294967295) % 4294967296 <> 0 OR "
    "sum(amount >> 32) + sum(amount & 4294967295) / 4294967296 <> 0) AS unbalanced"
)


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What one check found; `advice` is what to do, empty when all is well."""

    check: str
    state: State
    detail: str
    advice: str = ""


def python(version: tuple[int, int, int]) -> Finding:
    """The interpreter's version."""
    text = ".".join(map(str, version))
    if version < PYTHON_MIN:
        return Finding("python", State.FAIL, text, "Install Python 3.11 or later.")
    return Finding("python", State.OK, text)


def platform(name: str) -> Finding:
    """The operating system: Craton's processes talk over Unix sockets and lock with flock."""
    if name == "linux":
        return Finding("platform", State.OK, name)
    if name == "darwin":
        return Finding("platform", State.WARN, name, "Craton is tested on Linux.")
    return Finding("platform", State.FAIL, name, "Run Craton on Linux, or in WSL or a container.")


def free_disk(data: Path) -> Finding:
    """Room where the data folder is or will be."""
    folder = data.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder}"
    advice = "Make room, or choose another disk with --data: the ledger needs it to write."
    if free < DISK_FAIL_BYTES:
        return Finding("disk", State.FAIL, detail, advice)
    if free < DISK_WARN_BYTES:
        return Finding("disk", State.WARN, detail, advice)
    return Finding("disk", State.OK, detail)


def data_folder(data: Path) -> Finding:
    """The data folder, and who may look into it."""
    if not data.is_dir():
        advice = f"Start Craton with `craton up --data {data}`, or name its folder with --data."
        return Finding("data folder", State.WARN, f"there is no folder {data}", advice)
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & OTHERS:
        advice = f"Run `chmod 700 {data}`."
        return Finding("data folder", State.WARN, f"{data} is open to others ({mode:04o})", advice)
    return Finding("data folder", State.OK, f"{data} ({mode:04o})")


def secret_file(data: Path, name: str) -> Finding:
    """A file of secrets, which only its owner may read."""
    path = data / name
    if not path.exists():
        advice = f"`craton up --data {data}` makes it at the first start. If it was there before, "
        advice += "put it back from a backup: without it old secrets can't be read."
        return Finding(name, State.WARN, f"there is no {path}", advice)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & OTHERS:
        advice = f"Run `chmod 600 {path}`, and revoke its keys if somebody may have read it."
        return Finding(name, State.FAIL, f"others can read it ({mode:04o})", advice)
    return Finding(name, State.OK, f"only its owner reads it ({mode:04o})")


def weights_files(data: Path) -> list[Finding]:
    """The weights of the models that come along: there, and what they should be."""
    return [
        _weights_file(data / "weights", name, artifact)
        for name, artifact in weights.catalogue().items()
    ]


def _weights_file(folder: Path, name: str, artifact: weights.Artifact) -> Finding:
    check = f"weights {name}"
    missing = [part.file for part in artifact.parts if not (folder / part.file).exists()]
    if missing and artifact.embeds:
        return Finding(check, State.OK, "not there; fetched when it is first asked")
    if missing:
        advice = "`craton up` fetches it, unless it is started with `--engine none`."
        return Finding(check, State.WARN, "not there", advice)
    for part in artifact.parts:
        path = folder / part.file
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != part.sha256:
            advice = f"Delete {path} and start Craton: it fetches the file anew."
            return Finding(check, State.FAIL, f"{path} is not what it should be", advice)
    return Finding(check, State.OK, "there, SHA-256 checked")


def database(data: Path) -> Finding:
    """The database: whole, and its books balanced."""
    if (data / "database.json").exists():
        return _postgresql(data)
    path = data / "craton.db"
    if not path.exists():
        advice = f"`craton up --data {data}` makes it at the first start."
        return Finding("database", State.WARN, f"there is no {path}", advice)
    advice = "Stop Craton, keep a copy of the folder, and restore the last good backup."
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            faults = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
            unbalanced = connection.execute(_UNBALANCED).fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("database", State.FAIL, f"{path} can't be read: {error}", advice)
    if faults != ["ok"]:
        return Finding("database", State.FAIL, "; ".join(faults), advice)
    if unbalanced:
        return Finding("database", State.FAIL, _off(unbalanced), advice)
    return Finding("database", State.OK, "the file is whole and every transaction sums to zero")


def _off(unbalanced: int) -> str:
    return f"{unbalanced} transactions of the ledger do not sum to zero"


def _postgresql(data: Path) -> Finding:
    # Imported here: the driver and what compiles for it take a third of a second, and are there
    # only where something is stored in PostgreSQL.
    try:
        from craton.bootstrap.database_url import remembered  # noqa: PLC0415

        url = remembered(data)  # says what to install, if the driver is missing
        from craton.store import postgresql  # noqa: PLC0415

        assert url is not None
        postgresql.check(url)
        with postgresql.connect(url, "craton doctor") as connection:
            (made,) = connection.execute("SELECT to_regclass('postings') IS NOT NULL").fetchall()
            (found,) = connection.execute(_UNBALANCED).fetchall() if made[0] else [(0,)]
    except CratonError as error:
        return Finding("database", State.FAIL, error.message, "Craton can't start until then.")
    if not made[0]:
        advice = f"`craton up --data {data}` makes its tables at the first start."
        return Finding("database", State.WARN, f"{postgresql.place(url)} is empty", advice)
    if found[0]:
        advice = "Stop Craton, keep a dump of the database, and restore the last good backup."
        return Finding("database", State.FAIL, _off(found[0]), advice)
    detail = f"{postgresql.place(url)} commits durably and every transaction sums to zero"
    return Finding("database", State.OK, detail)


def endpoint(data: Path) -> tuple[Finding, EndpointFile | None, bool]:
    """Where Craton should be, and whether it answers there."""
    advice = f"Start it with `craton up --data {data}`."
    try:
        found = read_endpoint(data)
    except CratonError as error:
        return Finding("running", State.WARN, error.message, advice), None, False
    try:
        with Connection(found.url, "", timeout_s=TIMEOUT_S, trust=found.trust).open(
            "GET", "/healthz"
        ) as answer:
            status = answer.status
            answer.read()
    except CratonError:
        detail = f"nobody answers at {found.url}, where {ENDPOINT_FILE} says"
        return Finding("running", State.WARN, detail, advice), found, False
    if status != 200:
        detail = f"{found.url}/healthz answered with HTTP status {status}"
        advice = "Something else may listen there. Start Craton on another --port."
        return Finding("running", State.FAIL, detail, advice), found, False
    return Finding("running", State.OK, f"answers at {found.url}"), found, True


def port(running: EndpointFile | None, wanted: int) -> Finding:
    """Whether the port that `craton up` would take is free, or Craton's own."""
    if running is not None and urlsplit(running.url).port == wanted:
        return Finding("port", State.OK, f"{wanted} is taken by this Craton")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", wanted))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if taken else f"can't be taken: {error.strerror}"
            # A Craton that runs elsewhere needs no other port.
            state = State.FAIL if running is None else State.WARN
            advice = "Start Craton on another one with --port, or stop that program."
            return Finding("port", state, f"{wanted} {reason}", advice)
    return Finding("port", State.OK, f"{wanted} is free")


def running_craton(data: Path, found: EndpointFile, clock: Clock) -> list[Finding]:
    """The running Craton: ready, in step with this clock, and with a ledger that is whole."""
    return [_ready(data, found), _skew(found, clock), *_ledger(data, found)]


def _ready(data: Path, found: EndpointFile) -> Finding:
    try:
        ready = readiness(Connection(found.url, "", timeout_s=TIMEOUT_S, trust=found.trust))
    except CratonError as error:
        advice = f"Wait if it has just started; else look into {data / 'craton.log'}."
        return Finding("ready", State.FAIL, error.message, advice)
    for model, reason in ready.missing.items():
        advice = "The other models are served. Mend what it says, or start with `--engine none`."
        return Finding("ready", State.WARN, f"{model} can't be run: {reason}", advice)
    answers = "no model comes along" if ready.model is None else f"{ready.model} answers"
    return Finding("ready", State.OK, answers)


def _skew(found: EndpointFile, clock: Clock) -> Finding:
    try:
        with Connection(found.url, "", timeout_s=TIMEOUT_S, trust=found.trust).open(
            "GET", "/healthz"
        ) as answer:
            answer.read()
            date = answer.getheader("date")
    except CratonError as error:
        return Finding("clock", State.FAIL, error.message, "Look at `running` above.")
    if date is None:
        return Finding("clock", State.WARN, "the server sent no Date", "A proxy may remove it.")
    skew_s = clock.now_ns() / 1e9 - parsedate_to_datetime(date).timestamp()
    detail = f"{abs(skew_s):.0f} s between this machine and the server"
    advice = "Set the clock (NTP): a signature is refused when its time is five minutes off."
    if abs(skew_s) > SKEW_FAIL_S:
        return Finding("clock", State.FAIL, detail, advice)
    if abs(skew_s) > SKEW_WARN_S:
        return Finding("clock", State.WARN, detail, advice)
    return Finding("clock", State.OK, detail)


def _ledger(data: Path, found: EndpointFile) -> list[Finding]:
    try:
        key = read_installation(data).key()
        verdict = Connection(found.url, key.api_key, trust=found.trust).get(
            "/ledger/verify", Verdict
        )
    except CratonError as error:
        advice = "Look at the checks above."
        return [Finding("ledger", State.FAIL, f"can't be verified: {error.message}", advice)]
    if verdict.faults or verdict.sum_nanos:
        advice = "Stop Craton and keep a copy of its data folder; `craton ledger verify` lists all."
        faults = "; ".join(verdict.faults[:3]) or f"postings sum to {verdict.sum_nanos}"
        return [Finding("ledger", State.FAIL, faults, advice)]
    detail = f"{verdict.usage_records} records and {verdict.postings} postings, all balanced"
    return [Finding("ledger", State.OK, detail)]
