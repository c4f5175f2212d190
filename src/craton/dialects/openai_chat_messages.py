"""Messages of OpenAI's chat completions: wire to conversation model, and back.

Each wire message is one `Message`, in order. Those with instructions that come before all others
are the request's `system` instead; the first block of each keeps what its message said besides
text under `extra["openai.message"]`, which is also what tells where a message begins.

Under `extra["openai"]` stand the members this model doesn't know. A member it does know stands
there only to tell in which of its forms it came: `{"content": "parts"}` for a list of one text.
"""

from typing import Any

import msgspec
from msgspec import UNSET

from craton.dialects.members import (
    Json,
    check_nesting,
    members,
    wrong,
)
from craton.dialects.openai_chat_parts import (
    DIALECT,
    PARTS,
    extra_of,
    inner_rests,
    own,
    read_part,
    write_text_part,
    write_user_part,
)
from craton.dialects.openai_chat_wire import (
    AssistantMessage,
    ChatMessage,
    CustomToolCall,
    DeveloperMessage,
    FunctionMessage,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import (
    Block,
    CachePoint,
    Message,
    Reasoning,
    Refusal,
    Role,
    SystemBlock,
    Text,
    ToolResult,
    ToolUse,
)
from craton.messages.blocks import (
    Json as JsonValue,
)

MESSAGE = "openai.message"

_encode = msgspec.json.encode
_decode = msgspec.json.decode


def read_system(message: SystemMessage | DeveloperMessage, is_first: bool) -> list[SystemBlock]:
    """The blocks of one message of instructions that stands before all others."""
    about = _about(message, {})
    if isinstance(message, DeveloperMessage):
        about["role"] = "developer"
    content = message.content
    if isinstance(content, str):
        blocks: list[SystemBlock] = [Text(text=content)]
    else:
        blocks = [Text(text=part.text, extra=extra_of(members(part))) for part in content]
        if len(blocks) == 1 and blocks[0].extra is None:
            about |= PARTS
    if about or not is_first:
        first = blocks[0]
        blocks[0] = msgspec.structs.replace(first, extra={**(first.extra or {}), MESSAGE: about})
    return blocks


def _about(message: SystemMessage | DeveloperMessage | UserMessage, form: Json) -> Json:
    about = {**(members(message) or {}), **form}
    if message.name is not None:
        about["name"] = message.name
    return about


def read_message(message: ChatMessage, path: str) -> Message:
    """One message of the conversation; `path` is where it stands, for errors."""
    match message:
        case UserMessage():
            return _read_user(message, path)
        case AssistantMessage():
            return _read_assistant(message, path)
        case ToolMessage():
            content, form = _read_texts(message.content)
            result = ToolResult(tool_use_id=message.tool_call_id, content=[*content])
            return Message(role=Role.USER, content=[result], extra=extra_of(members(message), form))
        case SystemMessage() | DeveloperMessage():
            content, form = _read_texts(message.content)
            if isinstance(message, DeveloperMessage):
                form = {**form, "role": "developer"}
            about = _about(message, form)
            return Message(
                role=Role.SYSTEM, content=[*content], extra={DIALECT: about} if about else None
            )
        case FunctionMessage():
            raise Unsupported(
                f"`{path}.role`: function messages are not served. Send tool messages instead."
            )


def _read_texts(content: str | list[TextPart]) -> tuple[list[Text], Json]:
    if isinstance(content, str):
        return [Text(text=content)], {}
    texts = [Text(text=part.text, extra=extra_of(members(part))) for part in content]
    return texts, PARTS if len(texts) == 1 and texts[0].extra is None else {}


def _read_user(message: UserMessage, path: str) -> Message:
    content = message.content
    if isinstance(content, str):
        blocks: list[Block] = [Text(text=content)]
        form: Json = {}
    else:
        blocks = [read_part(part, f"{path}.content[{index}]") for index, part in enumerate(content)]
        form = PARTS if _is_one_text(blocks) else {}
    if message.name is None and not form and message.rest is UNSET:
        return Message(role=Role.USER, content=blocks)
    about = _about(message, form)
    return Message(role=Role.USER, content=blocks, extra={DIALECT: about} if about else None)


def _is_one_text(blocks: list[Block]) -> bool:
    return len(blocks) == 1 and isinstance(blocks[0], Text) and blocks[0].extra is None


def _read_assistant(message: AssistantMessage, path: str) -> Message:
    form: Json = {}
    blocks: list[Block] = []
    _read_reasoning(message, blocks, form)
    content = message.content
    if isinstance(content, str):
        blocks.append(Text(text=content))
    elif isinstance(content, list):
        parts = [read_part(part, f"{path}.content[{n}]") for n, part in enumerate(content)]
        form |= PARTS if _is_one_text(parts) else {}
        blocks += parts
    elif content is UNSET and not (
        message.tool_calls or message.refusal or message.audio or message.function_call
    ):
        raise wrong(f"{path}.content", "is required where there are no tool calls")
    if message.refusal is not None:
        blocks.append(Refusal(text=message.refusal))
    for call in message.tool_calls or ():
        blocks.append(read_tool_call(call))
    if message.function_call is not None:
        raise Unsupported(
            f"`{path}.function_call`: function calls are not served. Send tool_calls instead."
        )
    if message.name is not None:
        form["name"] = message.name
    if message.audio is not None:
        form["audio"] = message.audio
    return Message(role=Role.ASSISTANT, content=blocks, extra=extra_of(members(message), form))


def _read_reasoning(message: AssistantMessage, blocks: list[Block], form: Json) -> None:
    block = reasoning_block(message.reasoning_content, message.reasoning)
    if block is not None:
        blocks.append(block)
        if message.reasoning_content is not None and message.reasoning is not None:
            form["reasoning"] = message.reasoning


def reasoning_block(reasoning_content: str | None, reasoning: str | None) -> Reasoning | None:
    """Reasoning under either of the names that servers give it."""
    if reasoning_content is not None:
        return Reasoning(text=reasoning_content)
    if reasoning is not None:
        return Reasoning(text=reasoning, extra={DIALECT: {"reasoning": True}})
    return None


def read_tool_call(call: ToolCall) -> ToolUse:
    """A tool call; text that isn't JSON stays text, as the fold of a stream keeps it."""
    if isinstance(call, CustomToolCall):
        form = {"type": "custom", **inner_rests(custom=call.custom)}
        return ToolUse(
            id=call.id,
            name=call.custom.name,
            input=call.custom.input,
            extra=extra_of(members(call), form),
        )
    function = call.function
    value, form = _read_arguments(function.arguments)
    if function.rest is not UNSET:
        form = {**form, "function": members(function)}
    return ToolUse(id=call.id, name=function.name, input=value, extra=extra_of(members(call), form))


def _read_arguments(text: str) -> tuple[object, Json]:
    if not text:
        return {}, {"arguments": text}
    raw = text.encode()
    try:
        value = _decode(raw)
    except msgspec.DecodeError:
        return text, {}
    except RecursionError:
        raise BadRequest("A tool call's arguments are nested too deep. Flatten them.") from None
    check_nesting(raw)
    return value, ({} if _encode(value) == raw and type(value) is not str else {"arguments": text})


def write_arguments(block: ToolUse, form: Json) -> str:
    """A call's arguments as text: as they came, where the input is still the same."""
    came = form.get("arguments")
    if isinstance(came, str) and _read_arguments(came)[0] == block.input:
        return came
    return block.input if isinstance(block.input, str) else _encode(block.input).decode()


def write_tool_call(block: ToolUse) -> Json:
    """A tool call."""
    if block.server:
        raise Unsupported(f"OpenAI chat completions have no server tools, such as {block.name!r}.")
    form = own(block.extra)
    rest = {k: v for k, v in form.items() if k not in ("type", "arguments", "function", "custom")}
    if form.get("type") == "custom" and isinstance(block.input, str):
        inner = {"name": block.name, "input": block.input, **form.get("custom", {})}
        return {"id": block.id, "type": "custom", "custom": inner, **rest}
    inner = {
        "name": block.name,
        "arguments": write_arguments(block, form),
        **form.get("function", {}),
    }
    return {"id": block.id, "type": "function", "function": inner, **rest}


def write_system(blocks: list[SystemBlock]) -> list[Json]:
    """The messages of the request's instructions."""
    if len(blocks) == 1 and type(block := blocks[0]) is Text and block.extra is None:
        return [{"role": "system", "content": block.text}]  # what nearly all of them are
    out: list[Json] = []
    parts: list[Json] = []
    about: Json = {}
    for block in blocks:
        if isinstance(block, CachePoint):
            continue
        if parts and block.extra is not None and MESSAGE in block.extra:
            out.append(_system_message(parts, about))
            parts, about = [], {}
        if not parts:
            about = (block.extra or {}).get(MESSAGE, {})
        parts.append(write_text_part(block))
    if parts:
        out.append(_system_message(parts, about))
    return out


def _system_message(parts: list[Json], about: Json) -> Json:
    message = {"role": "system", "content": _content(parts, about)}
    return message | {k: v for k, v in about.items() if k != "content"}


def _content(parts: list[Json], form: Json) -> str | list[Json]:
    """One plain text is a string, unless it came as a list."""
    if len(parts) == 1 and form.get("content") != "parts" and parts[0].keys() == {"type", "text"}:
        return parts[0]["text"]
    return parts


def write_message(message: Message) -> list[Json]:
    """The wire messages of one message: one, or one for each tool result and one for the rest."""
    if len(message.content) == 1 and message.extra is None:
        block = message.content[0]
        if type(block) is Text and block.extra is None:  # what nearly every message is
            return [{"role": message.role, "content": block.text}]
    match message.role:
        case Role.ASSISTANT:
            return [_write_assistant(message)]
        case Role.SYSTEM:
            about = own(message.extra)
            parts = [write_text_part(b) for b in message.content if not _is_hint(b)]
            return [_system_message(parts, about)]
        case Role.USER:
            return _write_user(message)


def _is_hint(block: Block) -> bool:
    # A cache point asks for nothing but speed, and this wire caches by itself.
    return isinstance(block, CachePoint)


def _write_user(message: Message) -> list[Json]:
    about = own(message.extra)
    out: list[Json] = []
    parts: list[Json] = []
    for block in message.content:
        if isinstance(block, ToolResult):
            out.append(_write_tool_result(block, about if len(message.content) == 1 else {}))
        elif not _is_hint(block):
            parts.append(write_user_part(block))
    if parts:
        out.append({"role": "user", "content": _content(parts, about)})
        out[-1] |= {k: v for k, v in about.items() if k != "content"}
    return out


def _write_tool_result(block: ToolResult, about: Json) -> Json:
    parts: list[Json] = []
    for part in block.content:
        if isinstance(part, JsonValue):
            parts.append({"type": "text", "text": _encode(part.value).decode()})
        elif isinstance(part, Text):
            parts.append(write_text_part(part))
        else:
            raise Unsupported(
                "OpenAI tool messages carry only text, and a tool result holds "
                f"a {type(part).__struct_config__.tag} block. Leave it out."
            )
    message: Json = {"role": "tool", "tool_call_id": block.tool_use_id}
    message["content"] = _content(parts, about) if parts else ""
    return message | {k: v for k, v in about.items() if k != "content"}


def _write_assistant(message: Message) -> Json:
    about = own(message.extra)
    parts: list[Json] = []
    out: dict[str, Any] = {"role": "assistant", "content": None}
    calls: list[Json] = []
    for block in message.content:
        match block:
            case ToolUse():
                calls.append(write_tool_call(block))
            case Reasoning():
                name = "reasoning" if own(block.extra).get("reasoning") else "reasoning_content"
                out[name] = out.get(name, "") + (block.text or "")
            case Refusal() if own(block.extra).get("content") != "parts" and "refusal" not in out:
                out["refusal"] = block.text
            case Refusal():
                rest = {k: v for k, v in own(block.extra).items() if k != "content"}
                parts.append({"type": "refusal", "refusal": block.text, **rest})
            case CachePoint():
                pass
            case _:
                parts.append(write_text_part(block))
    if parts:
        out["content"] = _content(parts, about)
    if calls:
        out["tool_calls"] = calls
    return out | {k: v for k, v in about.items() if k != "content"}
