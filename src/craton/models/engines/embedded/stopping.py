"""Stop sequences in a stream of text: found across pieces, never leaked, and nothing lost.

llama.cpp has its own, and loses the text it held back for a partial match when the answer ends at
its limit; so the matching is done here.
"""


class StopMatcher:
    """Feeds text through; holds back only what may be the beginning of a stop sequence.

    The match that is complete first wins, and of those that end together the longest: so the
    outcome doesn't depend on how the text was cut into pieces.
    """

    def __init__(self, sequences: list[str]) -> None:
        self._sequences = sequences
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """The text that can be shown by now; after a match, `matched` is set and no more comes."""
        assert self.matched is None, "text came after a stop sequence was met"
        held = self._held + text
        found = [
            (start + len(sequence), start, sequence)
            for sequence in self._sequences
            if (start := held.find(sequence)) >= 0
        ]
        if found:
            _, start, self.matched = min(found)
            self._held = ""
            return held[:start]
        keep = self._partial(held)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def close(self) -> str:
        """The answer ended: the text held back, which was no stop sequence after all."""
        held, self._held = self._held, ""
        return held

    def _partial(self, held: str) -> int:
        """Length of the longest end of the text that begins some stop sequence."""
        longest = max((len(sequence) - 1 for sequence in self._sequences), default=0)
        for length in range(min(longest, len(held)), 0, -1):
            end = held[-length:]
            if any(sequence.startswith(end) for sequence in self._sequences):
                return length
        return 0
