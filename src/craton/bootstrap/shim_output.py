"""What one rank writes, on its way into the log of its run."""

import asyncio

from craton.fleet.run_log import LogWriter

LINE_BYTES_MAX = 65_536
"""A line longer than this is cut, where ranks share a log."""


class Output(asyncio.Protocol):
    """Hands on what comes as it comes; with a prefix, whole lines only, so that ranks don't mix."""

    def __init__(self, log: LogWriter, prefix: bytes) -> None:
        self._log = log
        self._prefix = prefix
        self._rest = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Asyncio: the rank wrote something."""
        if not self._prefix:
            self._log.write(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._log.write(b"".join(self._prefix + line + b"\n" for line in lines))

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the rank, and all that it started, closed its output."""
        del exc
        if self._rest:
            self._log.write(self._prefix + self._rest + b"\n")
            self._rest = b""
        self.closed.set_result(None)
