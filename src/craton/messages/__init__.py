"""The one conversation model: requests, content blocks, events, usage, stop reasons, fold.

Wires read into it and write from it; engines take a `Request` and yield `Event`s. Nothing here
knows a wire or an engine.
"""

from craton.messages.blocks import Block, Extra, Message, Role, SystemBlock, Text
from craton.messages.events import (
    Answer,
    BlockKind,
    BlockStart,
    BlockStop,
    ChoiceEvent,
    Choices,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    TextDelta,
)
from craton.messages.fold import Fold, fold, unfold
from craton.messages.request import Request
from craton.messages.usage import Usage

__all__ = [
    "Answer",
    "Block",
    "BlockKind",
    "BlockStart",
    "BlockStop",
    "ChoiceEvent",
    "Choices",
    "Event",
    "Extra",
    "Fold",
    "Message",
    "MessageStart",
    "MessageStop",
    "Metadata",
    "Request",
    "Role",
    "StopReason",
    "SystemBlock",
    "Text",
    "TextDelta",
    "Usage",
    "fold",
    "unfold",
]
