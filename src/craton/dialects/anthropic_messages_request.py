"""Requests of Anthropic's messages: bytes to `Request`, and back."""

from typing import Any, assert_never, cast

import msgspec
from msgspec import UNSET

from craton.dialects.anthropic_messages_betas import without_betas
from craton.dialects.anthropic_messages_blocks import (
    BLOCKS,
    cache_point,
    content_of,
    is_one_text,
    opaque,
    read_block,
    read_blocks,
    write_blocks,
    write_cache_point,
)
from craton.dialects.anthropic_messages_citations import DIALECT, extra_of, own
from craton.dialects.anthropic_messages_wire import (
    AnyChoice as AnyChoiceBody,
)
from craton.dialects.anthropic_messages_wire import (
    AssistantMessage,
    CountRequest,
    FullRequest,
    SystemMessage,
    TextBlock,
    ThinkingEnabled,
    ToolBody,
    ToolByName,
    UserMessage,
)
from craton.dialects.anthropic_messages_wire import (
    AutoChoice as AutoChoiceBody,
)
from craton.dialects.anthropic_messages_wire import (
    NoneChoice as NoneChoiceBody,
)
from craton.dialects.members import (
    BodyReader,
    Json,
    check_nesting,
    check_portable,
    members,
    plain,
    wrong,
)
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import CachePoint, Message, Opaque, Role, SystemBlock, Text
from craton.messages.request import JsonFormat, JsonSchemaFormat, OutputFormat, Request, Thinking
from craton.messages.tools import (
    AnyChoice,
    AutoChoice,
    NoneChoice,
    Tool,
    ToolChoice,
    ToolChoiceByName,
    ToolEntry,
)

_REQUESTS: BodyReader[CountRequest] = BodyReader(CountRequest, FullRequest)
_RIDING = tuple(
    name for name in FullRequest.__struct_fields__ if name not in CountRequest.__struct_fields__
)
_ROLES = {UserMessage: Role.USER, AssistantMessage: Role.ASSISTANT, SystemMessage: Role.SYSTEM}
_encode = msgspec.json.encode


def read_request(body: bytes) -> Request:
    """Read a request body; BadRequest or Unsupported names the member that is wrong."""
    wire = _REQUESTS.read(body)
    if wire.max_tokens is None:
        raise wrong("max_tokens", "is required and missing")
    if wire.max_tokens == 0:
        raise Unsupported(
            "`max_tokens`: 0, to fill a cache without an answer, is not served. Send 1 or more."
        )
    return _read(wire, body)


def read_count_request(body: bytes) -> Request:
    """Read the body of a request to count tokens, which needs no `max_tokens`."""
    return _read(_REQUESTS.read(body), body)


def _read(wire: CountRequest, body: bytes) -> Request:
    messages: list[Message] = []
    holds_blocks = False
    for index, message in enumerate(wire.messages):
        content = message.content
        role = _ROLES[type(message)]
        if type(content) is str and message.rest is UNSET:
            messages.append(Message(role=role, content=[Text(text=content)]))
        else:
            holds_blocks = True
            messages.append(_read_message(message, role, f"messages[{index}]"))
    form: Json = {}
    system: list[SystemBlock] = []
    if wire.system is not None:
        system = [Text(text=wire.system)] if type(wire.system) is str else _read_system(wire, form)
    output_format, thinking = _read_output(wire, form)
    choice, parallel = (None, None) if wire.tool_choice is None else _read_tool_choice(wire)
    request = Request(
        model=wire.model,
        messages=messages,
        system=system,
        stream=wire.stream or False,
        max_tokens=wire.max_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        top_k=_read_top_k(wire, form),
        stop_sequences=wire.stop_sequences or [],
        tools=_read_tools(wire.tools) if wire.tools else [],
        tool_choice=choice,
        parallel_tool_use=parallel,
        output_format=output_format,
        thinking=thinking,
        service_tier=wire.service_tier,
        user=_read_user(wire, form),
        extra=extra_of(_read_riding(wire), form),
    )
    if holds_blocks or wire.tools or output_format is not None or type(wire) is FullRequest:
        check_nesting(body)
        check_portable(request)
    return request


def _read_riding(wire: CountRequest) -> Json | None:
    """The members that the conversation model has no place for."""
    if not isinstance(wire, FullRequest):
        return None
    rides: Json = dict(members(wire) or {})
    for name in _RIDING:
        value = getattr(wire, name)
        if value is not None:
            rides[name] = plain(value)
    return rides or None


