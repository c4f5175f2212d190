"""One turn of an embedding model, the same for every protocol.

    resolve → hold → embed → post → commit → answer

It is a turn like any other: `inference` reserves, posts and answers. What differs is that the
engine embeds instead of generating, and that the wire writes vectors.
"""

import dataclasses
from typing import NoReturn, Protocol

from craton.apis.exchange import Exchange, Wire
from craton.apis.inference import Inference
from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings, shaped
from craton.http import Reply
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest, CratonError, EngineFailed, Unsupported
from craton.messages import Answer, MessageStart, MessageStop, Metadata, Request, StopReason, Usage
from craton.models.engine import Embeds, Stop
from craton.models.router import Router


class EmbeddingWire(Wire, Protocol):
    """A wire that can carry vectors."""

    def embeddings(self, embeddings: Embeddings, request: EmbeddingRequest, stamp: Stamp) -> bytes:
        """The body of the answer."""
        ...

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of the answer; asked for after the body."""
        ...


class Embedding:
    """Runs embedding turns; the router, the turn they share and the clock come in as arguments."""

    def __init__(self, *, router: Router, inference: Inference, clock: Clock) -> None:
        self._router = router
        self._inference = inference
        self._clock = clock

    async def run(self, exchange: Exchange, wire: EmbeddingWire, request: EmbeddingRequest) -> None:
        """Answer one request for vectors.

        Unsupported if the model's engine can't embed; BadRequest if there is no text, or the model
        gives fewer dimensions than are asked for.
        """
        route = self._router.route(request.model)
        exchange.model, exchange.operation = route.card.id, "embeddings"
        if not isinstance(route.engine, Embeds):
            raise Unsupported(
                f"The model {route.card.id} gives no embeddings. `craton models` lists the models."
            )
        if not request.texts:
            raise BadRequest("There is no text to embed. Send at least one.")
        engine = _Embedder(route.engine, request, self._clock)
        # No output is generated, and no request can hold less of it than one token.
        asked = Request(model=request.model, messages=[], max_tokens=1)
        await self._inference.run(
            exchange,
            _VectorWire(wire, engine),
            asked,
            route=dataclasses.replace(route, answers=engine),
        )


class _Embedder:
    """The engine as the turn asks it: an answer that tells what was used, the vectors beside it."""

    def __init__(self, engine: Embeds, request: EmbeddingRequest, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self.request = request
        self.made: Embeddings | None = None

    async def answer(self, request: Request, *, request_id: str, stop: Stop) -> Answer:
        """Embed, and say what was used."""
        del request, request_id, stop
        texts = self.request.texts
        started_ns = self._clock.monotonic_ns()
        vectors, tokens = await self._engine.embed(texts)
        latency_ms = (self._clock.monotonic_ns() - started_ns) // 1_000_000
        if len(vectors) != len(texts):
            raise EngineFailed(
                f"The engine of {self.request.model} gave {len(vectors)} vectors for "
                f"{len(texts)} texts, so nothing was billed. Try again."
            )
        self.made = Embeddings(
            vectors=shaped(vectors, self.request), input_tokens=tokens, latency_ms=latency_ms
        )
        return Answer(
            start=MessageStart(),
            content=[],
            stop=MessageStop(stop_reason=StopReason.END_TURN),
            metadata=Metadata(usage=Usage(input_tokens=tokens), latency_ms=latency_ms),
        )


class _VectorWire:
    """The wire as the turn writes to it."""

    def __init__(self, wire: EmbeddingWire, engine: _Embedder) -> None:
        self.name = wire.name
        self._wire = wire
        self._engine = engine

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body that tells the vectors."""
        del answer, request
        assert self._engine.made is not None, "an answer was written before it was there"
        return self._wire.embeddings(self._engine.made, self._engine.request, stamp)

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of the answer."""
        return self._wire.answer_headers(request_id)

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the wire's own words."""
        return self._wire.error(error, request_id)

    def stream_writer(self, request: Request, stamp: Stamp) -> NoReturn:
        """Vectors come whole."""
        raise AssertionError(f"a stream of vectors was asked for: {request.model}, {stamp}")

    def stream_headers(self, request_id: str) -> NoReturn:
        """Vectors come whole."""
        raise AssertionError(f"a stream of vectors was asked for: {request_id}")
