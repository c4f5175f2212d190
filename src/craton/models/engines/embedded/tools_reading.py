"""Reads an answer that may hold calls, as it streams: what is text, and what is whose arguments."""

from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from craton.models.engines.embedded.tools import CALL_BEGIN, CALL_NAME


class Said(NamedTuple):
    """More text."""

    text: str


class Began(NamedTuple):
    """A call of this tool began."""

    name: str


class Wrote(NamedTuple):
    """More of the call's arguments, as JSON text."""

    json: str


class Ended(NamedTuple):
    """The call's arguments are complete."""


Piece = Said | Began | Wrote | Ended


class _At(Enum):
    TEXT = auto()
    NAME = auto()
    BEFORE_ARGUMENTS = auto()
    ARGUMENTS = auto()
    AFTER = auto()


class CallReader:
    """Takes text in pieces of any size; `feed` says what it means as soon as that is certain."""

    def __init__(self) -> None:
        self._at = _At.TEXT
        self._held = ""
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False

    def feed(self, text: str) -> Iterator[Piece]:
        """What the text added."""
        self._held += text
        going = True
        while going and self._held:
            at = self._at
            match at:
                case _At.TEXT:
                    yield from self._text()
                case _At.AFTER:
                    self._after()
                case _At.NAME:
                    yield from self._name()
                case _At.BEFORE_ARGUMENTS:
                    self._before()
                case _At.ARGUMENTS:
                    yield from self._arguments()
            going = self._at is not at

    def close(self) -> str:
        """The answer is over: text that was held back for a mark, and was none."""
        held, self._held = self._held, ""
        return held if self._at is _At.TEXT else ""

    def _text(self) -> Iterator[Said]:
        found = self._held.find(CALL_BEGIN)
        if found >= 0:
            said, self._held = self._held[:found], self._held[found + len(CALL_BEGIN) :]
            self._at = _At.NAME
        else:
            keep = next(
                (
                    n
                    for n in range(len(CALL_BEGIN) - 1, 0, -1)
                    if self._held.endswith(CALL_BEGIN[:n])
                ),
                0,
            )
            cut = len(self._held) - keep
            said, self._held = self._held[:cut], self._held[cut:]
        if said:
            yield Said(said)

    def _after(self) -> None:
        """Between calls stands nothing that anyone is to see."""
        found = self._held.find(CALL_BEGIN)
        if found >= 0:
            self._held = self._held[found + len(CALL_BEGIN) :]
            self._at = _At.NAME

    def _name(self) -> Iterator[Began]:
        if not self._held.startswith(CALL_NAME):
            return
        start = at = len(CALL_NAME)
        while at < len(self._held):
            if self._held[at] == '"':
                name = msgspec.json.decode(f'"{self._held[start:at]}"', type=str)
                self._held = self._held[at + 1 :]
                self._at = _At.BEFORE_ARGUMENTS
                yield Began(name)
                return
            at += 2 if self._held[at] == "\\" else 1

    def _before(self) -> None:
        found = self._held.find("{")
        if found >= 0:
            self._held = self._held[found:]
            self._at = _At.ARGUMENTS

    def _arguments(self) -> Iterator[Piece]:
        for number, letter in enumerate(self._held):
            if self._is_in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif letter == "\\":
                    self._is_escaped = True
                elif letter == '"':
                    self._is_in_string = False
            elif letter == '"':
                self._is_in_string = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth == 0:
                    written, self._held = self._held[: number + 1], self._held[number + 1 :]
                    self._at = _At.AFTER
                    yield Wrote(written)
                    yield Ended()
                    return
        written, self._held = self._held, ""
        yield Wrote(written)
