"""Requests of OpenAI's chat completions: bytes to `Request`, and back."""

from typing import Any, assert_never, cast

import msgspec
from msgspec import UNSET

from craton.dialects.members import (
    BodyReader,
    Json,
    UnknownKind,
    check_nesting,
    check_portable,
    members,
    plain,
    wrong,
)
from craton.dialects.openai_chat_messages import (
    MESSAGE,
    read_message,
    read_system,
    write_message,
    write_system,
)
from craton.dialects.openai_chat_parts import DIALECT, extra_of, own
from craton.dialects.openai_chat_wire import (
    AllowedChoice,
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    CustomChoice,
    DeveloperMessage,
    FullChatRequest,
    FunctionChoice,
    JsonObjectFormat,
    SchemaFormat,
    SystemMessage,
    TextFormat,
    UserMessage,
)
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import CachePoint, Message, Opaque, Role, SystemBlock, Text
from craton.messages.request import (
    JsonFormat,
    JsonSchemaFormat,
    OutputFormat,
    Request,
    Thinking,
)
from craton.messages.tools import (
    AnyChoice,
    AutoChoice,
    NoneChoice,
    Tool,
    ToolChoice,
    ToolChoiceByName,
    ToolEntry,
)

_REQUESTS: BodyReader[ChatRequest] = BodyReader(ChatRequest, FullChatRequest)

_RIDING = tuple(
    name for name in FullChatRequest.__struct_fields__ if name not in ChatRequest.__struct_fields__
)
_encode = msgspec.json.encode

# In Python 3.11 looking a member of an enumeration up costs as much as making a small struct.
_USER, _ASSISTANT, _SYSTEM = Role.USER, Role.ASSISTANT, Role.SYSTEM


def read_request(body: bytes) -> Request:
    """Read a request body; BadRequest or Unsupported names the member that is wrong."""
    wire = _REQUESTS.read(body)
    system: list[SystemBlock] = []
    messages: list[Message] = []
    carries_json = False
    for index, message in enumerate(wire.messages):
        text = _plain_text(message)
        if text is not None:
            kind = type(message)
            if kind is UserMessage:
                messages.append(Message(role=_USER, content=[Text(text=text)]))
            elif kind is AssistantMessage:
                messages.append(Message(role=_ASSISTANT, content=[Text(text=text)]))
            elif messages:
                messages.append(Message(role=_SYSTEM, content=[Text(text=text)]))
            else:
                system.append(Text(text=text, extra={MESSAGE: {}} if system else None))
        elif isinstance(message, SystemMessage | DeveloperMessage) and not messages:
            system += read_system(message, is_first=not system)
        else:
            if isinstance(message, AssistantMessage) and message.tool_calls:
                carries_json = True
            messages.append(read_message(message, f"messages[{index}]"))
    form: Json = {}
    settings = _read_settings(wire, form)
    if wire.tools or wire.response_format is not None:
        carries_json = True
    is_full = type(wire) is FullChatRequest
    rides = _read_riding(wire) if is_full else None
    # What the caller left out is left to the struct: to say it would cost a microsecond.
    request = Request(
        model=wire.model,
        messages=messages,
        system=system,
        stream_usage=_read_stream_usage(wire, form),
        extra=extra_of(rides, form) if rides or form else None,
        **settings,
    )
    if carries_json or is_full:
        check_nesting(body)
        check_portable(request)
    return request


def _plain_text(message: ChatMessage) -> str | None:
    """The text of a message that is nothing but text, as nearly every one is.

    The general way gives the same for these, at three times the cost.
    """
    content = message.content
    if type(content) is not str or message.rest is not UNSET:
        return None
    if type(message) is UserMessage or type(message) is SystemMessage:
        return content if message.name is None else None
    if (
        type(message) is AssistantMessage
        and message.tool_calls is None
        and message.name is None
        and message.refusal is None
        and message.reasoning_content is None
        and message.reasoning is None
        and message.audio is None
        and message.function_call is None
    ):
        return content
    return None


def _read_settings(wire: ChatRequest, form: Json) -> Json:
    """The members of `Request` beside the conversation itself that the caller set."""
    found: Json = {}
    if wire.stream:
        found["stream"] = True
    if wire.max_tokens is not None or wire.max_completion_tokens is not None:
        found["max_tokens"] = _read_max_tokens(wire, form)
    if wire.temperature is not None:
        found["temperature"] = wire.temperature
    if wire.top_p is not None:
        found["top_p"] = wire.top_p
    if wire.top_k is not None:
        found["top_k"] = _read_top_k(wire.top_k, form)
    if wire.seed is not None:
        found["seed"] = wire.seed
    if wire.frequency_penalty is not None:
        found["frequency_penalty"] = wire.frequency_penalty
    if wire.presence_penalty is not None:
        found["presence_penalty"] = wire.presence_penalty
    if wire.stop is not None:
        found["stop_sequences"] = _read_stop(wire.stop, form)
    if wire.tools:
        found["tools"] = _read_tools(wire)
    if wire.tool_choice is not None:
        found["tool_choice"] = _read_tool_choice(wire)
    if wire.parallel_tool_calls is not None:
        found["parallel_tool_use"] = wire.parallel_tool_calls
    if wire.response_format is not None:
        found["output_format"] = _read_format(wire, form)
    if wire.reasoning_effort is not None:
        found["thinking"] = Thinking(effort=wire.reasoning_effort)
    if wire.n is not None:
        found["choices"] = wire.n
    if wire.logprobs is not None or wire.top_logprobs is not None:
        found["logprobs"] = _read_logprobs(wire)
    if wire.metadata:
        found["metadata"] = wire.metadata
    if wire.service_tier is not None:
        found["service_tier"] = wire.service_tier
    if wire.user is not None:
        found["user"] = wire.user
    return found


