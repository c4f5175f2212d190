"""The folder of runs below the data folder: a folder each, with a file for each record and the log.

Written files are whole or not there, private, and survive power loss. Ids sort by time.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from craton.fleet.run_records import Claim, Ended, Held, Order, Result, Started, StopAsked
from craton.kernel.errors import Conflict, NotFound
from craton.kernel.files import write_private
from craton.kernel.ids import Ids

RUNS_FOLDER = "runs"
KEPT_MAX = 500
"""Runs that ended are kept so many, the latest."""
_ID = re.compile("run-[0-9a-f]{24}")

Record = TypeVar("Record", bound=msgspec.Struct)

_FILES: Mapping[type[msgspec.Struct], str] = {
    Order: "order.json",
    Claim: "claim.json",
    Held: "lease.json",
    StopAsked: "stop.json",
    Started: "started.json",
    Result: "result.json",
    Ended: "ended.json",
}


class RunFolder:
    """Reads and writes the records of runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._changed_ns = 0
        self._looks = 0

    def ids(self) -> list[str]:
        """Every run, oldest first."""
        try:
            return sorted(path.name for path in self.root.iterdir() if _ID.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def is_touched(self) -> bool:
        """Whether runs may have come or gone since this was last asked."""
        try:
            changed_ns = self.root.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if changed_ns == self._changed_ns:
            self._looks += 1
        else:
            self._changed_ns, self._looks = changed_ns, 0
        # Two changes within one tick of the file system's clock look like one: look twice.
        return self._looks < 2

    def path(self, id: str) -> Path:
        """The folder of a run, there or not; NotFound for what is no id."""
        if not _ID.fullmatch(id):
            raise NotFound(f"There is no run {id[:60]!r}. List them with `craton run ps`.")
        return self.root / id

    def order(self, ids: Ids, order: Order) -> str:
        """Write down what to run; the new run's id. Nothing happens by that alone."""
        text = ids.request_id().replace("-", "")
        id = f"run-{text[:12]}{text[-12:]}"
        self.root.mkdir(mode=0o700, exist_ok=True)
        (self.root / id).mkdir(mode=0o700)
        self.write(id, order)
        return id

    def find(self, id: str, kind: type[Record]) -> Record | None:
        """A record of a run, if it is there; Conflict if it can't be read."""
        path = self.path(id) / _FILES[kind]
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise Conflict(
                f"{path} is damaged: {error}. Remove the folder {path.parent} to forget this run."
            ) from None

    def get(self, id: str, kind: type[Record]) -> Record:
        """A record of a run; NotFound if it isn't there."""
        found = self.find(id, kind)
        if found is None:
            raise NotFound(f"There is no run {id[:60]!r} here. List them with `craton run ps`.")
        return found

    def write(self, id: str, record: msgspec.Struct) -> None:
        """Keep a record of a run."""
        write_private(self.path(id) / _FILES[type(record)], msgspec.json.encode(record))

    def drop(self, id: str) -> None:
        """Forget a run."""
        shutil.rmtree(self.path(id), ignore_errors=True)
