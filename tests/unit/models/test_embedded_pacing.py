"""The first words of an answer leave at once, those after them not one by one, the last at once."""

from craton.messages import Event, TextDelta
from craton.models.engines.embedded.pacing import PACE_S, Pace
from tests.fakes.loops import TimedLoop

SOON_S = PACE_S / 4


class Answer:
    """What was passed on of an answer, bunch by bunch, and when."""

    def __init__(self) -> None:
        self.loop = TimedLoop()
        self.sent: list[tuple[float, str]] = []
        self.pace = Pace(self._take, self.loop)

    def _take(self, events: list[Event]) -> None:
        texts = [event.text for event in events if isinstance(event, TextDelta)]
        self.sent.append((self.loop.now_s, "".join(texts)))

    def add(self, *texts: str) -> None:
        self.pace.add([TextDelta(index=0, text=text) for text in texts])


def test_the_first_words_leave_at_once() -> None:
    answer = Answer()
    answer.add("a", "b")
    assert answer.sent == [(0, "ab")]


def test_what_comes_soon_after_leaves_together_with_what_comes_when_the_time_is_over() -> None:
    answer = Answer()
    answer.add("a")
    for text in "bcde":
        answer.loop.advance(SOON_S)
        answer.add(text)
    assert answer.sent == [(0, "a"), (PACE_S, "bcde")]
    answer.loop.advance(SOON_S)
    answer.add("f")
    assert len(answer.sent) == 2


def test_who_is_slow_waits_for_nothing() -> None:
    answer = Answer()
    for text in "abc":
        answer.add(text)
        answer.loop.advance(PACE_S)
    assert answer.sent == [(0, "a"), (PACE_S, "b"), (2 * PACE_S, "c")]


def test_what_nothing_follows_waits_no_longer_than_the_pace() -> None:
    answer = Answer()
    answer.add("a")
    answer.loop.advance(SOON_S)
    answer.add("b")
    answer.loop.advance(PACE_S - SOON_S / 2)
    assert answer.sent == [(0, "a")]
    answer.loop.advance(SOON_S / 2)
    assert [text for _, text in answer.sent] == ["a", "b"]
    answer.loop.advance(10 * PACE_S)
    assert len(answer.sent) == 2


def test_the_end_of_an_answer_waits_for_nothing() -> None:
    answer = Answer()
    answer.add("a")
    answer.add("b")
    answer.pace.flush()
    assert answer.sent == [(0, "a"), (0, "b")]
    answer.pace.flush()
    answer.loop.advance(10 * PACE_S)
    assert len(answer.sent) == 2
