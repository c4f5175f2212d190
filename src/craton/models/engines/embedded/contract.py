"""The messages between a gateway worker and an engine process, over `kernel.channel`.

A worker opens with `Hello` and the child answers `Ready`. Each `Generate` is answered by `Events`,
of which the last holds the stream's `Metadata`, or by one `Failed`. `Stop` ends a generation early
and in good order. A worker that hangs up stops all that it started. Both ends come from one
installation, so there are no versions to negotiate: `Hello` carries one only to refuse a leftover
process of another release.

What crosses is not the caller's request but the plan made of it: checked, text only, and with no
number that doesn't fit the encoding. So one request can't break a frame that carries others.
"""

import msgspec

from craton.kernel.errors import Fault
from craton.messages import Event
from craton.models.engines.embedded.requirements import Plan
from craton.models.engines.embedded.tools import Prompt

CONTRACT = 2


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A worker introduces itself."""

    contract: int = CONTRACT


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded; what it is and what it may be asked."""

    contract: int
    name: str
    context_tokens: int
    slots: int
    queue_max: int
    quantization: str
    chat_template: str
    load_ms: int


class Generate(msgspec.Struct, frozen=True, tag="generate"):
    """Continue this conversation."""

    request_id: str
    plan: Plan


class StopGeneration(msgspec.Struct, frozen=True, tag="stop"):
    """End a generation early; its stream still ends with `MessageStop` and `Metadata`."""

    request_id: str


class Count(msgspec.Struct, frozen=True, tag="count"):
    """How many tokens does this prompt have?"""

    request_id: str
    prompt: Prompt


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """Prompt tokens, template included."""

    request_id: str
    tokens: int


class Events(msgspec.Struct, frozen=True, tag="events"):
    """More of an answer, in the order of `messages.events`."""

    request_id: str
    events: list[Event]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A generation or a count ended with an error; nothing more follows for it."""

    request_id: str
    fault: Fault
    message: str
    code: str | None = None


class Health(msgspec.Struct, frozen=True, tag="health"):
    """Are you there?"""


class Healthy(msgspec.Struct, frozen=True, tag="healthy"):
    """The child's event loop turns; what it is doing."""

    running: int
    waiting: int


ToEngine = Hello | Generate | StopGeneration | Count | Health
FromEngine = Ready | Events | Counted | Failed | Healthy
