"""The gateway's side of a process that embeds: an `Engine` that `Embeds`, over a link."""

from array import array
from collections.abc import AsyncIterator
from pathlib import Path

from craton.kernel.errors import Unsupported
from craton.messages import Event, Request
from craton.models.engine import Embedded, Stop
from craton.models.engines.embedded.embeddings_contract import (
    CONTRACT,
    Embed,
    FromEngine,
    Ready,
    Vectors,
)
from craton.models.engines.embedded.link import Contract, Limits, Line, Missing, found

IDLE_SECONDS = 60.0
"""Without a request, before a worker hangs up: the process rests when nobody is connected."""
_CONTRACT = Contract(CONTRACT, FromEngine)


class EmbeddingEngine:
    """`Engine` and `Embeds`, served by the process that listens on `socket`."""

    def __init__(
        self, socket: Path, *, name: str, limits: Limits | None = None, missing: Missing = found
    ) -> None:
        self._line = Line[Ready, Vectors](
            socket,
            _CONTRACT,
            name=name,
            limits=limits or Limits(idle_seconds=IDLE_SECONDS),
            missing=missing,
            doing="still being fetched, loading or restarting",
            advice="Try again in a moment; Craton's log has the reason.",
        )

    async def ready(self) -> Ready:
        """What the process serves; waits while it loads, EngineNotReady past the limit."""
        return (await self._line.linked()).facts

    async def embed(
        self, texts: list[str], *, request_id: str, stop: Stop, may_cut: bool
    ) -> Embedded:
        """The texts' vectors; of the first ones only if it was asked to stop."""
        link = await self._line.linked()
        # Half a surrogate pair, which JSON can spell, is no letter and has no token.
        whole = [text.encode(errors="ignore").decode() for text in texts]
        made = await link.ask(request_id, Embed(request_id, whole, may_cut), stop=stop)
        return Embedded(
            vectors=[array("f", vector).tolist() for vector in made.vectors],
            input_tokens=made.tokens,
            texts_cut=made.texts_cut,
            chip_us=made.chip_us,
        )

    def generate(
        self,
        request: Request,
        *,
        request_id: str,  # noqa: ARG002 - the seam's signature
        stop: Stop,  # noqa: ARG002 - the seam's signature
    ) -> AsyncIterator[Event]:
        """Refuse: there is no text in this model."""
        raise Unsupported(
            f"The model {request.model} turns texts into vectors and generates none. Ask it for "
            "embeddings, or ask another model. `craton models` lists them."
        )

    async def close(self) -> None:
        """Hang up; what is in flight fails."""
        await self._line.close()
