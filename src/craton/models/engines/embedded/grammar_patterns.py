r"""Regular expressions of JSON Schema's `pattern` as automata.

The syntax is ECMA 262's without what no automaton can do (back references), or engines differ on
(look-around, `\b`, properties of Unicode): those are refused by name. What is accepted is read
so narrowly that every engine agrees: `\d` is 0-9, and a negated class such as `\W` keeps to ASCII.
A pattern matches anywhere in the string, as the specification says, unless it is anchored.
"""

from functools import lru_cache

from craton.models.engines.embedded.grammar_automaton import (
    END,
    START,
    UNIVERSE,
    Automaton,
    Nfa,
    Ranges,
    determinize,
    minus,
    normal,
)

REPEAT_MAX = 2000
"""Highest count in `{m,n}`."""
DEPTH_MAX = 50
"""Groups within groups."""

_ASCII: Ranges = ((0, 0x7E),)
_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20))
# Python also counts U+001C to U+001F as white space, so `\S` leaves them out.
_SPACE_WIDE: Ranges = ((0x09, 0x0D), (0x1C, 0x20))
_LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CLASSES: dict[str, Ranges] = {
    "d": _DIGITS,
    "w": _WORD,
    "s": _SPACE,
    "D": minus(_ASCII, _DIGITS),
    "W": minus(_ASCII, _WORD),
    "S": minus(_ASCII, _SPACE_WIDE),
}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_SYNTAX = set("^$\\.*+?()[]{}|/-")


class BadPattern(Exception):
    """The expression isn't one, or has a part that can't be served; the text says which."""


@lru_cache(maxsize=256)
def of_pattern(expression: str) -> Automaton:
    """The strings in which the expression matches; BadPattern or TooManyStates."""
    nfa = Nfa([], [])
    first = nfa.new()
    start, stop = nfa.new(), nfa.new()
    everything = nfa.new()
    # Before the match: nothing, where it begins with `^` itself, or START and anything.
    nfa.skip(first, start)
    nfa.step(first, ((START, START),), everything)
    nfa.step(everything, UNIVERSE, everything)
    nfa.skip(everything, start)
    end = _Reader(expression, nfa).read(start)
    nfa.skip(end, stop)
    # After it: nothing, where it ends with `$` itself, or anything and END.
    rest, last = nfa.new(), nfa.new()
    nfa.skip(stop, rest)
    nfa.step(rest, UNIVERSE, rest)
    nfa.step(rest, ((END, END),), last)
    return determinize(nfa, {stop, last})


