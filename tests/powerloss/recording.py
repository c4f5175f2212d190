"""A SQLite VFS that records every write, truncation and sync, in order.

It passes everything through to the operating system, so the program under test runs as it does in
life. Afterwards `History` can say what a disk might hold if the power had failed at any moment:
what was synced is there; what was written after the last sync of its file may be there, in part,
in any order, or not at all.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import apsw

SECTOR_BYTES = 512


class Act(StrEnum):
    """What was done to a file."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    SYNC_FOLDER = "sync folder"


@dataclass(frozen=True, slots=True)
class Operation:
    """One act. `offset` is the new size for a truncation."""

    act: Act
    file: str
    offset: int = 0
    data: bytes = b""


class Recorder(apsw.VFS):
    """The VFS; `operations` grows as the program runs."""

    def __init__(self, name: str) -> None:
        self.vfs_name = name
        self.operations: list[Operation] = []
        super().__init__(name, base="")

    def xOpen(self, name: object, flags: list[int]) -> "_File":  # noqa: N802 - apsw's name
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's name
        super().xDelete(filename, syncdir)
        self.operations.append(Operation(Act.DELETE, Path(filename).name))
        if syncdir:
            self.operations.append(Operation(Act.SYNC_FOLDER, ""))


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: object, flags: list[int]) -> None:
        text = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._name = Path(text).name
        self._operations = recorder.operations
        # SQLite's Unix VFS syncs the folder with the first sync of a journal it has made.
        is_journal = self._name.endswith(("-wal", "-journal"))
        self._is_folder_due = is_journal and not Path(text).exists()
        super().__init__("", name, flags)  # type: ignore[arg-type]

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        super().xWrite(data, offset)
        self._operations.append(Operation(Act.WRITE, self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        super().xTruncate(newsize)
        self._operations.append(Operation(Act.TRUNCATE, self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        super().xSync(flags)
        self._operations.append(Operation(Act.SYNC, self._name))
        if self._is_folder_due:
            self._is_folder_due = False
            self._operations.append(Operation(Act.SYNC_FOLDER, ""))


class Loss(StrEnum):
    """What the power failure did to what was not synced."""

    DROPPED = "dropped"
    KEPT = "kept"
    TORN_AT_SECTORS = "torn at sectors"
    TORN_ANYWHERE = "torn anywhere"
    SUBSET = "a random subset, in a random order"


class Disk:
    """What a disk holds for certain, and what may or may not have reached it."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._synced = {name: bytearray(content) for name, content in files.items()}
        self._unsynced: list[Operation] = []

    def do(self, operation: Operation) -> None:
        """Take one operation."""
        if operation.act is Act.SYNC:
            self._settle([o for o in self._unsynced if o.file == operation.file])
        elif operation.act is Act.SYNC_FOLDER:
            self._settle([o for o in self._unsynced if o.act is Act.DELETE])
        else:
            self._unsynced.append(operation)

    def _settle(self, operations: list[Operation]) -> None:
        settled = {id(operation) for operation in operations}
        self._unsynced = [o for o in self._unsynced if id(o) not in settled]
        for operation in operations:
            _apply(self._synced, operation)

    def after_power_loss(self, loss: Loss, dice: random.Random) -> dict[str, bytes]:
        """The files as they may be found when the power is back."""
        files = {name: bytearray(content) for name, content in self._synced.items()}
        for operation in _survivors(self._unsynced, loss, dice):
            _apply(files, operation)
        return {name: bytes(content) for name, content in files.items()}


def _survivors(
    operations: Sequence[Operation], loss: Loss, dice: random.Random
) -> Iterator[Operation]:
    if loss is Loss.DROPPED or not operations:
        return
    if loss is Loss.KEPT:
        yield from operations
    elif loss is Loss.SUBSET:
        kept = [operation for operation in operations if dice.random() < 0.5]
        dice.shuffle(kept)
        yield from kept
    else:
        last = dice.randrange(len(operations))
        yield from operations[:last]
        yield from _torn(operations[last], loss, dice)


def _torn(operation: Operation, loss: Loss, dice: random.Random) -> Iterator[Operation]:
    """Pieces of one write: whole sectors in any order, or its beginning up to some byte."""
    if operation.act is not Act.WRITE:
        return
    data = operation.data
    if loss is Loss.TORN_ANYWHERE:
        cut = dice.randrange(len(data) + 1)
        yield Operation(Act.WRITE, operation.file, operation.offset, data[:cut])
        return
    for start in range(0, len(data), SECTOR_BYTES):
        if dice.random() < 0.5:
            piece = data[start : start + SECTOR_BYTES]
            yield Operation(Act.WRITE, operation.file, operation.offset + start, piece)


def _apply(files: dict[str, bytearray], operation: Operation) -> None:
    if operation.act is Act.DELETE:
        files.pop(operation.file, None)
        return
    content = files.setdefault(operation.file, bytearray())
    if operation.act is Act.TRUNCATE:
        del content[operation.offset :]
        return
    end = operation.offset + len(operation.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[operation.offset : end] = operation.data
