r"""The service models' regular expressions, made for Python and made safe.

The models write for Java. Two things differ here: Python's `re` has no `\p{…}` classes, and a few
patterns take exponential time on hostile input (`(-*[a-z\-])*` can read a run of hyphens in 2ⁿ
ways). Such a pattern is replaced by one that means the same; a test measures all of them.
"""

import re
import sys
import unicodedata
from functools import lru_cache

_SAFE = {
    r"(-*[a-zA-Z0-9\+\-\.])": r"([a-zA-Z0-9\+\-\.])",
}
"""Part of a pattern → what it means, said so that there is one way to match it.

The class holds the hyphen itself, so the hyphens before it add nothing where the whole repeats.
"""

_PROPERTY = re.compile(r"\\p\{([A-Z][a-z]?)\}")


_KEPT_CHARACTERS_MAX = 256


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of a text fits a model's pattern."""
    # Model ids and names come again and again, and their patterns are long.
    if len(text) <= _KEPT_CHARACTERS_MAX:
        return _matches_short(pattern, text)
    return compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=2048)
def _matches_short(pattern: str, text: str) -> bool:
    return compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """A model's pattern, for `fullmatch`."""
    for dangerous, safe in _SAFE.items():
        pattern = pattern.replace(dangerous, safe)
    return re.compile(_without_properties(pattern))


def _without_properties(pattern: str) -> str:
    if r"\p{" not in pattern:
        return pattern
    parts: list[str] = []
    in_class = False
    at = 0
    while at < len(pattern):
        found = _PROPERTY.match(pattern, at)
        if found is not None:
            ranges = _ranges(found[1])
            parts.append(ranges if in_class else f"[{ranges}]")
            at = found.end()
            continue
        piece = pattern[at : at + 2] if pattern[at] == "\\" else pattern[at]
        if piece == "[":
            in_class = True
        elif piece == "]":
            in_class = False
        parts.append(piece)
        at += len(piece)
    return "".join(parts)


@lru_cache(maxsize=32)
def _ranges(category: str) -> str:
    """The characters of a Unicode category (`L`, `Nd`) as ranges of a character class."""
    parts: list[str] = []
    start: int | None = None
    for point in range(sys.maxunicode + 2):
        inside = point <= sys.maxunicode and unicodedata.category(chr(point)).startswith(category)
        if inside and start is None:
            start = point
        elif not inside and start is not None:
            parts.append(f"\\U{start:08x}-\\U{point - 1:08x}")
            start = None
    return "".join(parts)
