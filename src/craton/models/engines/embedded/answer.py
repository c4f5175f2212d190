"""One answer as it grows: llama.cpp's pieces in, events out, and the exact count at the end.

`output_tokens` counts the tokens that were generated, those that made up a stop sequence or an
unfinished character included, and the end-of-turn token not.
"""

from typing import Any

import msgspec

from craton.messages import (
    BlockKind,
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
from craton.messages.events import ToolInputDelta
from craton.models.engines.embedded.stopping import StopMatcher
from craton.models.engines.embedded.tools_grammar import Constraint
from craton.models.engines.embedded.tools_reading import Began, CallReader, Ended, Said, Wrote


class Alternative(msgspec.Struct, frozen=True):
    """A token that might have come, and the logarithm of its probability."""

    token: str
    bytes: list[int]
    logprob: float


class Probability(msgspec.Struct, frozen=True):
    """The token that came, and those that might have."""

    token: str
    bytes: list[int]
    logprob: float
    top_logprobs: list[Alternative] = []


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
    completion_probabilities: list[Probability] = []


class GrowingAnswer:
    """Turns pieces into events in the order that `messages.events` sets.

    `limit_is_context`: the limit given to llama.cpp is where the context ends, and less than what
    the caller asked for. `call_id` is a part of the ids of tool calls. `logprobs` is how many
    alternatives to tell for each token of text.

    Text before a call is a block of its own, without the white space around it. Stop sequences are
    looked for in text, never in the input of a call, which would be cut off by them. A call that
    was made already ends the answer and isn't told again.
    """

    def __init__(
        self,
        *,
        prompt_tokens: int,
        stop_sequences: list[str],
        limit_is_context: bool,
        constraint: Constraint | None = None,
        call_id: str = "",
        logprobs: int | None = None,
    ) -> None:
        self._prompt_tokens = prompt_tokens
        self._matcher = StopMatcher(stop_sequences)
        self._limit_is_context = limit_is_context
        self._constraint = constraint
        self._call_id = call_id.replace("-", "")
        self._logprobs = logprobs
        self._reader = CallReader() if constraint is not None and constraint.has_calls else None
        self._output_tokens = 0
        self._has_begun = False
        self._stop_reason: StopReason | None = None
        self._open: BlockKind | None = None
        self._index = 0
        self._made: list[tuple[str, str]] = []
        self._name, self._written, self._told_of, self._is_held = "", "", 0, False
        self._space = ""
        self._probabilities: list[Any] = []

    @property
    def is_complete(self) -> bool:
        """Whether no more pieces are wanted."""
        return self._stop_reason is not None

    def add(self, piece: Piece) -> list[Event]:
        """The events of a piece."""
        events = self._begin()
        self._output_tokens = piece.tokens_predicted
        if self._logprobs is not None:
            self._probabilities += map(self._told, piece.completion_probabilities)
        if self._reader is None:
            self._say(piece.content, events)
        else:
            self._read(piece.content, events)
        if piece.stop and not self.is_complete:
            self._flush(events)
            if piece.stop_type == "eos":
                self._output_tokens -= 1
                self._stop_reason = StopReason.TOOL_USE if self._made else StopReason.END_TURN
            elif self._limit_is_context or piece.truncated:
                self._stop_reason = StopReason.CONTEXT_WINDOW_EXCEEDED
            else:
                self._stop_reason = StopReason.MAX_TOKENS
        return events

    def end(self, *, latency_ms: int, chip_us: int) -> list[Event]:
        """The last events: of a complete answer, or of one that was asked to stop early."""
        events = self._begin()
        if self._stop_reason is None:
            # Asked to stop: what was held back for a partial match is part of the answer.
            self._flush(events)
            self._stop_reason = StopReason.END_TURN
        if self._index == 0:
            self._write("", events, is_last=True)  # an answer has at least one block
        self._close(events)
        usage = Usage(input_tokens=self._prompt_tokens, output_tokens=self._output_tokens)
        return [
            *events,
            MessageStop(stop_reason=self._stop_reason, stop_sequence=self._matcher.matched),
            Metadata(usage=usage, latency_ms=latency_ms, chip_us=chip_us),
        ]

    def _begin(self) -> list[Event]:
        if self._has_begun:
            return []
        self._has_begun = True
        events: list[Event] = [MessageStart(usage=Usage(input_tokens=self._prompt_tokens))]
        if self._reader is None:
            self._open_block(BlockStart(index=0), events)
        elif self._constraint is not None and self._constraint.opening:
            self._read(self._constraint.opening, events)
        return events

    # --- calls ----------------------------------------------------------------------------------

    def _read(self, text: str, events: list[Event]) -> None:
        assert self._reader is not None, "only an answer that may hold calls is read"
        for found in self._reader.feed(text):
            match found:
                case Said(text=said):
                    self._say(said, events)
                    if self.is_complete:
                        return
                case Began(name=name):
                    self._write(self._matcher.close(), events)
                    self._close(events)
                    self._space = ""
                    self._name, self._written, self._is_held = name, "", True
                case Wrote(json=json):
                    self._written += json
                    self._release(events)
                case Ended():
                    self._end_call(events)
                    if self.is_complete:
                        return

    def _release(self, events: list[Event]) -> None:
        """Tell of the call as it comes, unless it may become one that was made already."""
        call = (self._name, self._written)
        if self._is_held:
            if any(name == call[0] and text.startswith(call[1]) for name, text in self._made):
                return
            self._is_held = False
            # The id names the request, so it is unique; OpenAI's are 40 characters at most.
            id = f"call_{self._call_id}{len(self._made)}"
            start = BlockStart(
                index=self._index, kind=BlockKind.TOOL_USE, tool_use_id=id, name=self._name
            )
            self._open_block(start, events)
            self._told_of = 0
        if more := self._written[self._told_of :]:
            events.append(ToolInputDelta(index=self._index - 1, json=more))
            self._told_of = len(self._written)

    def _end_call(self, events: list[Event]) -> None:
        self._close(events)
        self._probabilities.clear()
        is_one = self._constraint is not None and self._constraint.is_one_call
        # A small model that repeats a call would do so until its limit.
        if is_one or self._is_held:
            self._stop_reason = StopReason.TOOL_USE
        self._made.append((self._name, self._written))

    # --- text -----------------------------------------------------------------------------------

    def _say(self, said: str, events: list[Event]) -> None:
        text = self._matcher.feed(said)
        self._write(text, events, is_last=self._matcher.matched is not None)
        if self._matcher.matched is not None:
            self._stop_reason = StopReason.STOP_SEQUENCE

    def _flush(self, events: list[Event]) -> None:
        """What was held back, in case it was something else than text."""
        if self._reader is not None and (rest := self._reader.close()):
            self._write(self._matcher.feed(rest), events)
        if self._open is not BlockKind.TOOL_USE:
            text = "" if self._matcher.matched is not None else self._matcher.close()
            self._write(text, events, is_last=not self._made)

    def _write(self, text: str, events: list[Event], *, is_last: bool = False) -> None:
        """Text into its block; white space that a call may follow waits for what follows it."""
        if self._reader is not None:
            text, self._space = self._space + text, ""
            if not is_last:
                bare = (
                    text.rstrip()
                    if self._open is BlockKind.TEXT
                    else text.strip() and text.rstrip()
                )
                text, self._space = bare, text[len(bare) :]
            if not text and not (is_last and self._index == 0):
                return
            if self._open is None:
                self._open_block(BlockStart(index=self._index), events)
        if text:
            told = self._probabilities or None
            self._probabilities = []
            events.append(TextDelta(index=self._index - 1, text=text, logprobs=told))

    def _told(self, found: Probability) -> dict[str, Any]:
        """A token's probability in OpenAI's words, which are the conversation model's too."""
        alternatives = found.top_logprobs[: self._logprobs]
        return {
            "token": found.token,
            "logprob": found.logprob,
            "bytes": found.bytes,
            "top_logprobs": [
                {"token": each.token, "logprob": each.logprob, "bytes": each.bytes}
                for each in alternatives
            ],
        }

    # --- blocks ---------------------------------------------------------------------------------

    def _open_block(self, start: BlockStart, events: list[Event]) -> None:
        self._open = start.kind
        self._index += 1
        events.append(start)

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            self._open = None
            events.append(BlockStop(index=self._index - 1))
