"""How a change in memory is taken back: notes, which run last first.

A command's changes are seen by those after it in its group, and undone if the group isn't kept.
"""

from collections.abc import Callable

Undo = list[Callable[[], None]]


def take_back(undo: Undo, down_to: int = 0) -> None:
    """Undo what was noted, until only so many notes are left."""
    while len(undo) > down_to:
        undo.pop()()
