"""A model behind a server elsewhere: vLLM, SGLang, a lab's API, Amazon Bedrock, another Craton.

The request is written in the client's side of a dialect and the answer read back into events, so
a remote model is an engine like any other. Usage is the upstream's own. An upstream tells it only
at the end of its answer; so when the client leaves, the rest is read and dropped for a while
(`DRAIN_S`), and what it says is billed. After that the connection is closed and nothing is known.

A request that the upstream didn't begin to serve is sent again, within a budget (`retry`). A
credential that it refuses is read from its file again, since files are replaced when keys rotate.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from craton.http import (
    ConnectFailed,
    ConnectTimeout,
    Headers,
    HttpClient,
    HttpResponse,
    PoolFull,
    ResponseBroken,
    ResponseTimeout,
    ResponseTooLarge,
    Target,
    Timeouts,
)
from craton.kernel.clock import Clock
from craton.kernel.errors import (
    BadRequest,
    CratonError,
    EngineFailed,
    EngineNotReady,
    EngineTimeout,
    Throttled,
)
from craton.messages import Answer, Event, Metadata, Request, unfold
from craton.models.card import RemoteSource
from craton.models.engine import Onward, Stop
from craton.models.engines.upstream.credential import Credential, read_credential
from craton.models.engines.upstream.retry import ATTEMPTS_MAX, LATER, RetryBudget, Sleep
from craton.models.engines.upstream.wires import CountingWire, UpstreamWire, open_wire

ANSWER_BYTES_MAX = 64 * 1024 * 1024
TIMEOUTS = Timeouts()
DRAIN_S = 30
_REFUSED_CREDENTIAL = frozenset({401, 403})
_NO_CONNECTION = 0
AGAIN = LATER | {_NO_CONNECTION}
_NO_HEADERS = Headers()
_HTTP_FAILURES = (
    *(ConnectFailed, ConnectTimeout, PoolFull),
    *(ResponseBroken, ResponseTimeout, ResponseTooLarge),
)


class RemoteEngine:
    """Asks one upstream, in the protocol that its source names."""

    def __init__(
        self,
        source: RemoteSource,
        *,
        name: str,
        output_tokens_default: int,
        clock: Clock,
        random_source: random.Random,
        sleep: Sleep = asyncio.sleep,
        onward: Onward | None = None,
    ) -> None:
        self._name = name
        self._source = source
        self._output_tokens_default = output_tokens_default
        self._clock = clock
        self._sleep = sleep
        self._onward = onward
        self._client = HttpClient(clock=clock)
        self._budget = RetryBudget(random_source)
        self._credential = self._read_credential()
        self._wire: UpstreamWire = open_wire(source, self._credential)

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncIterator[Event]:
        """Yield the upstream's answer as events."""
        if not request.stream:
            for event in unfold(await self.answer(request, request_id=request_id, stop=stop)):
                yield event
            return
        started_ns = self._clock.monotonic_ns()
        try:
            response = await self._ask(request, request_id, stop)
        except _HTTP_FAILURES as error:
            raise self._told(error) from error
        reader = self._wire.codec.stream_reader()
        feed = reader.feed
        try:
            async for piece in response:
                for event in feed(piece):
                    yield event if type(event) is not Metadata else self._timed(event, started_ns)
            for event in reader.close():
                yield event if type(event) is not Metadata else self._timed(event, started_ns)
        except ResponseBroken as error:
            if stop.requested:
                return
            raise self._told(error) from error
        except ResponseTimeout as error:
            raise self._told(error) from error
        finally:
            response.close()

    async def answer(self, request: Request, *, request_id: str, stop: Stop) -> Answer:
        """The upstream's whole answer."""
        started_ns = self._clock.monotonic_ns()
        try:
            response = await self._ask(request, request_id, stop)
            body = await response.read(ANSWER_BYTES_MAX)
        except _HTTP_FAILURES as error:
            raise self._told(error) from error
        answer = self._wire.codec.read_answer(body)
        metadata = self._timed(answer.metadata, started_ns)
        return Answer(
            start=answer.start, content=answer.content, stop=answer.stop, metadata=metadata
        )

    async def close(self) -> None:
        """Close the connections to the upstream."""
        self._client.close()

    def _for_upstream(self, request: Request) -> Request:
        """The request under the upstream's name, bounded by the card where the caller set none."""
        return msgspec.structs.replace(
            request,
            model=self._source.model,
            stream_usage=True,
            max_tokens=request.max_tokens or self._output_tokens_default,
        )

    async def _ask(self, request: Request, request_id: str, stop: Stop) -> HttpResponse:
        """Send the request; an answer that isn't 200 is raised as the error it tells."""
        asked = self._for_upstream(request)
        body = self._wire.codec.write_request(asked)
        self._budget.earn()
        attempt, may_reread = 1, self._credential is not None
        while True:
            target = self._wire.target(self._client, asked, body)
            if self._onward is not None:
                target = target.with_headers(self._onward(request_id))
            try:
                response = await self._send(target, body)
            except (ConnectFailed, ConnectTimeout) as error:
                refusal = _Refusal(_NO_CONNECTION, _NO_HEADERS, error)
            else:
                if response.status == 200:
                    _drain_when_left(response, stop)
                    return response
                refusal = await self._refusal(response)
            if may_reread and refusal.status in _REFUSED_CREDENTIAL:
                may_reread = False
                if self._has_new_credential():
                    continue
            wait_s = self._wait_s(attempt, refusal, stop)
            if wait_s is None:
                raise refusal.error
            attempt += 1
            await self._sleep(wait_s)

    async def _refusal(self, response: HttpResponse) -> "_Refusal":
        body = await response.read(ANSWER_BYTES_MAX)
        error = self._wire.read_error(response.status, response.headers, body)
        return _Refusal(response.status, response.headers, self._own(error))

    async def _send(self, target: Target, body: bytes) -> HttpResponse:
        return await self._client.send(target, body, timeouts=TIMEOUTS)

    def _wait_s(self, attempt: int, refusal: "_Refusal", stop: Stop) -> float | None:
        """Seconds until a request is sent again; None where it isn't."""
        if stop.requested or attempt >= ATTEMPTS_MAX or refusal.status not in AGAIN:
            return None
        wait_s = self._budget.wait_s(attempt, refusal.headers)
        return wait_s if wait_s is not None and self._budget.spend() else None

    def _read_credential(self) -> Credential | None:
        path = self._source.credential_file
        return None if path is None else read_credential(path, self._name)

    def _has_new_credential(self) -> bool:
        """Whether the file holds another credential by now; then the wire has it."""
        credential = self._read_credential()
        if credential == self._credential:
            return False
        self._credential = credential
        self._wire = open_wire(self._source, credential)
        return True

    def _timed(self, metadata: Metadata, started_ns: int) -> Metadata:
        """The upstream doesn't say how long it took; this end knows."""
        elapsed_ms = (self._clock.monotonic_ns() - started_ns) // 1_000_000
        return msgspec.structs.replace(metadata, latency_ms=elapsed_ms)

    def _told(self, error: CratonError) -> CratonError:
        """What a failure of HTTP is to our caller."""
        name = self._name
        if isinstance(error, ConnectFailed | ConnectTimeout):
            return EngineNotReady(
                f"The server behind {name} can't be reached: {error.message} Try again later."
            )
        if isinstance(error, PoolFull):
            return Throttled(
                f"Too many requests wait for the server behind {name}. Try again later."
            )
        if isinstance(error, ResponseTimeout):
            return EngineTimeout(f"The server behind {name} took too long. Try again later.")
        return EngineFailed(
            f"The server behind {name} broke off its answer, so nothing was billed. Try again."
        )

    def _own(self, error: CratonError) -> CratonError:
        """What an upstream's refusal is to our caller: their key and budget are not the matter."""
        if isinstance(error, BadRequest | Throttled | EngineTimeout | EngineNotReady):
            return error
        return EngineFailed(f"The server behind {self._name} refused: {error.message}")


class CountingRemoteEngine(RemoteEngine):
    """An upstream whose protocol counts tokens, too: Anthropic's and Bedrock's."""

    async def count(self, request: Request) -> int:
        """Prompt tokens as the upstream counts them."""
        wire = self._wire
        assert isinstance(wire, CountingWire), "an engine that counts has a wire that can"
        target, body = wire.count_target(self._client, self._for_upstream(request))
        try:
            response = await self._send(target, body)
            counted = await response.read(ANSWER_BYTES_MAX)
        except _HTTP_FAILURES as error:
            raise self._told(error) from error
        if response.status != 200:
            raise self._own(self._wire.read_error(response.status, response.headers, counted))
        try:
            return wire.read_count(counted)
        except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
            raise EngineFailed(f"The server behind {self._name} didn't say a count.") from error


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    headers: Headers
    error: CratonError


def _drain_when_left(response: HttpResponse, stop: Stop) -> None:
    def close_later() -> None:
        asyncio.get_running_loop().call_later(DRAIN_S, response.close)

    if not response.is_whole:
        stop.on_request(close_later)
