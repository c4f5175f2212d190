"""A matcher and a generator of GBNF, written apart from the compiler that is tested with it.

It reads the notation by the description in llama.cpp's grammars/README.md and knows nothing of
schemas. The matcher follows all ways through the grammar at once, a character at a time.
"""

import random
from dataclasses import dataclass
from typing import Any, TypeAlias

Element: TypeAlias = tuple[Any, ...]
"""("chars", ranges, is_negated), ("rule", name), ("sequence", parts), ("choice", parts), or
("repeat", part, fewest, most)."""
Stack: TypeAlias = tuple[Element, ...]

ANY_LENGTH = 10**9


class Grammar:
    """A parsed grammar."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, Element] = {}
        for line in text.splitlines():
            name, _, body = line.partition(" ::= ")
            assert name not in self.rules, f"rule {name} comes twice"
            self.rules[name] = _Reader(body).read()
        self._weights: dict[str, int] = {}

    def accepts(self, text: str) -> bool:
        """Whether the grammar matches the whole text."""
        stacks = self._after(text)
        return any(not stack for stack in stacks)

    def is_prefix(self, text: str) -> bool:
        """Whether some continuation of the text matches."""
        return bool(self._after(text))

    def _after(self, text: str) -> set[Stack]:
        stacks = self._opened({(("rule", "root"),)})
        for letter in text:
            code = ord(letter)
            stacks = self._opened(
                {stack[1:] for stack in stacks if stack and _takes(stack[0], code)}
            )
        return stacks

    def _opened(self, stacks: set[Stack]) -> set[Stack]:
        """The stacks with a character, or nothing, on top."""
        found: set[Stack] = set()
        seen: set[Stack] = set()
        queue = list(stacks)
        while queue:
            stack = queue.pop()
            if stack in seen:
                continue
            seen.add(stack)
            if not stack or stack[0][0] == "chars":
                found.add(stack)
                continue
            top, rest = stack[0], stack[1:]
            match top:
                case ("rule", name):
                    queue.append((self.rules[name], *rest))
                case ("sequence", parts):
                    queue.append((*parts, *rest))
                case ("choice", parts):
                    queue += [(part, *rest) for part in parts]
                case ("repeat", part, fewest, most):
                    if most > 0:
                        left = ("repeat", part, max(fewest - 1, 0), min(most - 1, ANY_LENGTH))
                        left = top if most == ANY_LENGTH and fewest == 0 else left
                        if most == ANY_LENGTH:
                            left = ("repeat", part, max(fewest - 1, 0), ANY_LENGTH)
                        queue.append((part, left, *rest))
                    if fewest == 0:
                        queue.append(rest)
        return found

    # --- generation -----------------------------------------------------------------------------

    def generate(self, rnd: random.Random, *, budget: int) -> str:
        """A text that matches; past the budget of characters by the shortest way to an end."""
        if not self._weights:
            self._weigh()
        out: list[str] = []
        stack: list[Element] = [("rule", "root")]
        while stack:
            top = stack.pop()
            is_over = len(out) > budget
            match top:
                case ("chars", ranges, is_negated):
                    out.append(_letter(ranges, is_negated, rnd))
                case ("rule", name):
                    stack.append(self.rules[name])
                case ("sequence", parts):
                    stack.extend(reversed(parts))
                case ("choice", parts):
                    stack.append(
                        min(parts, key=self._weight) if is_over else rnd.choice(list(parts))
                    )
                case ("repeat", part, fewest, most):
                    count = fewest
                    while not is_over and count < most and rnd.random() < 0.7:
                        count += 1
                    stack.extend([part] * count)
        return "".join(out)

    def _weight(self, element: Element) -> int:
        match element:
            case ("chars", *_):
                return 1
            case ("rule", name):
                return self._weights.get(name, ANY_LENGTH)
            case ("sequence", parts):
                return sum(self._weight(part) for part in parts)
            case ("choice", parts):
                return min(self._weight(part) for part in parts)
            case ("repeat", part, fewest, _):
                return fewest * self._weight(part) if fewest else 0
        raise AssertionError(element)

    def _weigh(self) -> None:
        """An upper bound on the length of each rule's shortest text; every rule must have one.

        A rule weighs more than some choice of its body, so choosing the lightest always ends.
        """
        count = -1
        while count < len(self._weights):
            count = len(self._weights)
            for name in reversed(self.rules):
                if name not in self._weights:
                    weight = self._weight(self.rules[name])
                    if weight < ANY_LENGTH:
                        self._weights[name] = weight + 1
        endless = self.rules.keys() - self._weights.keys()
        assert not endless, f"rules without an end: {sorted(endless)}"


def _takes(element: Element, code: int) -> bool:
    _, ranges, is_negated = element
    return any(low <= code <= high for low, high in ranges) != is_negated


def _letter(ranges: tuple[tuple[int, int], ...], is_negated: bool, rnd: random.Random) -> str:
    if is_negated:
        while True:
            code = rnd.choice([rnd.randint(0x20, 0x7E), rnd.randint(0xA0, 0x2FFF)])
            if not any(low <= code <= high for low, high in ranges):
                return chr(code)
    low, high = rnd.choice(ranges)
    # Wide ranges mostly give letters that people can read.
    return chr(rnd.randint(low, min(high, low + 100) if rnd.random() < 0.8 else high))


@dataclass
class _Reader:
    text: str
    at: int = 0

    def read(self) -> Element:
        found = self._choice()
        assert self.at == len(self.text), f"left over: {self.text[self.at :]!r}"
        return found

    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at] == " ":
            self.at += 1

    def _choice(self) -> Element:
        parts = [self._sequence()]
        while self.at < len(self.text) and self.text[self.at] == "|":
            self.at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else ("choice", tuple(parts))

    def _sequence(self) -> Element:
        parts: list[Element] = []
        self._skip()
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            parts.append(self._counted(self._one()))
            self._skip()
        return parts[0] if len(parts) == 1 else ("sequence", tuple(parts))

    def _one(self) -> Element:
        letter = self.text[self.at]
        self.at += 1
        if letter == '"':
            parts: list[Element] = []
            while self.text[self.at] != '"':
                code = self._code()
                parts.append(("chars", ((code, code),), False))
            self.at += 1
            return ("sequence", tuple(parts))
        if letter == "[":
            return self._class()
        if letter == "(":
            inner = self._choice()
            assert self.text[self.at] == ")"
            self.at += 1
            return inner
        start = self.at - 1
        while self.at < len(self.text) and (
            self.text[self.at].isalnum() or self.text[self.at] == "-"
        ):
            self.at += 1
        assert self.at > start, f"what is {self.text[start:]!r}"
        return ("rule", self.text[start : self.at])

    def _class(self) -> Element:
        is_negated = self.text[self.at] == "^"
        self.at += is_negated
        ranges: list[tuple[int, int]] = []
        while self.text[self.at] != "]":
            low = high = self._code()
            if self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                high = self._code()
            assert low <= high
            ranges.append((low, high))
        self.at += 1
        return ("chars", tuple(ranges), is_negated)

    def _code(self) -> int:
        letter = self.text[self.at]
        self.at += 1
        if letter != "\\":
            return ord(letter)
        kind = self.text[self.at]
        self.at += 1
        width = {"x": 2, "u": 4, "U": 8}.get(kind)
        if width is None:
            return {"n": 10, "r": 13, "t": 9, '"': 34, "\\": 92, "[": 91, "]": 93}[kind]
        self.at += width
        return int(self.text[self.at - width : self.at], 16)

    def _counted(self, element: Element) -> Element:
        if self.at >= len(self.text):
            return element
        letter = self.text[self.at]
        if letter in "*+?":
            self.at += 1
            fewest, most = {"*": (0, ANY_LENGTH), "+": (1, ANY_LENGTH), "?": (0, 1)}[letter]
            return ("repeat", element, fewest, most)
        if letter == "{":
            close = self.text.index("}", self.at)
            low, comma, high = self.text[self.at + 1 : close].partition(",")
            self.at = close + 1
            most = (int(high) if high else ANY_LENGTH) if comma else int(low)
            return ("repeat", element, int(low), most)
        return element
