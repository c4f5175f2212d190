"""The messages that every conversation with an engine process has, whatever the engine does.

`contract` and `embeddings_contract` add what is asked and answered. This module imports neither
plans nor prompts, so that a process that embeds loads none of them.
"""

import msgspec

from craton.kernel.errors import Fault


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A worker introduces itself."""

    contract: int


class Ask(msgspec.Struct, frozen=True):
    """A request; each contract has its own kinds."""

    request_id: str


class StopRequest(msgspec.Struct, frozen=True, tag="stop"):
    """End a request early; its answer still comes, and tells what was done."""

    request_id: str


class Health(msgspec.Struct, frozen=True, tag="health"):
    """Are you there?"""


class Healthy(msgspec.Struct, frozen=True, tag="healthy"):
    """The child's event loop turns."""


class Ready(msgspec.Struct, frozen=True):
    """The model is loaded; each contract says more of what it is."""

    contract: int
    name: str
    context_tokens: int


class Reply(msgspec.Struct, frozen=True):
    """Something about one request; each contract has its own kinds."""

    request_id: str


class Failed(Reply, frozen=True, tag="failed"):
    """A request ended with an error; nothing more follows for it."""

    fault: Fault
    message: str
    code: str | None = None
