"""WordPiece as BERT's uncased models use it: a text in, the numbers of its tokens out.

The steps are those of google-research/bert's `tokenization.py` as Hugging Face's `tokenizers` made
them (`normalizers/bert.rs`, `pre_tokenizers/bert.rs`, `models/wordpiece`). Compared with version
0.23.3 over every letter of Unicode and 58,000 lines, they differ for 503 letters, which are marks
and punctuation newer than its tables. What spells a special token, such as `[SEP]`, is text here.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from craton.kernel.errors import EngineFailed

WORD_LETTERS_MAX = 100
"""A longer word is unknown as a whole."""
WORDS_REMEMBERED_MAX = 20_000
_ASCII_WORD = re.compile(r"[0-9a-z]+|[^\s0-9a-z]")
_WORD = re.compile(r"\S+")
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""Blocks whose every letter is a word; 2B920 for 2B820 stands so in `bert.rs`."""


class Tokens(NamedTuple):
    """A text as the model is shown it, its opening and closing marks included."""

    ids: list[int]
    is_cut: bool
    """Whether the text went on past what the model takes."""


class WordPiece:
    """One vocabulary. Not for use by two threads at once."""

    def __init__(self, vocabulary: list[str]) -> None:
        self._ids = {token: number for number, token in enumerate(vocabulary)}
        self._known: dict[str, tuple[int, ...]] = {}
        self._unknown, self._first, self._last = (
            self._ids[mark] for mark in ("[UNK]", "[CLS]", "[SEP]")
        )

    def tokens(self, text: str, *, tokens_max: int) -> Tokens:
        """At most `tokens_max` tokens of a text; what follows them is not looked at."""
        ids = [self._first]
        room = tokens_max - 1
        for word in _words(text):
            ids += self._pieces(word)
            if len(ids) > room:
                del ids[room:]
                return Tokens([*ids, self._last], is_cut=True)
        return Tokens([*ids, self._last], is_cut=False)

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The longest pieces of the vocabulary that make up the word, from its beginning."""
        known = self._known.get(word)
        if known is None:
            if len(self._known) >= WORDS_REMEMBERED_MAX:
                self._known.clear()
            known = self._known[word] = self._split(word)
        return known

    def _split(self, word: str) -> tuple[int, ...]:
        if len(word) > WORD_LETTERS_MAX:
            return (self._unknown,)
        pieces: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                if (piece := self._ids.get(mark + word[start:end])) is not None:
                    break
            else:
                return (self._unknown,)
            pieces.append(piece)
            start = end
        return tuple(pieces)


def read_vocabulary(path: Path) -> list[str]:
    """A `vocab.txt`: one token a line, its number that of the line."""
    try:
        # Only line feeds end a line: a token may be some other mark that ends lines elsewhere.
        tokens = path.read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineFailed(f"The vocabulary {path} can't be read: {error}.") from error
    missing = {"[UNK]", "[CLS]", "[SEP]"}.difference(tokens)
    if missing:
        raise EngineFailed(f"The vocabulary {path} lacks {sorted(missing)}.")
    return [token.removesuffix("\r") for token in tokens]


def _words(text: str) -> Iterator[str]:
    if text.isascii() and text.isprintable():
        for match in _ASCII_WORD.finditer(text.lower()):
            yield match[0]
        return
    spaced = "".join(map(_clean, text))
    for match in _WORD.finditer(spaced):
        bare = "".join(
            letter.lower()
            for letter in unicodedata.normalize("NFD", match[0])
            if unicodedata.category(letter) != "Mn"
        )
        yield from _cut_at_punctuation(bare)


def _clean(letter: str) -> str:
    """What stands for a letter before words are told apart."""
    if letter in "\t\n\r":
        return " "
    number = ord(letter)
    if number == 0xFFFD or unicodedata.category(letter) in {"Cc", "Cf", "Co", "Cs"}:
        return ""  # some of them are white space to Python, and still nothing here
    if letter.isspace():
        return " "
    if any(first <= number <= last for first, last in _CHINESE):
        return f" {letter} "
    return letter


def _cut_at_punctuation(word: str) -> Iterator[str]:
    start = 0
    for at, letter in enumerate(word):
        if _is_punctuation(letter):
            if start < at:
                yield word[start:at]
            yield letter
            start = at + 1
    if start < len(word):
        yield word[start:]


def _is_punctuation(letter: str) -> bool:
    if letter.isascii():
        return not letter.isalnum()  # signs such as $ and ^ too, which Unicode calls symbols
    return unicodedata.category(letter)[0] == "P"