def _read_message(
    message: UserMessage | AssistantMessage | SystemMessage, role: Role, path: str
) -> Message:
    content = message.content
    if isinstance(content, str):
        return Message(role=role, content=[Text(text=content)], extra=extra_of(members(message)))
    blocks = read_blocks([*content], f"{path}.content")
    form = BLOCKS if is_one_text(blocks) else None
    return Message(role=role, content=blocks, extra=extra_of(members(message), form))


def _read_system(wire: CountRequest, form: Json) -> list[SystemBlock]:
    system: list[SystemBlock] = []
    assert isinstance(wire.system, list)
    for index, block in enumerate(wire.system):
        read = read_block(block, f"system[{index}]")
        if not isinstance(read, Text | Opaque):  # instructions with citations
            read = opaque(block)
        system.append(read)
        control = block.cache_control if isinstance(block, TextBlock) else None
        if control is not None and isinstance(read, Text):
            system.append(cache_point(control))
    if is_one_text(system):
        form["system"] = "blocks"
    return system


def _read_output(wire: CountRequest, form: Json) -> tuple[OutputFormat | None, Thinking | None]:
    config, body = wire.output_config, wire.thinking
    if config is None and body is None:
        return None, None
    chosen: OutputFormat | None = None
    effort = None
    if config is not None:
        effort = config.effort
        if config.format is not None:
            extra = extra_of(members(config.format))
            chosen = JsonSchemaFormat(schema=config.format.schema, extra=extra)
        if config.rest is not UNSET:
            form["output_config"] = members(config)
    if body is None:
        return chosen, None if effort is None else Thinking(effort=effort)
    budget = body.budget_tokens if isinstance(body, ThinkingEnabled) else None
    if budget is not None and wire.max_tokens is not None and budget >= wire.max_tokens:
        raise wrong("thinking.budget_tokens", "expected an integer less than `max_tokens`")
    mode = body.__struct_config__.tag
    assert isinstance(mode, str)
    return chosen, Thinking(
        mode=mode, budget_tokens=budget, effort=effort, extra=extra_of(members(body))
    )


def _read_top_k(wire: CountRequest, form: Json) -> int | None:
    if wire.top_k == 0:  # no limit, which None says in the conversation model
        form["top_k"] = 0
        return None
    return wire.top_k


def _read_user(wire: CountRequest, form: Json) -> str | None:
    if wire.metadata is None:
        return None
    if wire.metadata.rest is not UNSET:
        form["metadata"] = members(wire.metadata)
    return wire.metadata.user_id


def _read_tools(tools: list[ToolBody]) -> list[ToolEntry]:
    entries: list[ToolEntry] = []
    for index, tool in enumerate(tools):
        if tool.type is not None and tool.type != "custom":
            entries.append(Opaque(dialect=DIALECT, kind=tool.type, value=plain(tool)))
            continue
        if not tool.name:
            raise wrong(f"tools[{index}].name", "is required and missing")
        if tool.input_schema is None:
            raise wrong(f"tools[{index}].input_schema", "is required and missing")
        form = None if tool.type is None else {"type": tool.type}
        entries.append(
            Tool(
                name=tool.name,
                schema=tool.input_schema,
                description=tool.description,
                strict=tool.strict,
                extra=extra_of(members(tool), form),
            )
        )
        if tool.cache_control is not None:
            entries.append(cache_point(tool.cache_control))
    return entries


def _read_tool_choice(wire: CountRequest) -> tuple[ToolChoice, bool | None]:
    body = wire.tool_choice
    assert body is not None
    extra = extra_of(members(body))
    if isinstance(body, NoneChoiceBody):
        return NoneChoice(extra=extra), None
    one = body.disable_parallel_tool_use
    parallel = None if one is None else not one
    match body:
        case AutoChoiceBody():
            return AutoChoice(extra=extra), parallel
        case AnyChoiceBody():
            return AnyChoice(extra=extra), parallel
        case ToolByName():
            return ToolChoiceByName(name=body.name, extra=extra), parallel


_FORMS = ("system", "output_config", "metadata")
"""Known members that stand in a request's `extra` only to tell how they came."""


