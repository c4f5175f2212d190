"""A conversation as turns of text, calls and results: what of a request this engine can read."""

from typing import Any, assert_never

import msgspec

from craton.kernel.errors import BadRequest, TooLarge, Unsupported
from craton.messages import Block, Request, Role, SystemBlock, Text
from craton.messages.blocks import (
    Audio,
    CachePoint,
    CitedText,
    Document,
    GuardContent,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    SearchResult,
    ToolAddition,
    ToolRemoval,
    ToolResult,
    ToolUse,
    Video,
)
from craton.messages.request import JsonSchemaFormat
from craton.messages.tools import NoneChoice, Tool
from craton.models.engines.embedded.tools import Call, Prompt, Result, ToolText, Turn

CHARACTERS_MAX = 2_000_000
"""Most characters of a conversation: a context of 400,000 tokens, and 8 MB at the very most."""
SHAPE_TOLD_MAX = 4096
"""Longest schema of an answer, in characters, that the model is also told in words."""


def prompt(request: Request, *, opening: str = "") -> Prompt:
    """What the model is shown: the conversation, the tools it may call, the shape of its answer."""
    read = turns(request)
    characters = sum(map(_characters, read))
    tools: list[ToolText] = []
    if request.tools and not isinstance(request.tool_choice, NoneChoice):
        tools = [_tool_text(tool) for tool in request.tools if isinstance(tool, Tool)]
        characters += sum(len(tool.schema) + len(tool.description or "") for tool in tools)
    if characters > CHARACTERS_MAX:
        raise TooLarge(
            f"The conversation has {characters} characters; at most {CHARACTERS_MAX} are read. "
            "Shorten it."
        )
    shape: str | None = None
    if isinstance(request.output_format, JsonSchemaFormat):
        shape = msgspec.json.encode(request.output_format.schema).decode()
        shape = shape if len(shape) <= SHAPE_TOLD_MAX else None
    elif request.output_format is not None:
        shape = ""
    return Prompt(read, tools, shape, opening)


def _tool_text(tool: Tool) -> ToolText:
    schema = "{}" if tool.schema is None else msgspec.json.encode(tool.schema).decode()
    return ToolText(tool.name, tool.description, schema)


def _characters(turn: Turn) -> int:
    count = len(turn.content)
    if turn.calls or turn.results:
        count += sum(len(call.arguments) for call in turn.calls)
        count += sum(len(result.text) for result in turn.results)
    return count


def turns(request: Request) -> list[Turn]:
    """The conversation as turns of text, calls and results.

    System blocks become one system turn. A last turn by the assistant is continued, as templates
    that have a generation prompt allow. Cache points are only permission and are passed over;
    guarded content is text to the model, whoever else judges it.
    """
    if not request.messages:
        raise BadRequest("The conversation is empty; send at least one message.")
    found: list[Turn] = []
    system = [text for block in request.system if (text := _text(block)) is not None]
    if system:
        found.append(Turn("system", "\n\n".join(system)))
    for number, message in enumerate(request.messages):
        turn = _turn(message, number)
        before = found[-1] if found else None
        if before is not None and before.results and turn.role == before.role == Role.USER:
            # Some wires send each result in a message of its own, and then the user's text.
            content = "\n".join(text for text in (before.content, turn.content) if text)
            found[-1] = Turn(turn.role, content, [], before.results + turn.results)
        else:
            found.append(turn)
    if not any(turn.role == Role.USER for turn in found):
        raise BadRequest("The conversation has no user message; send at least one.")
    for turn in found:
        refuse_half_characters(turn.content, "A message")
        for result in turn.results:
            refuse_half_characters(result.text, "A tool result")
    return found


def _turn(message: Message, number: int) -> Turn:
    if len(message.content) == 1 and type(block := message.content[0]) is Text:
        return Turn(message.role.value, block.text)  # what nearly every message is
    texts: list[str] = []
    calls: list[Call] = []
    results: list[Result] = []
    for block in message.content:
        if isinstance(block, ToolUse):
            if message.role != Role.ASSISTANT or block.server:
                raise unsupported(
                    "server tool use block" if block.server else f"tool use by the {message.role}"
                )
            calls.append(_call(block))
        elif isinstance(block, ToolResult):
            if message.role != Role.USER or block.kind is not None:
                raise unsupported(
                    f"tool result by the {message.role}"
                    if block.kind is None
                    else f"{block.kind} block"
                )
            results.append(_result(block))
        elif (text := _text(block)) is not None:
            texts.append(text)
    if not texts and not calls and not results:
        raise BadRequest(f"Message {number} has no text; each message needs some.")
    # Blocks of one turn are paragraphs of it, except where a block only carries on.
    return Turn(message.role.value, "\n".join(texts), calls, results)


def _call(block: ToolUse) -> Call:
    value: Any = block.input
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        text.encode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(
            f"The input of tool call {block.id!r} can't be written as JSON: {error}."
        ) from error
    return Call(block.id, block.name, text)


def _result(block: ToolResult) -> Result:
    texts: list[str] = []
    for part in block.content:
        match part:
            case Text(text=text):
                texts.append(text)
            case Json(value=value):
                texts.append(msgspec.json.encode(value).decode())
            case SearchResult():
                texts.append("\n".join([part.title, part.source, *part.passages]))
            case _:
                tag = type(part).__struct_config__.tag
                raise unsupported(f"{tag} in a tool result")
    return Result(block.tool_use_id, "\n".join(texts), is_error=block.status == "error")


def refuse_half_characters(text: str, name: str) -> None:
    """BadRequest: half a surrogate pair has no UTF-8 and can't leave this process."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"{name} holds half a surrogate pair at character {error.start}. Send whole characters."
        ) from error


def _text(block: Block | SystemBlock) -> str | None:
    match block:
        case Text(text=text) | Refusal(text=text):
            return text
        case CitedText(passages=passages):
            return "".join(passages)
        case CachePoint():
            return None
        case GuardContent(text=str() as text):
            return text
        case GuardContent():
            raise unsupported("guarded image block")
        case Image():
            raise unsupported("image block")
        case Document():
            raise unsupported("document block")
        case Video():
            raise unsupported("video block")
        case Audio():
            raise unsupported("audio block")
        case SearchResult():
            raise unsupported("search result block")
        case ToolUse() | ToolResult():
            raise AssertionError("calls and results are read apart from text")
        case ToolAddition():
            raise unsupported("tool addition block")
        case ToolRemoval():
            raise unsupported("tool removal block")
        case Reasoning():
            raise unsupported("reasoning block")
        case Opaque(kind=kind):
            raise unsupported(f"{kind} block")
        case _:
            assert_never(block)


def unsupported(name: str) -> Unsupported:
    """The refusal of a part of a request that this engine has no way to serve."""
    return Unsupported(
        f"This model can't serve the request's {name}: it reads text, and writes text and calls. "
        "Leave it out or choose another model."
    )
