"""Numbers of a schema: their bounds as one interval, and the digits that stay within it."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, lcm

from craton.models.engines.embedded.grammar_keywords import Json, Place, is_number
from craton.models.engines.embedded.grammar_nodes import NOTHING, Literals, Node, Numbers

MULTIPLES_MAX = 1000
"""Most multiples that are told apart: the ones nearest to zero."""
DIGITS_MAX = 15
"""Most digits before and after the point where no bound says otherwise: what a double holds."""
FRACTION_DIGITS = (1, 2, 3, 4, 6)
"""How many digits may stand after the point of a number with bounds."""


@dataclass(slots=True)
class Bounds:
    """What several schemas say of one number."""

    is_integer: bool
    low: Fraction | None = None
    high: Fraction | None = None
    is_low_open: bool = False
    is_high_open: bool = False
    step: int | None = None

    def narrow(self, schema: Json, place: Place) -> None:
        """Take in what one more schema says."""
        self._raise(schema.get("minimum"), is_open=schema.get("exclusiveMinimum") is True)
        self._lower(schema.get("maximum"), is_open=schema.get("exclusiveMaximum") is True)
        self._raise(schema.get("exclusiveMinimum"), is_open=True)
        self._lower(schema.get("exclusiveMaximum"), is_open=True)
        step = schema.get("multipleOf")
        if step is None:
            return
        if step != int(step):
            # Checkers divide as floating point, and disagree on what a multiple of 0.01 is.
            raise place.unsupported("multipleOf", "only whole numbers can be served")
        self.step = int(step) if self.step is None else lcm(self.step, int(step))
        self.is_integer = True

    def _raise(self, bound: object, *, is_open: bool) -> None:
        if is_number(bound):
            value = exact(bound)
            if self.low is None or value > self.low:
                self.low, self.is_low_open = value, is_open
            elif value == self.low:
                self.is_low_open |= is_open

    def _lower(self, bound: object, *, is_open: bool) -> None:
        if is_number(bound):
            value = exact(bound)
            if self.high is None or value < self.high:
                self.high, self.is_high_open = value, is_open
            elif value == self.high:
                self.is_high_open |= is_open


def exact(value: int | float) -> Fraction:
    """The number as it was written."""
    return Fraction(value) if isinstance(value, int) else Fraction(Decimal(repr(value)))


def numbers(bounds: Bounds) -> Node:
    """The node of all that was said."""
    low, high = bounds.low, bounds.high
    if bounds.is_integer:
        low = None if low is None else Fraction(lowest(low, bounds.is_low_open))
        high = None if high is None else Fraction(highest(high, bounds.is_high_open))
    if low is not None and high is not None and low >= high:
        is_one = low == high and (
            bounds.is_integer or not (bounds.is_low_open or bounds.is_high_open)
        )
        if not is_one:
            return NOTHING
        if bounds.step in {None, 1} or low % (bounds.step or 1) == 0:
            return Literals((int(low) if low.denominator == 1 else float(low),))
        return NOTHING
    if bounds.step not in {None, 1}:
        assert bounds.step is not None
        return Literals(tuple(_multiples(bounds.step, low, high)))
    return Numbers(
        low,
        high,
        is_low_open=bounds.is_low_open and not bounds.is_integer,
        is_high_open=bounds.is_high_open and not bounds.is_integer,
        is_integer=bounds.is_integer,
    )


def lowest(low: Fraction, is_open: bool) -> int:
    """The first whole number within a lower bound."""
    number = ceil(low)
    return number + 1 if is_open and number == low else number


def highest(high: Fraction, is_open: bool) -> int:
    """The last whole number within an upper bound."""
    number = floor(high)
    return number - 1 if is_open and number == high else number


def _multiples(step: int, low: Fraction | None, high: Fraction | None) -> list[int]:
    first = None if low is None else ceil(low / step)
    last = None if high is None else floor(high / step)
    if first is None and last is None:
        first, last = -(MULTIPLES_MAX // 4), MULTIPLES_MAX - MULTIPLES_MAX // 4 - 1
    elif first is None:
        assert last is not None
        first = min(last, 0) - MULTIPLES_MAX + 1 if last < 0 else min(-(MULTIPLES_MAX // 4), last)
    if last is None:
        last = first + MULTIPLES_MAX - 1
    if last - first >= MULTIPLES_MAX:
        # The ones nearest to zero.
        start = max(first, min(-(MULTIPLES_MAX // 4), last - MULTIPLES_MAX + 1))
        first, last = start, min(last, start + MULTIPLES_MAX - 1)
    return [step * number for number in range(first, last + 1)]


# --- digits -----------------------------------------------------------------------------------


def digits(node: Numbers) -> str:
    """A grammar expression for the numbers of an interval, as JSON writes them."""
    if node.low is None and node.high is None:
        whole = f'"-"? ("0" | [1-9] [0-9]{{0,{DIGITS_MAX - 1}}})'
        if node.is_integer:
            return whole
        return f'{whole} ("." [0-9]{{1,{DIGITS_MAX}}})? ([eE] [-+]? [0-9]{{1,2}})?'
    far = Fraction(10**DIGITS_MAX - 1)
    low = node.low if node.low is not None else min(-far, (node.high or far) * 10)
    high = node.high if node.high is not None else max(far, (node.low or far) * 10)
    found = _fixed(low, high, node, places=0)
    if not node.is_integer:
        for places in FRACTION_DIGITS:
            if max(abs(low), abs(high)) * 10**places < 10 ** (DIGITS_MAX + 2):
                found += _fixed(low, high, node, places=places)
    return " | ".join(found)


def _fixed(low: Fraction, high: Fraction, node: Numbers, *, places: int) -> list[str]:
    """The numbers with exactly so many digits after the point."""
    scale = 10**places
    first = lowest(low * scale, node.is_low_open)
    last = highest(high * scale, node.is_high_open)
    found: list[str] = []
    if first < 0:
        inner = _magnitudes(max(1, -last), -first, places)
        found += [f'"-" ({" | ".join(inner)})'] if inner else []
    return found + _magnitudes(max(0, first), last, places)


def _magnitudes(first: int, last: int, places: int) -> list[str]:
    found: list[str] = []
    while first <= last:
        # Numbers of one length at a time; the zero before the point counts as a digit.
        width = max(len(str(first)), places + 1)
        end = min(last, 10**width - 1)
        found.append(_same_width(str(first).zfill(width), str(end).zfill(width), places))
        first = end + 1
    return found


def _same_width(low: str, high: str, places: int) -> str:
    """Digits from `low` to `high`, which are equally long; the point stands before the last."""
    if not low:
        return ""
    point = '"." ' if places and len(low) == places else ""
    rest = len(low) - 1
    if low[0] == high[0]:
        return _sequence(f'{point}"{low[0]}"', _same_width(low[1:], high[1:], places))
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return _sequence(f"{point}[{low[0]}-{high[0]}]", _any(rest, places))
    choices: list[str] = []
    bottom, top = int(low[0]), int(high[0])
    if set(low[1:]) > {"0"} or (rest and set(low[1:]) != {"0"}):
        choices.append(_sequence(f'"{bottom}"', _same_width(low[1:], "9" * rest, places)))
        bottom += 1
    last = ""
    if rest and set(high[1:]) != {"9"}:
        last = _sequence(f'"{top}"', _same_width("0" * rest, high[1:], places))
        top -= 1
    if bottom <= top:
        choices.append(_sequence(f"[{bottom}-{top}]", _any(rest, places)))
    choices += [last] if last else []
    return f"{point}({' | '.join(choices)})"


def _any(count: int, places: int) -> str:
    if not count:
        return ""
    if places and count >= places:
        before = count - places
        return _sequence(f"[0-9]{{{before}}}" if before else "", f'"." [0-9]{{{places}}}')
    return f"[0-9]{{{count}}}"


def _sequence(*parts: str) -> str:
    return " ".join(part for part in parts if part)
