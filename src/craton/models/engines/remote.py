"""A model behind an OpenAI-compatible server: vLLM, SGLang, a lab's API, another Craton.

The request is written in the client's side of the dialect and the answer read back into events, so
a remote model is an engine like any other. Usage is the upstream's own. An upstream tells it only
at the end of its answer; so when the client leaves, the rest is read and dropped for a while
(`DRAIN_S`), and what it says is billed. After that the connection is closed and nothing is known.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from craton.dialects.openai_chat import CLIENT
from craton.http import (
    ConnectFailed,
    ConnectTimeout,
    HttpClient,
    HttpResponse,
    Origin,
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
from craton.models.engine import Stop

ANSWER_BYTES_MAX = 64 * 1024 * 1024
TIMEOUTS = Timeouts()
DRAIN_S = 30
_HTTP_FAILURES = (
    *(ConnectFailed, ConnectTimeout, PoolFull),
    *(ResponseBroken, ResponseTimeout, ResponseTooLarge),
)


class RemoteEngine:
    """Speaks OpenAI chat completions to one upstream."""

    def __init__(self, source: RemoteSource, *, name: str, clock: Clock) -> None:
        self._name = name
        self._source = source
        self._clock = clock
        self._client = HttpClient(clock=clock)
        self._target: Target | None = None
        self._origin = Origin.parse(source.origin)
        self._path = source.path.rstrip("/") + "/chat/completions"
        self._headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),)
        if source.credential_file is not None:
            secret = _read_credential(source.credential_file, name)
            self._headers += ((b"authorization", b"Bearer " + secret),)

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
            response = await self._ask(request, stop)
        except _HTTP_FAILURES as error:
            raise self._told(error) from error
        reader = CLIENT.stream_reader()
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
        del request_id
        started_ns = self._clock.monotonic_ns()
        try:
            response = await self._ask(request, stop)
            body = await response.read(ANSWER_BYTES_MAX)
        except _HTTP_FAILURES as error:
            raise self._told(error) from error
        answer = CLIENT.read_answer(body)
        metadata = self._timed(answer.metadata, started_ns)
        return Answer(
            start=answer.start, content=answer.content, stop=answer.stop, metadata=metadata
        )

    async def close(self) -> None:
        """Close the connections to the upstream."""
        self._client.close()

    async def _ask(self, request: Request, stop: Stop) -> HttpResponse:
        """Send the request; an answer that isn't 200 is raised as the error it tells."""
        asked = msgspec.structs.replace(request, model=self._source.model, stream_usage=True)
        body = CLIENT.write_request(asked)
        target = self._target
        if target is None:
            target = self._client.target("POST", self._origin, self._path, self._headers)
            self._target = target
        response = await self._client.send(target, body, timeouts=TIMEOUTS)
        if response.status != 200:
            refusal = await response.read(ANSWER_BYTES_MAX)
            raise self._own(CLIENT.read_error(response.status, refusal))
        if not response.is_whole:
            stop.on_request(lambda: _drain(response))
        return response

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


def _drain(response: HttpResponse) -> None:
    asyncio.get_running_loop().call_later(DRAIN_S, response.close)


def _read_credential(path: str, name: str) -> bytes:
    try:
        return Path(path).read_bytes().strip()
    except OSError as error:
        raise BadRequest(
            f"The credential file of {name} can't be read: {error.strerror}. Mend the path with "
            "`craton models`."
        ) from None
