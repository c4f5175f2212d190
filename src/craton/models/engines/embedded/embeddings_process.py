"""The process that embeds: `python -m craton.models.engines.embedded.embeddings_process --name …`.

It maps a sentence encoder's weights, listens on a Unix socket and serves every gateway worker that
connects. It may be killed at any moment. When its standard input ends, its supervisor is gone and
it exits. When nobody needs it for long, it gives way to `asleep`, which wakes it again. On standard
error it writes structured log lines, with ids and never a text.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from craton.kernel.channel import Channel
from craton.kernel.clock import Clock
from craton.kernel.log import Log
from craton.models.engine import Stop
from craton.models.engines.embedded.asleep import fall_asleep
from craton.models.engines.embedded.embeddings_batches import Batches
from craton.models.engines.embedded.embeddings_contract import (
    CONTRACT,
    Embed,
    Ready,
    ToEngine,
    Vectors,
)
from craton.models.engines.embedded.embeddings_encoder import VOCABULARY_FILE, Encoder
from craton.models.engines.embedded.embeddings_specification import (
    MODULE,
    EmbeddingSpecification,
    parse,
)
from craton.models.engines.embedded.embeddings_wordpiece import WordPiece, read_vocabulary
from craton.models.engines.embedded.idleness import Idleness
from craton.models.engines.embedded.serving import Server, ending, listening, run

RESTS = 64
"""What `serve` gives where nobody needs the process for now; no exit status of it ever."""


class EmbeddingServer:
    """Serves one model to every worker that connects."""

    def __init__(
        self, batches: Batches, ready: Ready, log: Log, *, idleness: Idleness | None = None
    ) -> None:
        self._batches = batches
        self._log = log
        self._server = Server[ToEngine, Embed](
            ToEngine, ready, log, self._answer, idleness=idleness
        )

    def channel(self) -> Channel[ToEngine]:
        """A protocol for one more connection."""
        return self._server.channel()

    def close(self) -> None:
        """Let nobody in any more."""
        self._server.close()

    async def _answer(self, channel: Channel[ToEngine], asked: Embed, stop: Stop) -> None:
        made = await self._batches.embed(
            asked.texts, request_id=asked.request_id, stop=stop, may_cut=asked.may_cut
        )
        self._log.info(
            "engine.embedded",
            request_id=asked.request_id,
            texts=len(made.vectors),
            tokens=made.tokens,
            texts_cut=made.texts_cut,
            chip_us=made.chip_us,
            stopped=stop.requested,
        )
        channel.send(Vectors(asked.request_id, *made))


async def serve(specification: EmbeddingSpecification, clock: Clock, log: Log) -> int:
    """Load the model; serve until the supervisor is gone or asks to end: 0, or RESTS."""
    ended = await ending()
    begun_ns = clock.monotonic_ns()
    log.info("engine.loading", model=specification.model.name)
    folder = specification.model.parent
    encoder = Encoder(folder)
    words = WordPiece(read_vocabulary(folder / VOCABULARY_FILE))
    limit = min(specification.context_tokens, encoder.config.max_position_embeddings)
    ready = Ready(
        contract=CONTRACT,
        name=specification.name,
        context_tokens=limit,
        dimensions=encoder.config.hidden_size,
        load_ms=(clock.monotonic_ns() - begun_ns) // 1_000_000,
    )
    with ThreadPoolExecutor(specification.threads) as executor:
        batches = Batches(
            lambda texts: [vector.tobytes() for vector in encoder.encode(texts)],
            lambda text: words.tokens(text, tokens_max=limit),
            executor=executor,
            threads=specification.threads,
            texts_max=specification.texts_max,
            clock=clock,
        )
        idleness = Idleness(clock, seconds=specification.idle_seconds)
        server = EmbeddingServer(batches, ready, log, idleness=idleness)
        async with listening(server.channel, specification.socket):
            log.info("engine.ready", load_ms=ready.load_ms, context_tokens=limit)
            may_rest = await idleness.is_over(ended)
            server.close()
    log.info("engine.resting" if may_rest else "engine.ended")
    return RESTS if may_rest else 0


def main(words: list[str]) -> int:
    """Run the process; see `run` for the exit status."""
    status = run(words, parse, serve)
    if status == RESTS:
        fall_asleep(MODULE, words)
    return status


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # A batch under way isn't waited for: whoever wanted it is gone.
    os._exit(status)
