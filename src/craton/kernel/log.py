"""Structured logs: one JSON object a line, with ids, and never any prompt text.

Lines gather for `FLUSH_S` and leave in one system call. Warnings and errors are written at once,
with what waits before them, so that a dying process says why.
"""

import asyncio
import sys
from enum import IntEnum
from typing import Any, BinaryIO

import msgspec

from craton.kernel.clock import Clock, SystemClock

FLUSH_S = 0.05


class Level(IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


_INFO = Level.INFO


class Log:
    """Writes lines of one process; `bind` adds fields to every line of a part."""

    def __init__(
        self,
        process: str,
        *,
        level: Level = Level.INFO,
        stream: BinaryIO | None = None,
        clock: Clock | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        self.level = level
        self._stream = stream if stream is not None else sys.stderr.buffer
        self._clock = clock or SystemClock()
        self._fields: dict[str, Any] = {"process": process, **(fields or {})}
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._lines: list[bytes] = []

    def debug(self, event: str, **fields: object) -> None:
        """For whoever looks for a fault."""
        self._write(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What happens in normal service."""
        self._write(Level.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something the operator may want to mend."""
        self._write(Level.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something that failed."""
        self._write(Level.ERROR, event, fields)

    def write(self, line: msgspec.Struct) -> None:
        """A line of a fixed shape, told whole by the caller: the hot path's form of `info`."""
        if self.level <= _INFO:
            self._keep(self._encode(line))

    def _write(self, level: Level, event: str, fields: dict[str, object]) -> None:
        if level < self.level:
            return
        line = {
            "time": self._clock.now_ns() // 1_000_000 / 1000,
            "level": level.name.lower(),
            "event": event,
            **self._fields,
            **fields,
        }
        self._keep(self._encode(line))
        if level >= Level.WARNING:
            self.flush()

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
            except RuntimeError:  # no loop runs: nothing would flush later
                self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()
