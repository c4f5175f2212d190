"""The log of a run: what its workload wrote, the latest part of it.

The log is cut into pieces, each a file named by the position of its first byte since the start.
When there are too many, the oldest goes; who reads on from a position is told what was skipped.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

PIECE_BYTES = 32 * 1024 * 1024
PIECES_MAX = 4
_NAME = re.compile(r"log-(\d{16})")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a log, whole characters; bytes that are no UTF-8 are shown as U+FFFD."""

    text: str
    start: int
    """Where it begins: later than asked for if that is gone."""
    next: int
    """Where to read on."""


class LogWriter:
    """Appends to a log. What can't be written, as on a full disk, is counted and left out."""

    def __init__(
        self, folder: Path, *, piece_bytes: int = PIECE_BYTES, pieces_max: int = PIECES_MAX
    ) -> None:
        self._folder = folder
        self._piece_bytes = piece_bytes
        self._pieces_max = pieces_max
        self._handle = -1
        self._position = 0
        self._room = 0
        self.lost_bytes = 0

    def write(self, data: bytes) -> None:
        """Append; pieces are cut at lines where there are any."""
        while data:
            if self._room <= 0:
                self._turn()
            at = len(data)
            if at > self._room:
                at = data.rfind(b"\n", 0, self._room) + 1 or self._room
            self._append(data[:at])
            data = data[at:]
            if data:
                self._room = 0

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                done = os.write(self._handle, view)
                self._position += done
                self._room -= done
                view = view[done:]
        except OSError:
            self.lost_bytes += len(view)

    def _turn(self) -> None:
        self.close()
        path = self._folder / f"log-{self._position:016d}"
        self._room = self._piece_bytes
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._handle = os.open(path, flags, 0o600)
            for old in _pieces(self._folder)[: -self._pieces_max]:
                (self._folder / f"log-{old:016d}").unlink(missing_ok=True)
        except OSError:
            # Written to no file, the bytes are counted as lost one by one.
            self._room = min(self._room, 4096)

    def close(self) -> None:
        """End writing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_log(folder: Path, start: int, size: int) -> Part:
    """Up to `size` bytes of a log from a position on; an empty part at its end."""
    pieces = _pieces(folder)
    if not pieces:
        return Part("", start, start)
    start = max(start, pieces[0])
    piece = max(each for each in pieces if each <= start)
    try:
        with (folder / f"log-{piece:016d}").open("rb") as file:
            file.seek(start - piece)
            data = file.read(size)
    except FileNotFoundError:
        return read_log(folder, start, size)  # it went just now: from the oldest that is left
    after = [each for each in pieces if each > piece]
    if not data and after:
        # The rest of this piece was read: on with the next.
        return read_log(folder, after[0], size)
    whole = len(data) - _half_character(data)
    return Part(data[:whole].decode(errors="replace"), start, start + whole)


def log_bytes(folder: Path) -> int:
    """How many bytes were written since the start."""
    pieces = _pieces(folder)
    if not pieces:
        return 0
    return pieces[-1] + (folder / f"log-{pieces[-1]:016d}").stat().st_size


def _pieces(folder: Path) -> list[int]:
    try:
        found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in found if match)


def _half_character(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character that isn't whole yet."""
    for back in range(1, min(3, len(data) - 1) + 1):
        byte = data[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if wanted > back else 0
    return 0