class _Reader:
    """A recursive-descent reader that builds as it reads."""

    def __init__(self, expression: str, nfa: Nfa) -> None:
        self._text = expression
        self._at = 0
        self._nfa = nfa
        self._depth = 0

    def read(self, start: int) -> int:
        end = self._alternatives(start)
        if self._at < len(self._text):
            raise BadPattern(f"a parenthesis closes at {self._at} that none opened")
        return end

    def _alternatives(self, start: int) -> int:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise BadPattern(f"groups are nested more than {DEPTH_MAX} deep")
        end = self._nfa.new()
        while True:
            begin = self._nfa.new()
            self._nfa.skip(start, begin)
            self._nfa.skip(self._sequence(begin), end)
            if not self._take("|"):
                self._depth -= 1
                return end

    def _sequence(self, start: int) -> int:
        at = start
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            begun = self._at
            # An atom is built once for each repetition, by reading its text again.
            after = self._atom(at_source := self._nfa.new())
            self._nfa.skip(at, at_source)
            bounds = self._quantifier()
            at = after if bounds is None else self._repeat(begun, at_source, after, bounds)
        return at

    def _repeat(self, begun: int, source: int, after: int, bounds: tuple[int, int | None]) -> int:
        least, most = bounds
        resume = self._at
        nfa = self._nfa
        end = nfa.new()
        if least == 0:
            nfa.skip(source, end)
        if most == 0:
            return end
        last_source = source
        copies = max(least, 1) if most is None else most
        for number in range(1, copies):
            if number >= least:
                nfa.skip(after, end)
            last_source = nfa.new()
            nfa.skip(after, last_source)
            self._at = begun
            after = self._atom(last_source)
        self._at = resume
        nfa.skip(after, end)
        if most is None:
            nfa.skip(after, last_source)
        return end

    def _quantifier(self) -> tuple[int, int | None] | None:
        bounds: tuple[int, int | None]
        if self._take("*"):
            bounds = (0, None)
        elif self._take("+"):
            bounds = (1, None)
        elif self._take("?"):
            bounds = (0, 1)
        elif self._peek("{"):
            bounds = self._counts()
        else:
            return None
        self._take("?")  # lazy or greedy: the same strings match
        if self._at < len(self._text) and self._text[self._at] in "*+?{":
            raise BadPattern(f"there is nothing to repeat at {self._at}")
        return bounds

    def _counts(self) -> tuple[int, int | None]:
        close = self._text.find("}", self._at)
        inner = self._text[self._at + 1 : close] if close > 0 else ""
        low, comma, high = inner.partition(",")
        if not low.isascii() or not low.isdigit() or (high and not high.isdigit()):
            raise BadPattern(f"`{{` at {self._at} begins no count; write `\\{{` for the character")
        self._at = close + 1
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if max(least, most or 0) > REPEAT_MAX:
            raise BadPattern(f"a count is over {REPEAT_MAX}")
        if most is not None and most < least:
            raise BadPattern(f"the count {{{inner}}} is out of order")
        return least, most

    def _atom(self, source: int) -> int:
        letter = self._text[self._at]
        if letter == "(":
            return self._group(source)
        self._at += 1
        if letter == "^":
            ranges: Ranges = ((START, START),)
        elif letter == "$":
            ranges = ((END, END),)
        elif letter == ".":
            ranges = minus(UNIVERSE, _LINE_ENDS)
        elif letter == "[":
            ranges = self._class()
        elif letter == "\\":
            ranges = self._escape()
        elif letter in "*+?":
            raise BadPattern(f"there is nothing to repeat at {self._at - 1}")
        elif letter in "{}]":
            raise BadPattern(f"`{letter}` at {self._at - 1} needs a backslash before it")
        else:
            ranges = ((ord(letter), ord(letter)),)
        target = self._nfa.new()
        self._nfa.step(source, ranges, target)
        return target

    def _group(self, source: int) -> int:
        opened = self._at
        self._at += 1
        if self._take("?"):
            if self._take(":"):
                pass
            elif self._peek("<") and self._text[self._at + 1 : self._at + 2] not in {"=", "!"}:
                close = self._text.find(">", self._at)
                if close < 0:
                    raise BadPattern(f"the group at {opened} has no name")
                self._at = close + 1
            else:
                raise BadPattern(f"look-around and flags, as at {opened}, can't be served")
        end = self._alternatives(source)
        if not self._take(")"):
            raise BadPattern(f"the parenthesis at {opened} is not closed")
        return end

    def _escape(self) -> Ranges:
        at = self._at - 1
        if self._at >= len(self._text):
            raise BadPattern("it ends with a backslash")
        letter = self._text[self._at]
        if letter in _CLASSES:
            self._at += 1
            return _CLASSES[letter]
        if letter in "bB":
            raise BadPattern(f"the word boundary at {at} can't be served")
        if letter in "pP":
            raise BadPattern(f"the Unicode property at {at} can't be served")
        if letter == "k" or letter in "123456789":
            raise BadPattern(f"the back reference at {at} can't be served")
        code = self._code()
        return ((code, code),)

    def _code(self) -> int:
        """The one code point of an escape; the backslash is read already."""
        at = self._at - 1
        letter = self._text[self._at]
        self._at += 1
        if letter in _CONTROLS:
            if letter == "0" and self._text[self._at : self._at + 1].isdigit():
                raise BadPattern(f"the octal escape at {at} can't be served")
            return _CONTROLS[letter]
        if letter in "xu":
            width = 2 if letter == "x" else 4
            digits = self._text[self._at : self._at + width]
            try:
                code = int(digits, 16)
            except ValueError:
                code = -1
            if len(digits) != width or code < 0 or 0xD800 <= code <= 0xDFFF:
                raise BadPattern(f"the escape at {at} names no character")
            self._at += width
            return code
        if letter in _SYNTAX or not letter.isalnum():
            return ord(letter)
        raise BadPattern(f"the escape `\\{letter}` at {at} can't be served")

    def _class(self) -> Ranges:
        opened = self._at - 1
        is_negated = self._take("^")
        found: list[tuple[int, int]] = []
        has_class = False
        while not self._peek("]"):
            if self._at >= len(self._text):
                raise BadPattern(f"the class at {opened} is not closed")
            low = self._member()
            if isinstance(low, tuple):
                has_class = True
                found += low
                continue
            high: int | Ranges = low
            if self._peek("-") and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                high = self._member()
            if isinstance(high, tuple) or high < low:
                raise BadPattern(f"a range in the class at {opened} is out of order")
            found.append((low, high))
        self._at += 1
        ranges = normal(found)
        if not is_negated:
            return minus(ranges, ((0xD800, 0xDFFF),))
        if not has_class:
            return minus(UNIVERSE, ranges)
        # Engines differ on what beyond ASCII `\w`, `\d` and `\s` hold.
        return minus(_ASCII, normal([*ranges, *(_SPACE_WIDE if self._has_space(ranges) else ())]))

    @staticmethod
    def _has_space(ranges: Ranges) -> bool:
        return any(low <= 0x0B and high >= 0x0D for low, high in ranges)

    def _member(self) -> int | Ranges:
        letter = self._text[self._at]
        self._at += 1
        if letter != "\\":
            return ord(letter)
        if self._at >= len(self._text):
            raise BadPattern("it ends with a backslash")
        if self._text[self._at] == "b":
            self._at += 1
            return 8
        if self._text[self._at] in _CLASSES:
            return self._escape()
        code = self._escape()
        return code[0][0]

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if self._peek(text):
            self._at += len(text)
            return True
        return False
