"""Tools a model may call, and how it must choose among them."""

from typing import Any

from craton.messages.blocks import CachePoint, Opaque, Part


class Tool(Part, frozen=True, tag="tool"):
    """A function the caller runs. `schema` is the JSON Schema of its input."""

    name: str
    schema: Any
    description: str | None = None
    strict: bool | None = None


class SystemTool(Part, frozen=True, tag="system_tool"):
    """A tool that the server runs itself, by name."""

    name: str


ToolEntry = Tool | SystemTool | CachePoint | Opaque


class AutoChoice(Part, frozen=True, tag="auto"):
    """The model decides."""


class AnyChoice(Part, frozen=True, tag="any"):
    """Some tool must be called."""


class NoneChoice(Part, frozen=True, tag="none"):
    """No tool may be called."""


class ToolChoiceByName(Part, frozen=True, tag="tool"):
    """This tool must be called."""

    name: str


ToolChoice = AutoChoice | AnyChoice | NoneChoice | ToolChoiceByName
