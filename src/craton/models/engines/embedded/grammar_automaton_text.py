"""Automata as grammar rules: one for each state, right-linear, so nothing is tried twice."""

from collections.abc import Callable

from craton.models.engines.embedded.grammar_automaton import Automaton, Ranges, minus

NewRule = Callable[[], str]
AddRule = Callable[[str, str], None]

_SHORT = {0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r"}
_USUAL = (0x0A, 0x09, 0x0D)
_ESCAPED: Ranges = ((0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x9F))
"""What a JSON string can't hold as it is, or had better not."""


def literal(text: str) -> str:
    """Text as a grammar's literal."""
    return '"' + "".join(_literal_letter(letter) for letter in text) + '"'


def _literal_letter(letter: str) -> str:
    code = ord(letter)
    if letter in '"\\':
        return "\\" + letter
    if code == 0x0A:
        return "\\n"
    if 0x20 <= code < 0x7F or code > 0x9F:
        return letter
    return f"\\x{code:02X}"


def characters(ranges: Ranges) -> str:
    """Code points as a grammar's class of characters."""
    inner = "".join(
        _class_letter(low) if low == high else f"{_class_letter(low)}-{_class_letter(high)}"
        for low, high in ranges
    )
    return f"[{inner}]"


def _class_letter(code: int) -> str:
    if chr(code).isascii() and chr(code).isalnum():
        return chr(code)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def in_string(ranges: Ranges) -> str:
    """These characters inside a JSON string: as they are where they can be, else escaped."""
    plain = minus(ranges, _ESCAPED)
    choices = [characters(plain)] if plain else []
    choices += [
        f'"\\\\{letter}"'
        for code, letter in ((0x22, '\\"'), (0x5C, "\\\\"))
        if any(low <= code <= high for low, high in ranges)
    ]
    held = [code for code in _USUAL if any(low <= code <= high for low, high in ranges)]
    choices += [f'"\\\\{_SHORT[code]}"' for code in held]
    if not choices:  # only rare control characters
        for low, high in ranges:
            choices += [f'"\\\\u{code:04X}"' for code in range(low, high + 1)]
    return choices[0] if len(choices) == 1 else f"({' | '.join(choices)})"


def write_automaton(
    automaton: Automaton,
    *,
    new: NewRule,
    add: AddRule,
    end: str,
    letters: Callable[[Ranges], str],
) -> str:
    """Add the automaton's rules; the name of the first. `end` follows every accepted text."""
    incoming = [0] * len(automaton.steps)
    targets: list[dict[int, list[tuple[int, int]]]] = []
    for steps in automaton.steps:
        groups: dict[int, list[tuple[int, int]]] = {}
        for low, high, target in steps:
            groups.setdefault(target, []).append((low, high))
        for target in groups:
            incoming[target] += 1
        targets.append(groups)
    incoming[0] += 1
    names: dict[int, str] = {0: new()}
    queue = [0]

    def reach(state: int) -> str:
        """What follows on the way into a state: its rule, or what it says, where that is one."""
        found: list[str] = []
        while (
            incoming[state] == 1 and state not in automaton.accepting and len(targets[state]) == 1
        ):
            ((target, ranges),) = targets[state].items()
            found.append(letters(tuple(ranges)))
            state = target
        if state in automaton.accepting and not targets[state]:
            return " ".join([*found, end])
        if state not in names:
            names[state] = new()
            queue.append(state)
        return " ".join([*found, names[state]])

    for state in queue:
        choices = [
            f"{letters(tuple(ranges))} {reach(target)}" for target, ranges in targets[state].items()
        ]
        if state in automaton.accepting:
            choices.append(end or '""')
        add(names[state], " | ".join(choice.rstrip() for choice in choices))
    return names[0]
