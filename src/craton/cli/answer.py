"""One question to a model, over the OpenAI wire, as any client would ask it."""

import http.client
from collections.abc import Callable, Iterator, Sequence

import msgspec

from craton.cli.connection import Connection, segment, wire_refusal
from craton.cli.output import price
from craton.dialects.sse import FrameParser
from craton.economics.contract import UsageLine
from craton.kernel.clock import Clock
from craton.kernel.errors import EngineFailed, EngineNotReady, NotFound

READ_BYTES = 64 * 1024


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation, in OpenAI's words."""

    role: str
    content: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer with what it took. `seconds` is from question to last frame."""

    answer: str
    model: str
    request_id: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    cost_nanos: int
    currency: str
    seconds: float
    first_seconds: float

    def line(self) -> str:
        """Tokens, time and cost in one line."""
        rate = self.output_tokens / self.seconds if self.seconds else 0
        return (
            f"{self.model}: {self.input_tokens} tokens in, {self.output_tokens} out, "
            f"{self.seconds:.2f} s ({rate:.0f} tokens/s, first after {self.first_seconds:.2f} s), "
            f"{price(self.cost_nanos, self.currency)}"
        )


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Error(msgspec.Struct):
    message: str


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | None = None


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What a Craton says that takes requests."""

    model: str | None
    """The model that answers when none is named."""
    missing: dict[str, str] = {}
    """Models that came along and can't be run, with the reasons."""


def default_model(connection: Connection) -> str:
    """The model that answers when none is named; EngineNotReady says why it doesn't yet.

    NotFound where none will.
    """
    ready = readiness(connection)
    if ready.model is None:
        reasons = "".join(f" {model}: {reason}" for model, reason in ready.missing.items())
        raise NotFound(
            "This Craton has no model that answers when none is named. Name one with --model; "
            f"`craton models` lists them, `craton models add` adds one.{reasons}"
        )
    return ready.model


def readiness(connection: Connection) -> Readiness:
    """What answers; EngineNotReady says why nothing does yet."""
    with connection.open("GET", "/readyz") as answer:
        content = answer.read()
        if answer.status != 200:
            refusal = wire_refusal(answer.status, content)
            raise EngineNotReady(f"Craton is not ready: {refusal.message}")
    return msgspec.json.decode(content, type=Readiness)


def ask(
    connection: Connection,
    turns: Sequence[Turn],
    *,
    model: str,
    max_tokens: int | None,
    temperature: float | None = None,
    write: Callable[[str], None],
    clock: Clock,
) -> Answer:
    """Stream one answer, handing each piece to `write`; its cost comes from the ledger."""
    body: dict[str, object] = {
        "model": model,
        "messages": turns,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if max_tokens is not None:
        body["max_completion_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    started_ns, first_ns = clock.monotonic_ns(), 0
    text: list[str] = []
    finish_reason, usage = "", None
    with connection.open("POST", "/v1/chat/completions", msgspec.json.encode(body)) as answer:
        if answer.status != 200:
            raise wire_refusal(answer.status, answer.read())
        request_id = answer.getheader("x-request-id") or ""
        for chunk in _chunks(answer):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                finish_reason = choice.finish_reason or finish_reason
                if choice.delta.content:
                    first_ns = first_ns or clock.monotonic_ns()
                    text.append(choice.delta.content)
                    write(choice.delta.content)
    ended_ns = clock.monotonic_ns()
    if usage is None:
        raise EngineFailed("The answer ended without its usage, so it is not whole. Ask again.")
    record = connection.get("/usage/" + segment(request_id), UsageLine)
    return Answer(
        answer="".join(text),
        model=record.resource,
        request_id=request_id,
        finish_reason=finish_reason,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cost_nanos=record.amount_nanos,
        currency=record.currency,
        seconds=(ended_ns - started_ns) / 1e9,
        first_seconds=((first_ns or ended_ns) - started_ns) / 1e9,
    )


def _chunks(answer: http.client.HTTPResponse) -> Iterator[_Chunk]:
    frames = FrameParser()
    while data := answer.read1(READ_BYTES):
        for _, frame in frames.feed(data):
            if frame == b"[DONE]":
                return
            chunk = msgspec.json.decode(frame, type=_Chunk)
            if chunk.error is not None:
                raise EngineFailed(chunk.error.message)
            yield chunk
    raise EngineFailed(
        "The answer broke off before its end, so it was not acknowledged. Ask again."
    )
