"""Where in a TOML text an entry stands, so that what is wrong is refused with its line.

Paths are those of msgspec's errors: `$.site[0].row[1].count`.
"""

import re

from craton.kernel.errors import BadRequest

_HEADER = re.compile(r"\s*\[\[\s*([a-z_.]+)\s*\]\]")
_TABLE = re.compile(r"\s*\[\s*([a-z_.]+)\s*\]")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_-]+)\"?\s*=")
_STEP = re.compile(r"\.([a-z_]+)(?:\[(\d+)\])?")


class FileLines:
    """Where in the text an entry or a member of it stands.

    `refused` begins every refusal: what was not done with the file.
    """

    def __init__(self, text: str, refused: str) -> None:
        self._refused = refused
        self._at: dict[str, int] = {}
        counts: dict[str, int] = {}
        here = "$"
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                here = self._enter(header[1], counts)
                self._at[here] = number
            elif table := _TABLE.match(line):
                here = f"$.{table[1]}"
                self._at[here] = number
            elif key := _KEY.match(line):
                self._at.setdefault(f"{here}.{key[1]}", number)

    @staticmethod
    def _enter(header: str, counts: dict[str, int]) -> str:
        """The path of a new entry of `[[site.row]]`: in the last site, after its last row."""
        *parents, own = header.split(".")
        path = "$"
        for parent in parents:
            path = f"{path}.{parent}[{counts.get(f'{path}.{parent}', 1) - 1}]"
        key = f"{path}.{own}"
        counts[key] = counts.get(key, 0) + 1
        return f"{key}[{counts[key] - 1}]"

    def refusal(self, path: str, message: str) -> BadRequest:
        """The error for what stands at a path; the nearest entry around it where it has no line."""
        at = path
        while at not in self._at and "." in at:
            at = at.rpartition(".")[0]
        where = f"line {self._at[at]}" if at in self._at else "the beginning"
        member = "".join(f".{name}" for name, _ in _STEP.findall(path))[1:]
        return BadRequest(
            f"{self._refused} At {where}{f' ({member})' if member else ''}: {message}"
        )
