"""One answer as it grows: llama.cpp's pieces in, events out, and the exact count at the end.

`output_tokens` counts the tokens that were generated, those that made up a stop sequence or an
unfinished character included, and the end-of-turn token not.
"""

import msgspec

from craton.messages import (
    BlockStart,
    BlockStop,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    TextDelta,
    Usage,
)
from craton.models.engines.embedded.stopping import StopMatcher


class Piece(msgspec.Struct, frozen=True):
    """One event of llama.cpp's own completion stream, as far as it is read here."""

    content: str
    stop: bool
    tokens_predicted: int
    """Tokens generated so far, the end-of-turn token included."""
    tokens_evaluated: int = 0
    stop_type: str = "none"
    """In the last piece: eos, limit or word."""
    truncated: bool = False


class GrowingAnswer:
    """Turns pieces into events in the order that `messages.events` sets.

    `limit_is_context`: the limit given to llama.cpp is where the context ends, and less than what
    the caller asked for.
    """

    def __init__(
        self, *, prompt_tokens: int, stop_sequences: list[str], limit_is_context: bool
    ) -> None:
        self._prompt_tokens = prompt_tokens
        self._matcher = StopMatcher(stop_sequences)
        self._limit_is_context = limit_is_context
        self._output_tokens = 0
        self._has_begun = False
        self._stop_reason: StopReason | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no more pieces are wanted."""
        return self._stop_reason is not None

    def add(self, piece: Piece) -> list[Event]:
        """The events of a piece."""
        events = self._begin()
        self._output_tokens = piece.tokens_predicted
        text = self._matcher.feed(piece.content)
        if self._matcher.matched is not None:
            self._stop_reason = StopReason.STOP_SEQUENCE
        elif piece.stop:
            text += self._matcher.close()
            if piece.stop_type == "eos":
                self._output_tokens -= 1
                self._stop_reason = StopReason.END_TURN
            elif self._limit_is_context or piece.truncated:
                self._stop_reason = StopReason.CONTEXT_WINDOW_EXCEEDED
            else:
                self._stop_reason = StopReason.MAX_TOKENS
        if text:
            events.append(TextDelta(index=0, text=text))
        return events

    def end(self, *, latency_ms: int, chip_us: int) -> list[Event]:
        """The last events: of a complete answer, or of one that was asked to stop early."""
        events = self._begin()
        if self._stop_reason is None:
            # Asked to stop: what was held back for a partial match is part of the answer.
            if text := self._matcher.close():
                events.append(TextDelta(index=0, text=text))
            self._stop_reason = StopReason.END_TURN
        usage = Usage(input_tokens=self._prompt_tokens, output_tokens=self._output_tokens)
        return [
            *events,
            BlockStop(index=0),
            MessageStop(stop_reason=self._stop_reason, stop_sequence=self._matcher.matched),
            Metadata(usage=usage, latency_ms=latency_ms, chip_us=chip_us),
        ]

    def _begin(self) -> list[Event]:
        if self._has_begun:
            return []
        self._has_begun = True
        usage = Usage(input_tokens=self._prompt_tokens)
        return [MessageStart(usage=usage), BlockStart(index=0)]
