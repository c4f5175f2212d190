"""How tools and calls are written in a conversation, whichever library runs the model.

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

This is how Hermes and Qwen models were taught to call; for models whose template knows this form
the template renders tools, calls and results itself, and for all others the text here does. So a
call always reads the same when it comes out, and one grammar and one reader serve every model.
"""

import re
from collections.abc import Collection
from typing import Any

import msgspec

CALL_BEGIN = "<tool_call>"
CALL_NAME = '\n{"name": "'
CALL_ARGUMENTS = '", "arguments":'
CALL_END = "}\n</tool_call>"

_INTRODUCTION = """\
You are a helpful assistant with tools. If the user asks for something that one of these tools \
does, call the tool. Otherwise answer in words.
Tools:
{tools}
A call looks like this:
{example}"""
_SHAPE = "Answer with JSON only, and nothing around it. It must fit this JSON Schema:\n{schema}"
_SHAPE_FREE = "Answer with one JSON object only, and nothing around it."


class ToolText(msgspec.Struct, frozen=True):
    """A tool as a model is told of it; `schema` is JSON text."""

    name: str
    description: str | None
    schema: str


class Call(msgspec.Struct, frozen=True):
    """An earlier call; `arguments` is JSON text, or what a cut-off answer left of it."""

    id: str
    name: str
    arguments: str


class Result(msgspec.Struct, frozen=True):
    """What a tool answered."""

    id: str
    text: str
    is_error: bool


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. Calls follow the content of an assistant's turn; results precede a user's."""

    role: str
    content: str
    calls: list[Call] = []
    results: list[Result] = []


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a model is shown. `opening` begins its answer for it."""

    turns: list[Turn]
    tools: list[ToolText] = []
    shape: str | None = None
    """The JSON Schema of the answer, to be told in words; the empty string is any JSON object."""
    opening: str = ""


def template_knows_tools(template: str) -> bool:
    """Whether a chat template renders tools and calls in the form that is read here."""
    return (
        "tools" in template
        and "tool_calls" in template
        and CALL_BEGIN in template
        and "<function=" not in template
        and '"arguments":' in template.replace("\\", "")
    )


def in_words(prompt: Prompt) -> list[dict[str, Any]]:
    """The messages for a template that knows no tools: all is text of the three common roles."""
    turns = list(prompt.turns)
    told = [turns.pop(0).content] if turns and turns[0].role == "system" else []
    if prompt.tools:
        told.append(
            _INTRODUCTION.format(
                tools="\n".join(_line(tool) for tool in prompt.tools),
                example=call_text(prompt.tools[0].name, "{...}"),
            )
        )
    told += _shape(prompt)
    messages = [{"role": "system", "content": "\n\n".join(told)}] if told else []
    names = {call.id: call.name for turn in turns for call in turn.calls}
    return [*messages, *({"role": turn.role, "content": _content(turn, names)} for turn in turns)]


def in_own_form(prompt: Prompt) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages and tools for a template that renders them itself."""
    messages: list[dict[str, Any]] = []
    turns = list(prompt.turns)
    told = [turns.pop(0).content] if turns and turns[0].role == "system" else []
    told += _shape(prompt)
    if told:
        messages.append({"role": "system", "content": "\n\n".join(told)})
    for turn in turns:
        messages += (
            {"role": "tool", "tool_call_id": result.id, "content": _result(result)}
            for result in turn.results
        )
        if turn.calls:
            calls = [
                {
                    "type": "function",
                    "id": call.id,
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in turn.calls
            ]
            messages.append({"role": turn.role, "content": turn.content, "tool_calls": calls})
        elif turn.content or not turn.results:
            messages.append({"role": turn.role, "content": turn.content})
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": msgspec.json.decode(tool.schema),
            },
        }
        for tool in prompt.tools
    ]
    return messages, tools


def calls_are_whole(prompt: Prompt) -> bool:
    """Whether every earlier call has an object of arguments, as templates take for granted."""
    return all(_is_object(call.arguments) for turn in prompt.turns for call in turn.calls)


def call_text(name: str, arguments: str) -> str:
    """A call as a model writes it."""
    quoted = msgspec.json.encode(name).decode()[1:-1]
    return f"{CALL_BEGIN}{CALL_NAME}{quoted}{CALL_ARGUMENTS} {arguments}{CALL_END}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False


def _shape(prompt: Prompt) -> list[str]:
    if prompt.shape is None:
        return []
    return [_SHAPE.format(schema=prompt.shape) if prompt.shape else _SHAPE_FREE]


def _line(tool: ToolText) -> str:
    told: dict[str, Any] = {"name": tool.name}
    if tool.description:
        told["description"] = tool.description
    told["arguments"] = msgspec.Raw(tool.schema.encode())
    return msgspec.json.encode(told).decode()


def _content(turn: Turn, names: dict[str, str]) -> str:
    parts = [
        f"The tool {names.get(result.id, '')} returned:".replace("  ", " ") + f"\n{_result(result)}"
        for result in turn.results
    ]
    parts += [turn.content] if turn.content or not (turn.results or turn.calls) else []
    parts += [call_text(call.name, call.arguments) for call in turn.calls]
    return "\n".join(parts)


def _result(result: Result) -> str:
    return f"Error: {result.text}" if result.is_error else result.text


_ASKING = (
    r"(?<!not )(?<!n't )(?<!never )\b(?:use|using|call|run|invoke)"
    r"(?: the)?(?: tool| function)? [`'\"]?"
)


def asked_for(text: str, names: Collection[str]) -> str | None:
    """The tool that a user asks for by name, as in "use get_weather"; English only."""
    for name in names:
        if name in text and re.search(rf"{_ASKING}{re.escape(name)}(?![\w-])", text, re.IGNORECASE):
            return name
    return None
