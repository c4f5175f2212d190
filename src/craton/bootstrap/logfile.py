"""The one log file of all processes, kept from growing without end.

Every child appends to it through a descriptor that it inherited, so it can't be swapped for
another: what it holds is copied aside and the file is cut to nothing, which appending writers
survive. Lines written between the copy and the cut are lost.
"""

import asyncio
import shutil
from pathlib import Path

LOG_BYTES_MAX = 256 * 1024 * 1024
CHECK_S = 10


def rotate(path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Set the file aside as `….1` if it is too large; whether it was."""
    if not path.exists() or path.stat().st_size <= bytes_max:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


async def keep_small(path: Path) -> None:
    """Look at the file's size for as long as Craton runs."""
    while True:
        await asyncio.to_thread(rotate, path)
        await asyncio.sleep(CHECK_S)
