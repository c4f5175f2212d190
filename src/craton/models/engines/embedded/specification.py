"""What an engine process is started with, and the command line that says so.

Starting and restarting the process is the supervisor's work. It must hold the write end of the
child's standard input open for as long as it lives: end of input tells the child that nobody
watches it any more, and it exits.
"""

import sys
from pathlib import Path

import msgspec

from craton.models.card import Runtime
from craton.models.engines.embedded.command_line import arguments, parse_as

MODULE = "craton.models.engines.embedded.process"

ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}
"""What the library's threads must find in the environment before it loads: wait by spinning for a
moment only, then sleep. On cores that also run gateways a thread that spins keeps off the very
thread it waits for. Figures: decisions/0002-embedded-engine.md.
"""

SLOTS = 32
QUEUE_MAX = 256
CONTEXT_TOKENS_MAX = 8192
POOL_TOKENS = 20_480
"""Cells of the key-value cache, shared by all slots: 32 answers of the default length with a short
prompt each. SmolLM2-135M needs 23 KB for each, so the cache takes 470 MB."""


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """One engine process. Sizes are tokens; `threads` are compute threads."""

    name: str
    model: Path
    socket: Path
    runtime: Runtime = Runtime.LLAMA
    threads: int = 2
    context_tokens: int = CONTEXT_TOKENS_MAX
    """Most tokens of prompt and answer together; clipped to what the model was trained for."""
    slots: int = SLOTS
    """Most answers generated at once; more wait in the queue."""
    queue_max: int = QUEUE_MAX
    """Most requests waiting; one more is refused with `Throttled`."""
    pool_tokens: int = POOL_TOKENS
    """Cells of the key-value cache over all slots; at least `context_tokens`."""


def command(specification: Specification, *, python: str = sys.executable) -> list[str]:
    """The child's argument vector."""
    return arguments(specification, MODULE, ENVIRONMENT, python=python)


def parse(words: list[str]) -> Specification:
    """Read an argument vector that `command` wrote (without the interpreter and the module)."""
    return parse_as(words, Specification)
