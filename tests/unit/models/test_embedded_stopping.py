"""Stop sequences: the outcome never depends on how the text was cut into pieces."""

from hypothesis import given
from hypothesis import strategies as st

from craton.models.engines.embedded.stopping import StopMatcher


def run(sequences: list[str], pieces: list[str]) -> tuple[str, str | None]:
    matcher = StopMatcher(sequences)
    shown = ""
    for piece in pieces:
        shown += matcher.feed(piece)
        if matcher.matched is not None:
            return shown, matcher.matched
    return shown + matcher.close(), None


def test_a_sequence_that_spans_pieces_is_found_and_never_shown() -> None:
    assert run(["STOP"], ["one S", "T", "O", "P two"]) == ("one ", "STOP")


def test_what_only_began_like_a_sequence_is_shown_in_the_end() -> None:
    assert run(["STOP"], ["one STO"]) == ("one STO", None)


def test_what_only_began_like_a_sequence_is_shown_as_soon_as_that_is_clear() -> None:
    matcher = StopMatcher(["STOP"])
    assert matcher.feed("ST") == ""
    assert matcher.feed("AR") == "STAR"


def test_the_sequence_that_is_complete_first_wins() -> None:
    assert run(["abcd", "bc"], ["abcd"]) == ("a", "bc")


def test_of_sequences_that_end_together_the_longest_wins() -> None:
    assert run(["3", "13"], ["12 13 14"]) == ("12 ", "13")


def first_to_end(sequences: list[str], text: str) -> tuple[str, str | None]:
    """The definition, spelled out slowly."""
    for end in range(1, len(text) + 1):
        ending = [s for s in sequences if text[:end].endswith(s)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


TEXT = st.text(alphabet="ab", max_size=12)


@given(
    st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=4),
    st.lists(TEXT, max_size=6),
)
def test_any_cutting_gives_what_the_definition_gives(
    sequences: list[str], pieces: list[str]
) -> None:
    assert run(sequences, pieces) == first_to_end(sequences, "".join(pieces))


@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=4), TEXT)
def test_no_more_is_held_back_than_could_begin_a_sequence(sequences: list[str], text: str) -> None:
    matcher = StopMatcher(sequences)
    shown = matcher.feed(text)
    if matcher.matched is None:
        held = text[len(shown) :]
        assert not held or any(s.startswith(held) for s in sequences)
