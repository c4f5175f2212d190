"""An engine process while nobody needs it: a doorbell, and nothing of the model.

    python -m craton.models.engines.embedded.asleep MODULE --name … --socket … …

A process that has been idle for long enough becomes this, under the id that its supervisor knows;
when somebody connects, this becomes the process again. Who rings isn't let in: the connection
breaks, and a client that tries again finds the process awake. Only the standard library is loaded
here, so that sleeping takes the 12 MB of a bare interpreter.
"""

import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

MODULE = "craton.models.engines.embedded.asleep"
SOCKET_WORD = "--socket"


def fall_asleep(module: str, words: list[str]) -> NoReturn:
    """Become a doorbell for a module that was started with these words."""
    _become(MODULE, [module, *words])


def is_rung(path: Path, lifeline: int) -> bool:
    """Wait until somebody connects to `path`, or until the end of `lifeline`: then False."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as bell:
        bell.bind(str(path))
        try:
            path.chmod(0o600)
            bell.listen()
            ready, _, _ = select.select([bell, lifeline], [], [])
        finally:
            path.unlink(missing_ok=True)
    return lifeline not in ready


def main(words: list[str]) -> int:
    """Sleep; returns 0 when the supervisor is gone, and doesn't return when somebody rings."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    module, *told = words
    if is_rung(Path(told[told.index(SOCKET_WORD) + 1]), sys.stdin.fileno()):
        _become(module, told)
    return 0


def _end(number: int, frame: object) -> NoReturn:
    del number, frame
    sys.exit(0)


def _become(module: str, words: list[str]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", module, *words])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
