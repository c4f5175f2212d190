"""One turn of a model, the same for every protocol.

    resolve → hold → generate → write frames → post → commit → last frame

The order of the last three is the promise everything rests on: what tells a client that its answer
is complete leaves only after what the answer cost is durable. If the post fails, an error goes
instead, and nothing is billed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import msgspec

from craton.access.records import Principal
from craton.apis.exchange import ChoicesWire, Exchange, InferenceWire, Told
from craton.dialects.dialect import ChoicesWriter, Stamp, StreamWriter
from craton.economics.bounds import Bounded
from craton.economics.contract import Held, Hold, Posted, Void
from craton.economics.meters import PROMPT_TOKENS, Meter, Outcome, UsageRecord
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError, EngineFailed, EngineTimeout, Unsupported
from craton.kernel.log import Log
from craton.messages import (
    ChoiceEvent,
    Choices,
    Event,
    Fold,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
)
from craton.models.card import EchoSource, EmbeddedSource, ModelCard
from craton.models.choices import generate_choices
from craton.models.engine import Counts, Stop
from craton.models.router import Route, Router
from craton.store.body import packed, unpacker
from craton.store.client import StateClient
from craton.store.contract import UNANSWERED

GENERATION_TIMEOUT_S = 600
SWEEP_S = 1
POST_TIMEOUT_S = 30
ADMIT_TIMEOUT_S = 10
TELL_S = 0.005

# As plain strings, once: Python 3.11 looks members of an enumeration up and hashes them slowly.
_INPUT_TOKENS, _OUTPUT_TOKENS = Meter.INPUT_TOKENS.value, Meter.OUTPUT_TOKENS.value
_COMPLETE, _CLIENT_GONE = Outcome.COMPLETE, Outcome.CLIENT_GONE


class _Turn(msgspec.Struct):
    exchange: Exchange
    wire: InferenceWire
    request: Request
    """As the caller wrote it."""
    asked: Request
    """As the engine gets it: it always says how many tokens may be generated at most."""
    route: Route
    stamp: Stamp
    stop: Stop
    task: asyncio.Task[Any]
    deadline_ns: int
    hold: Hold | None = None
    """The hold once it is taken, to be said again to a new state process."""
    told_with: list[Hold] | None = None
    """The holds that the state process hears of together with this one."""
    writer: StreamWriter | ChoicesWriter | None = None
    is_overdue: bool = False
    is_posting: bool = False
    """What was generated will be posted, however late."""


class Inference:
    """Runs turns; the state process, the router and the clock come in as arguments."""

    def __init__(
        self,
        *,
        router: Router,
        state: StateClient,
        clock: Clock,
        log: Log,
        bounded: Bounded | None = None,
    ) -> None:
        self._bounded = bounded or Bounded()
        self._router = router
        self._state = state
        self._clock = clock
        self._log = log
        self._encode = packed
        self._posted = unpacker(Posted)
        self._held = unpacker(Held)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: dict[str, _Turn] = {}
        self._is_sweeping = False
        self._untold: list[Hold] = []
        state.before_calls = self._reassert

    def _reassert(self) -> list[tuple[str, bytes]]:
        """Open holds, to be taken again from a state process that knows nothing of them."""
        encode, turns = self._encode, self._turns.values()
        return [("hold", encode(turn.hold)) for turn in turns if turn.hold is not None]

    async def run(
        self,
        exchange: Exchange,
        wire: InferenceWire,
        request: Request,
        *,
        route: Route | None = None,
    ) -> None:
        """Answer one request to a model; `route` is where it goes, if the caller has found out."""
        if route is None:
            route = self._router.route(request.model)
        exchange.model, exchange.asked = route.card.id, request
        principal = exchange.principal
        assert principal is not None, "a turn began before its caller was known"
        exchange.allowed.use_model(route.card.id, request)
        now_ms = self._clock.now_ns() // 1_000_000
        stamp = Stamp(exchange.request_id, request.model, now_ms // 1000)
        task = asyncio.current_task(self._loop or self._find_loop())
        assert task is not None, "a turn runs in a task, so that it can be ended"
        deadline_ns = exchange.started_ns + GENERATION_TIMEOUT_S * 1_000_000_000
        asked = _limited(request, route.card)
        if _has_choices(asked):
            _check_wire(wire)
        turn = _Turn(exchange, wire, request, asked, route, stamp, Stop(), task, deadline_ns)
        exchange.responder.on_gone(turn.stop.request)
        try:
            if self._bounded.is_empty or not self._is_bounded(principal, route.card.id):
                self._hold(turn, principal, now_ms)
            else:
                await self._admit(turn, principal)
            if request.stream:
                metadata, last = await self._stream(turn)
            else:
                metadata, last = await self._whole(turn)
            turn.is_posting = True
            await self._settle(turn, principal, metadata, last)
        except asyncio.CancelledError:
            if not turn.is_overdue:
                raise
            task.uncancel()
            self._refuse_overdue(turn)
        finally:
            self._turns.pop(exchange.request_id, None)
            if not turn.is_posting:
                self._void(turn)

    def _find_loop(self) -> asyncio.AbstractEventLoop:
        """The loop, looked for once: in Python 3.11 every look is a system call."""
        self._loop = self._loop or asyncio.get_running_loop()
        return self._loop

    def _sweep(self) -> None:
        """End turns that take too long: one timer for all of them."""
        now_ns = self._clock.monotonic_ns()
        for turn in list(self._turns.values()):
            if now_ns > turn.deadline_ns and not (turn.is_overdue or turn.is_posting):
                turn.is_overdue = True
                turn.task.cancel()
        self._is_sweeping = bool(self._turns)
        if self._turns:
            self._find_loop().call_later(SWEEP_S, self._sweep)

    def _refuse_overdue(self, turn: _Turn) -> NoReturn:
        _fail(
            turn,
            EngineTimeout(
                f"The model {turn.route.card.id} took longer than {GENERATION_TIMEOUT_S} s. "
                "Ask for fewer tokens."
            ),
        )

    def _hold(self, turn: _Turn, principal: Principal, now_ms: int) -> None:
        """Reserve the most the turn can cost, and note that it runs.

        No budget or limit could refuse it, so there is no answer to wait for, and it is told with
        those of other turns.
        """
        card, request_id = turn.route.card, turn.exchange.request_id
        output_tokens = turn.request.max_tokens or card.output_tokens_default
        most: dict[str, int] = {
            # A token is at least a byte of text, so the body's length bounds the prompt's tokens.
            _INPUT_TOKENS: _bytes(turn),
            _OUTPUT_TOKENS: min(output_tokens, card.context_tokens) * (turn.request.choices or 1),
        }
        account, project, key = principal.account, principal.project, principal.key
        hold = turn.hold = Hold(request_id, account, card.id, now_ms, most, project, key)
        self._watch(turn)
        if not self._untold:
            self._find_loop().call_later(TELL_S, self.tell_holds)
        self._untold.append(hold)
        turn.told_with = self._untold

    def tell_holds(self) -> None:
        """Tell the state process of the holds that it hasn't heard of: all of them in one message.

        They are told every `TELL_S`, each before its own post, and before this worker says that it
        knows of a new budget or limit, which must count them.
        """
        if self._untold:
            holds, self._untold = self._untold, []
            self._state.tell("holds", self._encode(holds))

    def _is_bounded(self, principal: Principal, model: str) -> bool:
        return self._bounded.has(principal.account, principal.project, principal.key, model)

    async def _admit(self, turn: _Turn, principal: Principal) -> None:
        """Reserve the most the turn can cost, if that fits every budget and limit.

        The engine may start only when the state process has said so: until then nothing is spent.
        """
        self._watch(turn)
        card, asked = turn.route.card, turn.asked
        # What is held is also what the engine is told, whatever else it would take.
        output_tokens = max(1, min(asked.max_tokens or 1, card.context_tokens))
        if output_tokens != asked.max_tokens:
            turn.asked = msgspec.structs.replace(asked, max_tokens=output_tokens)
        choices = asked.choices or 1
        # Only our own engines are known to cache nothing, which may be priced otherwise.
        if _is_ours(card):
            most = {_INPUT_TOKENS: await _prompt_tokens(turn)}
        else:  # it is asked once for each choice
            most = {PROMPT_TOKENS: await _prompt_tokens(turn) * choices}
        most[_OUTPUT_TOKENS] = output_tokens * choices
        hold = Hold(
            turn.exchange.request_id,
            principal.account,
            card.id,
            self._clock.now_ns() // 1_000_000,
            most,
            principal.project,
            principal.key,
        )
        reply = await self._state.submit(
            "admit", self._encode(hold), timeout_s=ADMIT_TIMEOUT_S, resend=True
        )
        turn.hold = msgspec.structs.replace(hold, at_ms=self._held(reply).at_ms)

    def _watch(self, turn: _Turn) -> None:
        """Note that a turn runs, and see to it that it ends."""
        self._turns[turn.exchange.request_id] = turn
        if not self._is_sweeping:
            self._is_sweeping = True
            self._find_loop().call_later(SWEEP_S, self._sweep)

    async def _whole(self, turn: _Turn) -> tuple[Metadata, bytes]:
        route, request_id = turn.route, turn.exchange.request_id
        if _has_choices(turn.asked):
            return await self._whole_choices(turn)
        if route.answers is not None:
            answer = await route.answers.answer(turn.asked, request_id=request_id, stop=turn.stop)
        else:
            folding = Fold()
            async for event in route.engine.generate(
                turn.asked, request_id=request_id, stop=turn.stop
            ):
                folding.add(event)
            if not folding.is_whole:
                raise _cut_short(turn)
            answer = folding.answer()
        turn.exchange.stop_reason = answer.stop.stop_reason
        return answer.metadata, turn.wire.answer(answer, turn.request, turn.stamp)

    async def _whole_choices(self, turn: _Turn) -> tuple[Metadata, bytes]:
        assert isinstance(turn.wire, ChoicesWire), "the turn began"
        folding: dict[int, Fold] = {}
        metadata: Metadata | None = None
        async for each in _choices(turn):
            if type(each) is ChoiceEvent:
                folding.setdefault(each.choice, Fold()).add(each.event)
            elif type(each) is Metadata:
                metadata = each
        assert metadata is not None, "choices end with what they used"
        answers = [folding[choice].answer() for choice in sorted(folding)]
        return metadata, turn.wire.choices(Choices(answers, metadata), turn.stamp)

    async def _stream(self, turn: _Turn) -> tuple[Metadata, bytes]:
        """Write all frames but those that end the answer; return these."""
        exchange, responder = turn.exchange, turn.exchange.responder
        events, frames_of = _source(turn)
        write, drain = responder.write, responder.drain
        metadata: Metadata | None = None
        last = b""
        try:
            async for event in events:
                if type(event) is Metadata:
                    metadata, last = event, frames_of(event)
                    continue
                if type(event) is MessageStop:
                    exchange.stop_reason = event.stop_reason
                frames = frames_of(event)
                if not frames:
                    continue
                if not exchange.status:
                    exchange.status = 200
                    responder.start(200, _stream_headers(turn))
                if not exchange.first_ns and not _is_start(event):
                    exchange.first_ns = self._clock.monotonic_ns()
                write(frames)
                await drain()
            if metadata is None:
                raise _cut_short(turn)
        except CratonError as error:
            _fail(turn, error)
        return metadata, last

    async def _settle(
        self, turn: _Turn, principal: Principal, metadata: Metadata, last: bytes
    ) -> None:
        if turn.told_with is self._untold:
            self.tell_holds()
        exchange, responder = turn.exchange, turn.exchange.responder
        usage = metadata.usage
        exchange.input_tokens, exchange.output_tokens = usage.prompt_tokens, usage.output_tokens
        gone = responder.is_gone
        record = UsageRecord(
            exchange.request_id,
            principal.account,
            principal.project,
            principal.key,
            turn.route.card.id,
            turn.route.replica,
            _CLIENT_GONE if gone else _COMPLETE,
            self._clock.now_ns() // 1_000_000,
            quantities(metadata),
        )
        keep = exchange.keep
        name, body = ("post", self._encode(record)) if keep is None or gone else keep(record)
        try:
            reply = await self._state.submit(name, body, timeout_s=POST_TIMEOUT_S, resend=True)
        except CratonError as error:
            turn.is_posting = error.code == UNANSWERED  # it may yet be posted, and keeps its hold
            _fail(turn, error)
        if turn.request.stream:
            if not responder.is_started:
                responder.start(200, _stream_headers(turn))
            responder.write(last)
            responder.finish()
            exchange.status = 200
        else:
            posted = self._posted(reply)
            headers = turn.wire.answer_headers(exchange.request_id)
            headers.append(turn.route.header)
            headers.append((b"x-craton-cost-nanos", b"%d" % posted.amount))
            exchange.respond((200, headers, last))

    def _void(self, turn: _Turn) -> None:
        """Release the hold of a turn that used nothing. If the state process is gone, so is it."""
        if turn.told_with is self._untold:
            self.tell_holds()
        self._state.tell("void", self._encode(Void(turn.exchange.request_id)))


def _limited(request: Request, card: ModelCard) -> Request:
    """The request, with the card's default where its caller set no limit to the answer."""
    if request.max_tokens is not None:
        return request
    return msgspec.structs.replace(request, max_tokens=card.output_tokens_default)