def _read_riding(wire: ChatRequest) -> Json | None:
    """The members that the conversation model has no place for."""
    for name, instead in (("functions", "tools"), ("function_call", "tool_choice")):
        if getattr(wire, name) is not None:
            raise Unsupported(f"`{name}`: is deprecated and not served. Send `{instead}` instead.")
    rides: Json = dict(members(wire) or {})
    for name in _RIDING:
        value = getattr(wire, name)
        if value is not None:
            rides[name] = value
    return rides or None


def _read_stream_usage(wire: ChatRequest, form: Json) -> bool:
    options = wire.stream_options
    if not wire.stream:
        if options is not None:
            raise wrong("stream_options", "is allowed only where `stream` is true")
        return True
    if options is None:
        return False
    rest = members(options)
    if rest is not None or not options.include_usage:
        form["stream_options"] = rest or {}
    return bool(options.include_usage)


def _read_max_tokens(wire: ChatRequest, form: Json) -> int | None:
    if wire.max_completion_tokens is None:
        return wire.max_tokens
    if wire.max_tokens is not None:
        raise wrong("max_tokens", "can't stand beside `max_completion_tokens`: send one of them")
    form["max_completion_tokens"] = True
    return wire.max_completion_tokens


def _read_top_k(top_k: int, form: Json) -> int | None:
    """VLLM's and SGLang's member; theirs is also -1 or 0, for no limit, which None says here."""
    if top_k > 0:
        return top_k
    if top_k < -1:
        raise wrong("top_k", "expected an integer >= 1, or -1 for no limit")
    form["top_k"] = top_k
    return None


def _read_stop(stop: str | list[str], form: Json) -> list[str]:
    if isinstance(stop, list):
        return stop
    if not stop:
        raise wrong("stop", "expected a string of at least one character")
    form["stop"] = "string"
    return [stop]


def _read_logprobs(wire: ChatRequest) -> int | None:
    if wire.logprobs:
        return wire.top_logprobs or 0
    if wire.top_logprobs:
        raise wrong("top_logprobs", "is allowed only where `logprobs` is true")
    return None


def _read_tools(wire: ChatRequest) -> list[ToolEntry]:
    entries: list[ToolEntry] = []
    for tool in wire.tools or ():
        if isinstance(tool, UnknownKind):
            value = plain(tool)
            entries.append(Opaque(dialect=DIALECT, kind=value["type"], value=value))
            continue
        function = tool.function
        rest = members(function)
        entries.append(
            Tool(
                name=function.name,
                schema=function.parameters,
                description=function.description,
                strict=function.strict,
                extra=extra_of(members(tool), None if rest is None else {"function": rest}),
            )
        )
    return entries


def _read_tool_choice(wire: ChatRequest) -> ToolChoice:
    match wire.tool_choice:
        case "auto":
            return AutoChoice()
        case "none":
            return NoneChoice()
        case "required":
            return AnyChoice()
        case FunctionChoice() as choice:
            return ToolChoiceByName(name=choice.function.name, extra=extra_of(members(choice)))
        case CustomChoice() as choice:
            extra = extra_of(members(choice), {"type": "custom"})
            return ToolChoiceByName(name=choice.custom.name, extra=extra)
        case AllowedChoice() as choice:
            allowed = choice.allowed_tools
            extra = extra_of(members(choice), {"allowed_tools": plain(allowed)})
            if allowed.mode == "auto":
                return AutoChoice(extra=extra)
            if allowed.mode == "required":
                return AnyChoice(extra=extra)
            raise wrong("tool_choice.allowed_tools.mode", "expected `auto` or `required`")
        case _:
            raise wrong("tool_choice", "expected `none`, `auto`, `required` or an object")


def _read_format(wire: ChatRequest, form: Json) -> OutputFormat | None:
    chosen = wire.response_format
    match chosen:
        case None:
            return None
        case TextFormat():
            form["response_format"] = plain(chosen)
            return None
        case JsonObjectFormat():
            return JsonFormat(extra=extra_of(members(chosen)))
        case SchemaFormat():
            body = chosen.json_schema
            rest = members(body)
            return JsonSchemaFormat(
                schema=body.schema,
                name=body.name,
                description=body.description,
                strict=body.strict,
                extra=extra_of(members(chosen), None if rest is None else {"json_schema": rest}),
            )