def write_request(request: Request) -> bytes:
    """The body of a request; Unsupported names what this wire has no form for."""
    if request.max_tokens is None:
        raise BadRequest("`max_tokens`: Anthropic messages need it. Set a limit.")
    came = own(request.extra)
    body: Json = {"model": request.model, "max_tokens": request.max_tokens}
    if request.system:
        form = BLOCKS if came.get("system") == "blocks" else {}
        body["system"] = content_of(write_blocks(request.system), form)
    body["messages"] = [_write_message(message) for message in request.messages]
    if request.stream:
        body["stream"] = True
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.stop_sequences:
        body["stop_sequences"] = request.stop_sequences
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.tools or request.tool_choice is not None:
        _write_tools(request, body)
    _write_output(request, body, came)
    if request.user is not None or "metadata" in came:
        body["metadata"] = dict(came.get("metadata", {}))
        if request.user is not None:
            body["metadata"]["user_id"] = request.user
    for name, value in came.items():
        if name not in _FORMS:
            body.setdefault(name, value)
    # Betas stand in a header of this wire.
    additional: Any = without_betas(request).additional_fields
    if isinstance(additional, dict):
        # Members for the model itself, as Converse takes them: here they stand at the top.
        body = {**cast("Json", additional), **body}
    _refuse_what_is_lost(request)
    try:
        return _encode(body)
    except (UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"The request can't be written as JSON: {error}.") from None


def _refuse_what_is_lost(request: Request) -> None:
    """Settings that change the answer and that this wire has no word for."""
    lost = None
    if request.choices is not None and request.choices > 1:
        lost = "choices"
    elif request.logprobs is not None:
        lost = "logprobs"
    elif request.prompt_variables:
        lost = "prompt variables"
    elif isinstance(request.output_format, JsonFormat):
        lost = "JSON without a schema"
    if lost is not None:
        raise Unsupported(f"Anthropic messages have no {lost}. Leave it out.")


def _write_message(message: Message) -> Json:
    if len(message.content) == 1 and message.extra is None:
        block = message.content[0]
        if type(block) is Text and block.extra is None:  # what nearly every message is
            return {"role": message.role, "content": block.text}
    rides = own(message.extra)
    written: Json = {
        "role": message.role.value,
        "content": content_of(write_blocks(message.content), rides),
    }
    for name, value in rides.items():
        written.setdefault(name, value)
    return written


def _write_tools(request: Request, body: Json) -> None:
    tools: list[Json] = []
    for entry in request.tools:
        match entry:
            case Tool():
                tools.append(_write_tool(entry))
            case Opaque(dialect="anthropic"):
                tools.append(entry.value)
            case CachePoint():
                if tools:
                    tools[-1] = {**tools[-1], "cache_control": write_cache_point(entry)}
            case _:
                raise Unsupported(
                    f"Anthropic messages can't carry a {type(entry).__struct_config__.tag} tool. "
                    "Leave it out."
                )
    if tools:
        body["tools"] = tools
    choice = request.tool_choice
    if choice is None and request.parallel_tool_use is not None and tools:
        choice = AutoChoice()
    if choice is not None:
        body["tool_choice"] = _write_tool_choice(choice, request.parallel_tool_use)


def _write_tool(tool: Tool) -> Json:
    schema: Any = tool.schema
    out: Json = {
        "name": tool.name,
        "input_schema": {"type": "object", "properties": {}} if schema is None else schema,
    }
    if tool.description is not None:
        out["description"] = tool.description
    if tool.strict is not None:
        out["strict"] = tool.strict
    return out | own(tool.extra)


def _write_tool_choice(choice: ToolChoice, parallel: bool | None) -> Json:
    match choice:
        case AutoChoice():
            out: Json = {"type": "auto"}
        case AnyChoice():
            out = {"type": "any"}
        case ToolChoiceByName():
            out = {"type": "tool", "name": choice.name}
        case NoneChoice():
            return {"type": "none", **own(choice.extra)}
        case _:
            assert_never(choice)
    if parallel is not None:
        out["disable_parallel_tool_use"] = not parallel
    return out | own(choice.extra)


def _write_output(request: Request, body: Json, came: Json) -> None:
    config: Json = dict(came.get("output_config", {}))
    thinking = request.thinking
    if thinking is not None:
        if thinking.mode is not None:
            body["thinking"] = {"type": thinking.mode, **own(thinking.extra)}
            if thinking.budget_tokens is not None:
                body["thinking"]["budget_tokens"] = thinking.budget_tokens
        if thinking.effort is not None:
            config["effort"] = thinking.effort
    if isinstance(request.output_format, JsonSchemaFormat):
        chosen = request.output_format
        config["format"] = {"type": "json_schema", "schema": chosen.schema, **own(chosen.extra)}
    if config:
        body["output_config"] = config
