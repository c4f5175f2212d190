"""The control tokens of a model, from the header of its GGUF file.

llama.cpp's server has no call that lists them. The layout is docs/gguf.md of
github.com/ggml-org/ggml; kinds of tokens are `llama_token_type` in llama.cpp's llama.h.
"""

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

from craton.kernel.errors import EngineFailed

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_TOKENS, _KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_MARK_SIGNS = (("<|", "|>"), ("<｜", "｜>"))  # noqa: RUF001 - the wide bar is what some models use
"""How marks look that a file wrongly calls ordinary additions to the vocabulary."""


END_MARKS = frozenset(
    {
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<|end_of_text|>",
        "<|endoftext|>",
        "<end_of_turn>",
        "<eos>",
        "</s>",
        "<|return|>",
        "<|call|>",
    }
)
"""Marks that end an answer in common models; a file names one of its own besides. Under a grammar
all other control tokens are barred."""


class Vocabulary(NamedTuple):
    """What stands for control: `control` can be told from text by the tokenizer, `others` can't."""

    control: dict[str, int]
    others: frozenset[str]


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the header; EngineFailed where it isn't as the format says."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Header(data).vocabulary()
    except (OSError, ValueError, struct.error, IndexError, KeyError) as error:
        raise EngineFailed(
            f"The vocabulary of {path} can't be read ({error}). "
            "Check that the file is a whole GGUF."
        ) from error


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 24
        if data[:4] != _MAGIC:
            raise ValueError("it is no GGUF file")
        (self._entries,) = struct.unpack_from("<Q", data, 16)

    def vocabulary(self) -> Vocabulary:
        """The marks, as soon as both lists were read: they come before the long lists of merges."""
        tokens: list[bytes] = []
        kinds: tuple[int, ...] = ()
        for _ in range(self._entries):
            name = self._string().decode(errors="replace")
            (kind,) = self._take("<I")
            if name == _TOKENS and kind == _ARRAY:
                _, count = self._take("<IQ")
                tokens = [self._string() for _ in range(count)]
            elif name == _KINDS and kind == _ARRAY:
                _, count = self._take("<IQ")
                kinds = struct.unpack_from(f"<{count}i", self._data, self._at)
                self._at += 4 * count
            else:
                self._skip(kind)
            if tokens and kinds:
                break
        control: dict[str, int] = {}
        others: set[str] = set()
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=False)):
            if kind not in {_UNKNOWN, _CONTROL, _USER_DEFINED}:
                continue
            text = token.decode(errors="replace")
            if kind != _USER_DEFINED:
                control[text] = number
            elif any(text.startswith(a) and text.endswith(b) for a, b in _MARK_SIGNS):
                others.add(text)
        control.pop("", None)
        return Vocabulary(control, frozenset(others))

    def _take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def _string(self) -> bytes:
        (length,) = struct.unpack_from("<Q", self._data, self._at)
        start = self._at + 8
        self._at = start + length
        if self._at > len(self._data):
            raise ValueError("a text ends past the end of the file")
        return self._data[start : self._at]

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            inner, count = self._take("<IQ")
            if inner == _STRING:
                for _ in range(count):
                    self._string()
            elif inner == _ARRAY:
                raise ValueError("it has lists of lists")
            else:
                self._at += _WIDTHS[inner] * count
        else:
            self._at += _WIDTHS[kind]
