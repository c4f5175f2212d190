"""Sets of strings as deterministic automata over code points, with the operations schemas need.

Whatever a schema says of a string (a pattern, a format, lengths, names that are taken) becomes one
automaton, and combining them is their product. A deterministic automaton keeps a decoder at one
place at a time, whatever the pattern, so that each token costs the same small check.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

STATES_MAX = 4000
"""Most states of one automaton; a pattern that needs more is refused."""

Ranges = tuple[tuple[int, int], ...]
"""Code points as inclusive ranges, ascending, apart from each other."""

UNIVERSE: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
"""Every code point that a string in UTF-8 can hold."""
START, END = 0x110000, 0x110001
"""Marks before the first and after the last character, which is what `^` and `$` match."""


WORK_MAX = 400_000
"""Most steps looked at while an automaton is made deterministic: a tenth of a second."""


class TooManyStates(Exception):
    """An automaton would be larger than is allowed."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """State 0 is the first; `steps[s]` are ranges with the state each leads to, apart and in order.

    Every state is on a way to an accepting one, unless the set is empty, which then has one state
    and no steps.
    """

    steps: tuple[tuple[tuple[int, int, int], ...], ...]
    accepting: frozenset[int]

    @property
    def is_empty(self) -> bool:
        """Whether no string is in the set."""
        return not self.accepting

    def accepts(self, text: str) -> bool:
        """Whether the string is in the set."""
        state = 0
        for letter in text:
            code = ord(letter)
            for low, high, target in self.steps[state]:
                if low <= code <= high:
                    state = target
                    break
            else:
                return False
        return state in self.accepting


@dataclass(slots=True)
class Nfa:
    """A nondeterministic automaton under construction; state 0 is the first."""

    steps: list[list[tuple[Ranges, int]]]
    empty_steps: list[list[int]]

    def new(self) -> int:
        """One more state."""
        if len(self.steps) >= 10 * STATES_MAX:
            raise TooManyStates
        self.steps.append([])
        self.empty_steps.append([])
        return len(self.steps) - 1

    def step(self, source: int, ranges: Ranges, target: int) -> None:
        """From `source` to `target` by one of these code points."""
        self.steps[source].append((ranges, target))

    def skip(self, source: int, target: int) -> None:
        """From `source` to `target` by nothing."""
        self.empty_steps[source].append(target)


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ascending, and joined where they touch."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if low > high:
            continue
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return tuple(out)


def minus(ranges: Ranges, taken: Ranges) -> Ranges:
    """The code points of the first that are not in the second."""
    out: list[tuple[int, int]] = []
    for first, last in ranges:
        low = first
        for taken_low, taken_high in taken:
            if taken_high < low or taken_low > last:
                continue
            if taken_low > low:
                out.append((low, taken_low - 1))
            low = taken_high + 1
        if low <= last:
            out.append((low, last))
    return tuple(out)


def both(ranges: Ranges, others: Ranges) -> Ranges:
    """The code points that are in each."""
    return normal(
        (max(low, low2), min(high, high2)) for low, high in ranges for low2, high2 in others
    )


def determinize(nfa: Nfa, accepting: set[int]) -> Automaton:
    """The subset construction, over strings that stand between `START` and `END`.

    The marks are taken off: the first state is the one after `START`, and a state accepts where
    `END` leads to acceptance.
    """
    closures = [_closure(nfa, state) for state in range(len(nfa.steps))]
    first = _follow(nfa, closures, closures[0], START)
    numbers: dict[frozenset[int], int] = {first: 0}
    queue = [first]
    steps: list[tuple[tuple[int, int, int], ...]] = []
    ends: set[int] = set()
    work = 0
    for subset in queue:
        pieces = _pieces(nfa, subset)
        work += len(subset) * (len(pieces) + 1)
        if work > WORK_MAX:
            raise TooManyStates
        if _follow(nfa, closures, subset, END) & accepting:
            ends.add(len(steps))
        found: list[tuple[int, int, int]] = []
        for low, high in pieces:
            target = _follow(nfa, closures, subset, low)
            if target not in numbers:
                if len(numbers) >= STATES_MAX:
                    raise TooManyStates
                numbers[target] = len(numbers)
                queue.append(target)
            found.append((low, high, numbers[target]))
        steps.append(_joined(found))
    return trimmed(steps, ends)


def _closure(nfa: Nfa, state: int) -> frozenset[int]:
    seen = {state}
    queue = [state]
    for each in queue:
        for target in nfa.empty_steps[each]:
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return frozenset(seen)


def _follow(
    nfa: Nfa, closures: Sequence[frozenset[int]], subset: frozenset[int], code: int
) -> frozenset[int]:
    out: set[int] = set()
    for state in subset:
        for ranges, target in nfa.steps[state]:
            if any(low <= code <= high for low, high in ranges):
                out |= closures[target]
    return frozenset(out)


def _pieces(nfa: Nfa, subset: frozenset[int]) -> list[tuple[int, int]]:
    """The code points that lead on, cut so that all of a piece lead to the same states."""
    ranges = {each for state in subset for many, _ in nfa.steps[state] for each in many}
    cuts = sorted({low for low, _ in ranges} | {high + 1 for _, high in ranges})
    covered = normal(ranges)
    return [
        (low, following - 1)
        for low, following in pairwise(cuts)
        if low < START and any(a <= low <= b for a, b in covered)
    ]


def _joined(steps: list[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    out: list[tuple[int, int, int]] = []
    for low, high, target in sorted(steps):
        if out and out[-1][2] == target and out[-1][1] + 1 == low:
            out[-1] = (out[-1][0], high, target)
        else:
            out.append((low, high, target))
    return tuple(out)


def trimmed(steps: Sequence[Sequence[tuple[int, int, int]]], accepting: set[int]) -> Automaton:
    """Without the states from which nothing is ever accepted, or that are never reached."""
    back: list[list[int]] = [[] for _ in steps]
    for source, outgoing in enumerate(steps):
        for _, _, target in outgoing:
            back[target].append(source)
    alive = set(accepting)
    queue = list(accepting)
    for state in queue:
        for source in back[state]:
            if source not in alive:
                alive.add(source)
                queue.append(source)
    if 0 not in alive:
        return Automaton(steps=((),), accepting=frozenset())
    numbers = {0: 0}
    order = [0]
    for state in order:
        for _, _, target in steps[state]:
            if target in alive and target not in numbers:
                numbers[target] = len(order)
                order.append(target)
    return Automaton(
        steps=tuple(
            tuple((low, high, numbers[to]) for low, high, to in steps[state] if to in alive)
            for state in order
        ),
        accepting=frozenset(numbers[state] for state in accepting if state in numbers),
    )


def intersection(first: Automaton, second: Automaton) -> Automaton:
    """The strings that are in both."""
    numbers = {(0, 0): 0}
    queue = [(0, 0)]
    steps: list[tuple[tuple[int, int, int], ...]] = []
    for one, two in queue:
        found: list[tuple[int, int, int]] = []
        for low, high, target in first.steps[one]:
            for low2, high2, target2 in second.steps[two]:
                lowest, highest = max(low, low2), min(high, high2)
                if lowest > highest:
                    continue
                pair = (target, target2)
                if pair not in numbers:
                    if len(numbers) >= STATES_MAX:
                        raise TooManyStates
                    numbers[pair] = len(numbers)
                    queue.append(pair)
                found.append((lowest, highest, numbers[pair]))
        steps.append(tuple(sorted(found)))
    ends = {
        number
        for (one, two), number in numbers.items()
        if one in first.accepting and two in second.accepting
    }
    return trimmed(steps, ends)


def of_lengths(shortest: int, longest: int | None) -> Automaton:
    """All strings of a length within these, both included; None is no limit."""
    count = shortest if longest is None else longest
    if count >= STATES_MAX:
        raise TooManyStates
    steps = [tuple((low, high, at + 1) for low, high in UNIVERSE) for at in range(count)]
    last = tuple((low, high, count) for low, high in UNIVERSE) if longest is None else ()
    return trimmed([*steps, last], set(range(shortest, count + 1)))


def of_words(words: Iterable[str]) -> Automaton:
    """Exactly these strings."""
    tree, ends = _tree(words)
    # From the leaves up: states with the same way on are one. A leaf always has a higher number.
    known: dict[tuple[bool, tuple[tuple[int, int, int], ...]], int] = {}
    same = list(range(len(tree)))
    steps: list[tuple[tuple[int, int, int], ...]] = [()] * len(tree)
    for state in range(len(tree) - 1, -1, -1):
        steps[state] = _joined(
            [(ord(letter), ord(letter), same[target]) for letter, target in tree[state].items()]
        )
        same[state] = known.setdefault((state in ends, steps[state]), state)
    return trimmed(steps, ends)


def without_words(words: Iterable[str]) -> Automaton:
    """All strings but these."""
    tree, ends = _tree(words)
    sink = len(tree)
    steps: list[tuple[tuple[int, int, int], ...]] = []
    for branches in tree:
        taken = [(ord(letter), ord(letter), target) for letter, target in branches.items()]
        rest = minus(UNIVERSE, normal((low, high) for low, high, _ in taken))
        steps.append(tuple(sorted([*taken, *((low, high, sink) for low, high in rest)])))
    steps.append(tuple((low, high, sink) for low, high in UNIVERSE))
    return trimmed(steps, set(range(sink + 1)) - ends)


def _tree(words: Iterable[str]) -> tuple[list[dict[str, int]], set[int]]:
    tree: list[dict[str, int]] = [{}]
    ends: set[int] = set()
    for word in words:
        state = 0
        for letter in word:
            if letter not in tree[state]:
                if len(tree) >= 100 * STATES_MAX:
                    raise TooManyStates
                tree[state][letter] = len(tree)
                tree.append({})
            state = tree[state][letter]
        ends.add(state)
    return tree, ends
