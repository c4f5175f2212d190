"""What a process that embeds is started with; see `specification` for how it is supervised."""

import sys
from pathlib import Path

import msgspec

from craton.models.engines.embedded.command_line import arguments, parse_as

MODULE = "craton.models.engines.embedded.embeddings_process"

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1"}
"""NumPy's matrix library on Linux and on macOS: one thread for each batch, as the process runs
batches side by side. Its own threads wait by spinning: on two busy cores, two of them were measured
to embed half as much as one."""

IDLE_SECONDS = 600.0
TEXTS_MAX = 8192
"""Four requests of OpenAI's greatest size. With their tokens they take some 80 MB."""


class EmbeddingSpecification(msgspec.Struct, frozen=True, kw_only=True):
    """One process that embeds."""

    name: str
    model: Path
    """The file of weights; its configuration and vocabulary lie beside it."""
    socket: Path
    threads: int = 2
    """Batches computed at once, each in a thread of its own."""
    context_tokens: int = 256
    """Most tokens of one text; clipped to what the model has positions for."""
    texts_max: int = TEXTS_MAX
    """Most texts waiting or running; a request that would exceed it is refused with `Throttled`."""
    idle_seconds: float = IDLE_SECONDS
    """Without a worker that is connected, before the process rests; 0 is never. A worker hangs up a
    minute after its last request. Resting takes 12 MB where a process that was used takes 85 to 95;
    the next request waits until it is awake: 0.6 to 0.9 s on two cores with much other work."""


def command(specification: EmbeddingSpecification, *, python: str = sys.executable) -> list[str]:
    """The child's argument vector."""
    return arguments(specification, MODULE, ENVIRONMENT, python=python)


def parse(words: list[str]) -> EmbeddingSpecification:
    """Read an argument vector that `command` wrote (without the interpreter and the module)."""
    return parse_as(words, EmbeddingSpecification)
