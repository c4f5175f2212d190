"""The blocks of a page that say of themselves that they run.

A block runs if `<!-- run -->` stands before its fence; its language must be one of `LANGUAGES`.
"""

import re
from collections.abc import Sequence
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


def script_of(blocks: Sequence[Block], *, page: str = "README.md") -> str:
    """One script of all blocks; each says its line in the page before it runs."""
    parts = ["set -e"]
    for block in blocks:
        parts.append(f"echo '{page} line {block.line}' >&2")
        if block.language == "python":
            parts.append(f"python - <<'END OF BLOCK'\n{block.text}END OF BLOCK")
        else:
            parts.append(block.text)
    return "\n".join(parts)


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
