"""The echo engine: deterministic, for tests and benchmarks; never a fallback for anything.

It answers with the text of the last user turn, a word at a time. A token is a word with the space
before it, so every count can be checked by eye: the prompt's tokens are the words of all its text.
A text's vector is made of its hash: the same text has the same one, any two are unlike.
"""

import hashlib
import re
from collections.abc import AsyncIterator

from craton.dialects.embedding import unit
from craton.kernel.clock import Clock
from craton.kernel.errors import ContextOverflow, Unsupported
from craton.messages import (
    BlockStart,
    BlockStop,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    TextDelta,
    Usage,
)
from craton.models.engine import Embedded, Stop

DIMENSIONS = 384
"""Of the vectors."""

_WORDS = re.compile(r"\s*\S+\s*$|\s*\S+")


class EchoEngine:
    """Answers with what was asked."""

    def __init__(self, clock: Clock, *, context_tokens: int, output_tokens_default: int) -> None:
        self._clock = clock
        self._context_tokens = context_tokens
        self._output_tokens_default = output_tokens_default

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncIterator[Event]:
        """Yield the last user turn's words as text deltas."""
        del request_id
        started_ns = self._clock.monotonic_ns()
        prompt_tokens = self._prompt_tokens(request)
        text = _last_user_text(request)
        # In a text of blanks alone the expression would look ahead from each of them to the end.
        words = [] if text.isspace() else _WORDS.findall(text)
        limit = request.max_tokens or self._output_tokens_default
        yield MessageStart(usage=Usage(input_tokens=prompt_tokens))
        yield BlockStart(index=0)
        longest = max(map(len, request.stop_sequences), default=0)
        tail = ""  # the end of what was said, in which a stop sequence may have begun
        count = 0
        reason, sequence = StopReason.END_TURN, None
        for word in words:
            if stop.requested:
                break
            if count == limit:
                reason = StopReason.MAX_TOKENS
                break
            count += 1
            said = tail + word
            sequence = _first_stop(said, request.stop_sequences)
            if sequence is not None:
                rest = said[len(tail) : said.index(sequence)]
                if rest:
                    yield TextDelta(index=0, text=rest)
                reason = StopReason.STOP_SEQUENCE
                break
            tail = said[1 - longest :] if longest > 1 else ""
            yield TextDelta(index=0, text=word)
        yield BlockStop(index=0)
        yield MessageStop(stop_reason=reason, stop_sequence=sequence)
        elapsed_us = (self._clock.monotonic_ns() - started_ns) // 1000
        yield Metadata(
            usage=Usage(input_tokens=prompt_tokens, output_tokens=count),
            latency_ms=elapsed_us // 1000,
            chip_us=elapsed_us,
        )

    async def count(self, request: Request) -> int:
        """The words of all the prompt's text."""
        return self._prompt_tokens(request)

    async def embed(
        self,
        texts: list[str],
        *,
        request_id: str,  # noqa: ARG002 - the seam's signature
        stop: Stop,  # noqa: ARG002 - it is done before anyone could ask
        may_cut: bool,  # noqa: ARG002 - nothing is cut: its texts may be long
    ) -> Embedded:
        """A unit vector for each text, made of its hash, and the words of all of them."""
        for text in texts:
            words = len(text.split())
            if words > self._context_tokens:
                raise ContextOverflow(
                    f"A text has {words} tokens; the echo engine takes {self._context_tokens}."
                )
        return Embedded(
            vectors=[_vector(text) for text in texts],
            input_tokens=sum(len(text.split()) for text in texts),
        )

    async def close(self) -> None:
        """Nothing is held."""

    def _prompt_tokens(self, request: Request) -> int:
        if request.tools:
            raise Unsupported("The echo engine can't serve tools. Leave `tools` out.")
        if request.output_format is not None:
            raise Unsupported("The echo engine can't serve an output format. Leave it out.")
        total = 0
        for part in [*request.system, *(b for m in request.messages for b in m.content)]:
            if not isinstance(part, Text):
                kind = str(type(part).__struct_config__.tag)
                raise Unsupported(
                    f"The echo engine reads text only; the request has a {kind} block."
                )
            total += len(part.text.split())
        if total > self._context_tokens:
            raise ContextOverflow(
                f"The prompt has {total} tokens; the echo engine takes {self._context_tokens}."
            )
        return total


def _vector(text: str) -> list[float]:
    digest = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * DIMENSIONS)
    halves = zip(digest[::2], digest[1::2], strict=True)
    return unit([(256 * high + low) / 65535 - 0.5 for high, low in halves])


def _last_user_text(request: Request) -> str:
    for message in reversed(request.messages):
        if message.role is Role.USER:
            return "".join(block.text for block in message.content if isinstance(block, Text))
    return ""


def _first_stop(text: str, sequences: list[str]) -> str | None:
    found = [(text.index(sequence), sequence) for sequence in sequences if sequence in text]
    return min(found)[1] if found else None
