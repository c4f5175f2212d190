"""The messages between a gateway worker and a process that embeds, over `kernel.channel`.

They are a contract of their own beside `contract`, as a model that embeds generates nothing. A
worker opens with `Hello` and the child answers `Ready`; each `Embed` is answered by one `Vectors`
or one `Failed`. `StopRequest` ends it early: `Vectors` then holds what was done. A worker that
hangs up stops all that it started.
"""

from craton.models.engines.embedded import link_messages
from craton.models.engines.embedded.link_messages import (
    Ask,
    Failed,
    Health,
    Healthy,
    Hello,
    Reply,
    StopRequest,
)

CONTRACT = 2


class Ready(link_messages.Ready, frozen=True, tag="ready"):
    """The model is loaded; what it is."""

    dimensions: int
    load_ms: int


class Embed(Ask, frozen=True, tag="embed"):
    """Turn these texts into vectors."""

    texts: list[str]
    may_cut: bool
    """Whether a text that is too long is cut at its end, or refused."""


class Vectors(Reply, frozen=True, tag="vectors"):
    """32-bit floats in the machine's own order, one string of bytes a text, and what they took."""

    vectors: list[bytes]
    tokens: int
    texts_cut: int
    chip_us: int


ToEngine = Hello | Embed | StopRequest | Health
FromEngine = Ready | Vectors | Failed | Healthy