def _bytes(turn: _Turn) -> int:
    """Of what the prompt is made."""
    return len(turn.exchange.request.body) + turn.exchange.recalled_bytes


def _has_choices(asked: Request) -> bool:
    return asked.choices is not None and asked.choices > 1


def _check_wire(wire: InferenceWire) -> None:
    if not isinstance(wire, ChoicesWire):
        raise Unsupported(
            "Several choices are served by OpenAI's chat completions alone. Ask there, or for one."
        )


def _source(turn: _Turn) -> tuple[AsyncIterator[Any], Callable[[Any], bytes]]:
    """The events of a streamed turn, and what makes frames of them."""
    if _has_choices(turn.asked):
        assert isinstance(turn.wire, ChoicesWire), "the turn began"
        writer = turn.writer = turn.wire.choices_writer(turn.request, turn.stamp)
        return _choices(turn), writer.write
    writer = turn.writer = turn.wire.stream_writer(turn.request, turn.stamp)
    request_id = turn.exchange.request_id
    events = turn.route.engine.generate(turn.asked, request_id=request_id, stop=turn.stop)
    return events, writer.write


def _is_start(event: Event | ChoiceEvent) -> bool:
    return type(event.event if type(event) is ChoiceEvent else event) is MessageStart


async def _choices(turn: _Turn) -> AsyncIterator[ChoiceEvent | Metadata]:
    async for each in generate_choices(
        turn.route.engine,
        turn.asked,
        request_id=turn.exchange.request_id,
        stop=turn.stop,
        is_prompt_once=_is_ours(turn.route.card),
    ):
        if type(each) is ChoiceEvent and type(each.event) is MessageStop:
            turn.exchange.stop_reason = each.event.stop_reason
        yield each


