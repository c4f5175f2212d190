"""The messages between a gateway worker and a process that embeds, over `kernel.channel`.

They are a contract of their own beside `contract`, as a model that embeds generates nothing. A
worker opens with `Hello` and the child answers `Ready`; each `Embed` is answered by one `Vectors`
or one `Failed`. `StopEmbedding` ends it early: `Vectors` then holds what was done. A worker that
hangs up stops all that it started.
"""

import msgspec

from craton.kernel.errors import Fault

CONTRACT = 1


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A worker introduces itself."""

    contract: int = CONTRACT


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded; what it is."""

    contract: int
    name: str
    context_tokens: int
    dimensions: int
    load_ms: int


class Embed(msgspec.Struct, frozen=True, tag="embed"):
    """Turn these texts into vectors."""

    request_id: str
    texts: list[str]
    may_cut: bool
    """Whether a text that is too long is cut at its end, or refused."""


class StopEmbedding(msgspec.Struct, frozen=True, tag="stop"):
    """The vectors aren't wanted any more."""

    request_id: str


class Vectors(msgspec.Struct, frozen=True, tag="vectors"):
    """32-bit floats in the machine's own order, one string of bytes a text, and what they took."""

    request_id: str
    vectors: list[bytes]
    tokens: int
    texts_cut: int
    chip_us: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A request ended with an error."""

    request_id: str
    fault: Fault
    message: str
    code: str | None = None


class Health(msgspec.Struct, frozen=True, tag="health"):
    """Are you there?"""


class Healthy(msgspec.Struct, frozen=True, tag="healthy"):
    """The child's event loop turns."""

    texts: int


ToEngine = Hello | Embed | StopEmbedding | Health
FromEngine = Ready | Vectors | Failed | Healthy
