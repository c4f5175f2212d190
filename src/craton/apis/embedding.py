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
from craton.models.card import Modality
from craton.models.engine import Embeds, Stop
from craton.models.router import LISTED_MAX, Router

TEXTS_CUT = b"x-craton-texts-cut"
"""Says how many texts lost their end, being longer than the model takes."""


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
            others = [
                card.id
                for card in self._router.cards()
                if Modality.EMBEDDING in card.output_modalities
            ]
            raise Unsupported(
                f"The model {route.card.id} gives no embeddings. These do: "
                f"{', '.join(others[:LISTED_MAX]) or 'none yet'}."
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
        self.whole: Embeddings | None = None
        """The vectors, once there is one for each text."""

    async def answer(self, request: Request, *, request_id: str, stop: Stop) -> Answer:
        """Embed, and say what was used."""
        del request
        asked = self.request
        started_ns = self._clock.monotonic_ns()
        done = await self._engine.embed(
            asked.texts, request_id=request_id, stop=stop, may_cut=asked.may_cut
        )
        latency_ms = (self._clock.monotonic_ns() - started_ns) // 1_000_000
        if len(done.vectors) == len(asked.texts):
            self.whole = Embeddings(
                vectors=shaped(done.vectors, asked),
                input_tokens=done.input_tokens,
                latency_ms=latency_ms,
                texts_cut=done.texts_cut,
            )
        elif not stop.requested:  # else the client left, and pays for what was done until then
            raise EngineFailed(
                f"The engine of {asked.model} gave {len(done.vectors)} vectors for "
                f"{len(asked.texts)} texts, so nothing was billed. Try again."
            )
        return Answer(
            start=MessageStart(),
            content=[],
            stop=MessageStop(stop_reason=StopReason.END_TURN),
            metadata=Metadata(
                usage=Usage(input_tokens=done.input_tokens),
                latency_ms=latency_ms,
                chip_us=done.chip_us,
            ),
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
        made, asked = self._engine.whole, self._engine.request
        # Who asked may be gone, and some vectors never made: nobody reads this.
        return b"" if made is None else self._wire.embeddings(made, asked, stamp)

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of the answer; one says how many texts were cut, as no wire's body can."""
        made = self._engine.whole
        if made is None:
            return []
        headers = self._wire.answer_headers(request_id)
        if made.texts_cut:
            headers.append((TEXTS_CUT, b"%d" % made.texts_cut))
        return headers

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the wire's own words."""
        return self._wire.error(error, request_id)

    def stream_writer(self, request: Request, stamp: Stamp) -> NoReturn:
        """Vectors come whole."""
        raise AssertionError(f"a stream of vectors was asked for: {request.model}, {stamp}")

    def stream_headers(self, request_id: str) -> NoReturn:
        """Vectors come whole."""
        raise AssertionError(f"a stream of vectors was asked for: {request_id}")
