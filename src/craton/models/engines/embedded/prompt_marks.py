"""Control marks in a caller's text stay text: nobody forges a turn by writing `<|im_start|>`.

A chat template joins the marks that begin and end turns with what callers wrote, and the result is
one string in which nobody can tell them apart. So before a template is rendered, each mark in a
caller's text gives way to a stand-in that no caller can guess; afterwards the string is cut at the
true marks, and the stand-ins become what they stood for, to be tokenized as plain text.

Nothing changes for texts without marks: their prompt is tokenized in one piece, as ever.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text between control marks."""

    text: str


class Marks:
    """The control marks of one model; `nonce` is a secret of letters and digits."""

    def __init__(self, control: Mapping[str, int], others: Collection[str], *, nonce: str) -> None:
        assert nonce.isalnum(), "a template may change anything but letters and digits"
        self._control = control
        self._others = frozenset(others)
        self._nonce = nonce
        every = [*control, *others]
        pieces = {mark[:n] for mark in every for n in range(1, len(mark))}
        tails = {mark[n:] for mark in every for n in range(1, len(mark))}
        # A mark may also be completed by what the template puts beside a text.
        self._inside = re.compile(
            f"{_any_of(every)}|{_any_of(pieces)}\\Z|\\A{_any_of(tails)}" if every else r"(?!)"
        )
        self._true = re.compile(_any_of(control) if control else r"(?!)")
        self._stand_ins = re.compile(f"{nonce}((?:[0-9a-f][0-9a-f])+)z")

    def hide(self, text: str) -> str:
        """The text with a stand-in for each mark in it."""
        return self._inside.sub(self._stand_in, text)

    def hide_in(self, value: Any) -> Any:  # noqa: ANN401 - a JSON value
        """A JSON value with stand-ins in all its texts."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            items = cast("dict[str, Any]", value).items()
            return {self.hide(name): self.hide_in(each) for name, each in items}
        if isinstance(value, list):
            return [self.hide_in(each) for each in cast("list[Any]", value)]
        return value

    def _stand_in(self, found: re.Match[str]) -> str:
        return f"{self._nonce}{found.group().encode().hex()}z"

    def are_hidden_in(self, rendered: str) -> bool:
        """Whether there is any stand-in."""
        return self._nonce in rendered

    def cut(self, rendered: str) -> list[Run | int]:
        """Control tokens, and between them runs of text, to be tokenized as nothing but text."""
        found: list[Run | int] = []
        pieces = self._stand_ins.split(rendered)
        for number, piece in enumerate(pieces):
            if number % 2:
                self._add_hidden(found, bytes.fromhex(piece).decode())
                continue
            at = 0
            for mark in self._true.finditer(piece):
                _add_text(found, piece[at : mark.start()])
                found.append(self._control[mark.group()])
                at = mark.end()
            _add_text(found, piece[at:])
        return found

    def _add_hidden(self, found: list[Run | int], text: str) -> None:
        if text in self._others:
            # Its tokenizer knows this one in any text, unless it is cut.
            _add_text(found, text[:1])
            found.append(Run(text[1:]))
        else:
            _add_text(found, text)


def _add_text(found: list[Run | int], text: str) -> None:
    if not text:
        return
    if found and isinstance(last := found[-1], Run):
        found[-1] = Run(last.text + text)
    else:
        found.append(Run(text))


def _any_of(words: Collection[str]) -> str:
    """An expression for the longest of these words, which takes the same time however many."""
    branches: dict[str, set[str]] = {}
    for word in words:
        if word:
            branches.setdefault(word[0], set()).add(word[1:])
    if not branches:
        return ""
    choices = [re.escape(letter) + _any_of(rest) for letter, rest in branches.items()]
    joined = f"(?:{'|'.join(choices)})"
    return f"{joined}?" if "" in words else joined
