"""The messages between a gateway worker and an engine process, over `kernel.channel`.

A worker opens with `Hello` and the child answers `Ready`. Each `Generate` is answered by `Events`,
of which the last holds the stream's `Metadata`, or by one `Failed`. `StopRequest` ends a generation
early and in good order: its stream still ends with `MessageStop` and `Metadata`. A worker that
hangs up stops all that it started. Both ends come from one installation, so there are no versions
to negotiate: `Hello` carries one only to refuse a leftover process of another release.

What crosses is not the caller's request but the plan made of it: checked, text only, and with no
number that doesn't fit the encoding. So one request can't break a frame that carries others.
"""

from craton.messages import Event
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
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.tools import Prompt

CONTRACT = 3


class Ready(link_messages.Ready, frozen=True, tag="ready"):
    """The model is loaded; what it is and what it may be asked."""

    slots: int
    queue_max: int
    quantization: str
    chat_template: str
    load_ms: int


class Generate(Ask, frozen=True, tag="generate"):
    """Continue this conversation."""

    plan: Plan


class Count(Ask, frozen=True, tag="count"):
    """How many tokens does this prompt have?"""

    prompt: Prompt


class Counted(Reply, frozen=True, tag="counted"):
    """Prompt tokens, template included."""

    tokens: int


class Events(Reply, frozen=True, tag="events"):
    """More of an answer, in the order of `messages.events`."""

    events: list[Event]


ToEngine = Hello | Generate | StopRequest | Count | Health
FromEngine = Ready | Events | Counted | Failed | Healthy