def _is_ours(card: ModelCard) -> bool:
    return isinstance(card.source, EchoSource | EmbeddedSource)


async def _prompt_tokens(turn: _Turn) -> int:
    """Tokens of the prompt where the engine can count them, else as many as it has bytes."""
    engine, asked = turn.route.engine, turn.asked
    if asked.messages and isinstance(engine, Counts):
        return await engine.count(asked)
    return _bytes(turn)


def _stream_headers(turn: _Turn) -> list[tuple[bytes, bytes]]:
    headers = turn.wire.stream_headers(turn.exchange.request_id)
    headers.append(turn.route.header)
    return headers


def _fail(turn: _Turn, error: CratonError) -> NoReturn:
    """Raise an error of a turn; if its stream has begun, end that with the wire's error frame."""
    responder, writer = turn.exchange.responder, turn.writer
    if not responder.is_started:
        raise error
    assert writer is not None, "a stream began without a writer"
    responder.write(writer.write_error(error))
    responder.finish()
    raise Told(error) from error


def _cut_short(turn: _Turn) -> EngineFailed:
    return EngineFailed(
        f"The engine of {turn.route.card.id} ended its answer without saying what it used, "
        "so nothing was billed. Try again."
    )


def quantities(metadata: Metadata) -> dict[str, int]:
    """The meters of one answer; a meter that counted nothing is left out."""
    usage = metadata.usage
    counted: dict[str, int] = {}
    if usage.input_tokens:
        counted[_INPUT_TOKENS] = usage.input_tokens
    if usage.output_tokens:
        counted[_OUTPUT_TOKENS] = usage.output_tokens
    if usage.cache_read_tokens:
        counted[Meter.CACHE_READ_TOKENS] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        counted[Meter.CACHE_WRITE_TOKENS] = usage.cache_write_tokens
    if metadata.chip_us:
        counted[Meter.CHIP_US] = metadata.chip_us
    return counted