_FORMS = ("max_completion_tokens", "stop", "stream_options")
"""Known members that stand in a request's `extra` only to tell how they came."""


def write_request(request: Request) -> bytes:
    """The body of a request; Unsupported names what this wire has no form for."""
    came = own(request.extra)
    messages = write_system(request.system) if request.system else []
    for message in request.messages:
        messages += write_message(message)
    body: Json = {"model": request.model, "messages": messages}
    if request.stream:
        body["stream"] = True
        if request.stream_usage or "stream_options" in came:
            options = came.get("stream_options", {})
            body["stream_options"] = {**options, "include_usage": request.stream_usage}
    if request.max_tokens is not None:
        name = "max_completion_tokens" if "max_completion_tokens" in came else "max_tokens"
        body[name] = request.max_tokens
    _write_sampling(request, body, came)
    if request.tools or request.tool_choice is not None or request.parallel_tool_use is not None:
        _write_tools(request, body)
    if request.output_format is not None:
        body["response_format"] = _write_format(request.output_format)
    if request.thinking is not None:
        effort = request.thinking.effort
        if effort is None and request.thinking.mode == "disabled":
            effort = "none"
        if effort is not None:
            body["reasoning_effort"] = effort
    if request.logprobs is not None:
        body["logprobs"] = True
        if request.logprobs:
            body["top_logprobs"] = request.logprobs
    if came:
        for name, value in came.items():
            if name not in _FORMS:
                body.setdefault(name, value)
    additional: Any = request.additional_fields
    if isinstance(additional, dict):
        # Members for the model itself, as Converse takes them: here they stand at the top.
        body = {**cast("Json", additional), **body}
    if request.prompt_variables:
        raise Unsupported("OpenAI chat completions have no prompt variables. Write the text out.")
    try:
        return _encode(body)
    except (UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"The request can't be written as JSON: {error}.") from None


def _write_sampling(request: Request, body: Json, came: Json) -> None:
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.seed is not None:
        body["seed"] = request.seed
    if request.frequency_penalty is not None:
        body["frequency_penalty"] = request.frequency_penalty
    if request.presence_penalty is not None:
        body["presence_penalty"] = request.presence_penalty
    if request.choices is not None:
        body["n"] = request.choices
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.user is not None:
        body["user"] = request.user
    if request.metadata:
        body["metadata"] = request.metadata
    stop = request.stop_sequences
    if stop:
        body["stop"] = stop[0] if len(stop) == 1 and came.get("stop") == "string" else stop


def _write_tools(request: Request, body: Json) -> None:
    tools = [_write_tool(entry) for entry in request.tools if not isinstance(entry, CachePoint)]
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = _write_tool_choice(request.tool_choice)
    if request.parallel_tool_use is not None:
        body["parallel_tool_calls"] = request.parallel_tool_use


def _write_tool(entry: ToolEntry) -> Json:
    match entry:
        case Tool():
            extra = own(entry.extra)
            function: Json = {"name": entry.name}
            if entry.description is not None:
                function["description"] = entry.description
            if entry.schema is not None:
                function["parameters"] = entry.schema
            if entry.strict is not None:
                function["strict"] = entry.strict
            function |= extra.get("function", {})
            rest = {name: value for name, value in extra.items() if name != "function"}
            return {"type": "function", "function": function, **rest}
        case Opaque(dialect="openai"):
            return entry.value
        case Opaque():
            what = f"{entry.dialect} {entry.kind}"
        case _:
            what = type(entry).__struct_config__.tag
    raise Unsupported(f"OpenAI chat completions can't carry a {what} tool. Leave it out.")


def _write_tool_choice(choice: ToolChoice) -> str | Json:
    extra = own(choice.extra)
    if isinstance(choice, ToolChoiceByName):
        kind = extra.get("type", "function")
        rest = {name: value for name, value in extra.items() if name != "type"}
        return {"type": kind, kind: {"name": choice.name}, **rest}
    if "allowed_tools" in extra:
        return {"type": "allowed_tools", **extra}
    match choice:
        case AutoChoice():
            return "auto"
        case AnyChoice():
            return "required"
        case NoneChoice():
            return "none"
        case _:
            assert_never(choice)


def _write_format(chosen: OutputFormat) -> Json:
    extra = own(chosen.extra)
    if isinstance(chosen, JsonFormat):
        return {"type": "json_object", **extra}
    # The wire asks for a name where the model does not.
    body: Json = {"name": chosen.name or "answer"}
    if chosen.description is not None:
        body["description"] = chosen.description
    if chosen.schema is not None:
        body["schema"] = chosen.schema
    if chosen.strict is not None:
        body["strict"] = chosen.strict
    body |= extra.get("json_schema", {})
    rest = {name: value for name, value in extra.items() if name != "json_schema"}
    return {"type": "json_schema", "json_schema": body, **rest}
