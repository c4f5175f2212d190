"""The blocks of a page that say of themselves that they run.

A block runs if `<!-- run -->` stands before its fence; its language must be one of `LANGUAGES`.
"""

import re
from dataclasses import dataclass

MARK = "<!-- run -->"
LANGUAGES = {"sh": "sh", "bash": "sh", "shell": "sh", "python": "python"}
_FENCE = re.compile(r"```(\w*)")


class BadPage(Exception):
    """A mark that marks nothing that could run."""


@dataclass(frozen=True, slots=True)
class Block:
    """A marked block: where its text begins, what runs it, and the text."""

    line: int
    language: str
    text: str


def marked_blocks(page: str) -> list[Block]:
    """Every marked block in order; BadPage for a mark without one."""
    lines = page.splitlines()
    return [_block_after(lines, number) for number, line in enumerate(lines) if line == MARK]


def _block_after(lines: list[str], mark: int) -> Block:
    start = mark + 1
    while start < len(lines) and not lines[start].strip():
        start += 1
    fence = _FENCE.fullmatch(lines[start].strip()) if start < len(lines) else None
    if fence is None:
        raise BadPage(f"line {mark + 1}: the mark stands before no block")
    if fence[1] not in LANGUAGES:
        raise BadPage(f"line {mark + 1}: nothing runs a block of {fence[1] or 'no language'!r}")
    for end in range(start + 1, len(lines)):
        if lines[end].strip() == "```":
            text = "\n".join(lines[start + 1 : end]) + "\n"
            return Block(start + 2, LANGUAGES[fence[1]], text)
    raise BadPage(f"line {mark + 1}: the block doesn't end")
