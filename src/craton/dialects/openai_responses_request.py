"""Requests of OpenAI's Responses: bytes to a `Creation`, and that to a `Request`.

Two steps, since a request may continue a response that is kept, or refer to items of some: first
the body is read, which tells what is needed; then, with that at hand, the conversation is built.

What the answer's document repeats of the request (`instructions`, `tools`, `text`, …) rides in
`Request.extra["openai_responses"]`, in the form it is repeated in. Members of chat completions that
the conversation model doesn't know ride where that dialect keeps them, so that an upstream gets
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from craton.dialects.members import (
    BodyReader,
    Json,
    Wire,
    check_nesting,
    check_portable,
    invalid,
    malformed,
    members,
    wrong,
)
from craton.dialects.openai_chat_parts import DIALECT as CHAT
from craton.dialects.openai_chat_wire import Named
from craton.dialects.openai_responses_items import (
    Conversation,
    given_items,
    kind_of,
    reference_path,
)
from craton.dialects.openai_responses_wire import (
    AllowedChoice,
    CreateBody,
    FunctionChoice,
    FunctionTool,
    ObjectFormat,
    ReasoningSettings,
    ReferenceItem,
    SchemaFormat,
    TextSettings,
)
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import Extra, SystemBlock, Text
from craton.messages.request import JsonFormat, JsonSchemaFormat, OutputFormat, Request, Thinking
from craton.messages.tools import (
    AnyChoice,
    AutoChoice,
    NoneChoice,
    Tool,
    ToolChoice,
    ToolChoiceByName,
)

DIALECT = "openai_responses"
LOGPROBS = "message.output_text.logprobs"

_BODIES: BodyReader[CreateBody] = BodyReader(CreateBody)
_TOOLS: BodyReader[FunctionTool] = BodyReader(FunctionTool)
_encode = msgspec.json.encode
_decode = msgspec.json.decode

W = TypeVar("W", bound=Wire)

_NOT_BUILT = {
    "background": "answers in the background are not built",
    "background_options": "answers in the background are not built",
    "conversation": "conversations are not built; use `previous_response_id` or send the items",
    "context_management": "compaction is not built; leave out what no longer matters",
    "prompt": "prompt templates are not built; write the text out",
    "moderation": "moderation is not built",
    "image": "image compression is not built",
    "access_programs": "Craton has no access programs",
}
"""Members that ask for what isn't there, with what to say of each."""

_INCLUDES = {
    LOGPROBS,
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    # Of tools that are refused before: there is nothing to include.
    "web_search_call.action.sources",
    "web_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
}
_SUBSETS = {"auto": AutoChoice, "required": AnyChoice}


@dataclass(frozen=True, slots=True)
class Creation:
    """A request as it came; `request` makes the conversation of it."""

    body: CreateBody
    tools: list[FunctionTool]
    echo: Json
    """What the answer's document says of the request."""
    store: bool
    """Whether the answer is to be kept: where the body doesn't say, as the server has it."""

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.body.model

    @property
    def previous(self) -> str | None:
        """The response to continue."""
        return self.body.previous_response_id

    def references(self) -> list[str]:
        """Ids of the items that the input refers to."""
        return [
            item["id"]
            for item in _items(self.body.input)
            if kind_of(item, "input") == "item_reference"
        ]

    def given(self, response: str, referred: Mapping[str, Json]) -> list[Json]:
        """The input's items, whole: as a response of this id keeps them.

        `referred` has the items that are referred to, by their ids.
        """
        source = self.body.input
        if isinstance(source, list):
            source = [_follow(item, index, referred) for index, item in enumerate(source)]
        return given_items(source, response)

    def request(
        self,
        before: Sequence[Json],
        given: Sequence[Json],
        defaults: Json,
        *,
        may_be_empty: bool = False,
    ) -> Request:
        """The request to an engine: the items of the responses before it, then its own.

        `defaults` is what the document says of settings that were left out. No engine takes an
        empty conversation; one that only prepares for more `may_be_empty`.
        """
        conversation = Conversation()
        system: list[SystemBlock] = []
        if self.body.instructions:
            system.append(Text(text=self.body.instructions))
        for index, item in enumerate(before):
            conversation.add(item, f"previous_response_id[{index}]")
        for index, item in enumerate(given):
            conversation.add(item, reference_path(index))
        conversation.close()
        if not conversation.messages and not before and not may_be_empty:
            raise wrong("input", "is required: send text or at least one item")
        request = Request(
            model=self.body.model,
            messages=conversation.messages,
            system=system + conversation.system,
            extra=self._extra(defaults),
            **_read_settings(self.body, self.tools),
        )
        check_portable(request)
        return request

    def _extra(self, defaults: Json) -> Extra:
        body = self.body
        rides: Json = {}
        if body.text is not None and body.text.verbosity is not None:
            rides["verbosity"] = body.text.verbosity
        for name in ("safety_identifier", "prompt_cache_key", "prompt_cache_retention"):
            value: str | None = getattr(body, name)
            if value is not None:
                rides[name] = value
        if body.prompt_cache_options is not None:
            rides["prompt_cache_options"] = body.prompt_cache_options
        extra: Extra = {DIALECT: {**defaults, **self.echo}}
        if rides:
            extra[CHAT] = rides
        return extra


def _items(given: str | list[Any] | None) -> list[Any]:
    return given if isinstance(given, list) else []


def _follow(item: Any, index: int, referred: Mapping[str, Json]) -> Json:  # noqa: ANN401 - JSON
    path = reference_path(index)
    if kind_of(item, path) != "item_reference":
        return item
    id = item["id"]
    if id not in referred:
        raise BadRequest(
            f"`{path}.id`: there is no item {id!r} in the responses that this account keeps. Send "
            "the item itself; responses asked for with `store: false` are not kept."
        )
    return referred[id]


class CompactBody(msgspec.Struct):
    """As much of the body of a compaction as is read before it is refused."""

    model: Named


def read_compaction(body: bytes) -> CompactBody:
    """Read the body of a compaction; BadRequest where it names no model."""
    try:
        return msgspec.json.decode(body, type=CompactBody)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(body, error) from None


def read_creation(body: bytes, *, stores: bool = True) -> Creation:
    """Read a request body; BadRequest or Unsupported names the member that is wrong.

    `stores` is whether the server keeps an answer that the body says nothing of.
    """
    wire = _BODIES.read(body)
    check_nesting(body)
    _refuse(wire)
    for index, item in enumerate(_items(wire.input)):
        path = reference_path(index)
        if kind_of(item, path) == "item_reference":
            try:
                msgspec.convert(item, ReferenceItem)
            except msgspec.ValidationError:
                raise wrong(f"{path}.id", "expected the id of an item") from None
    tools = [_read_tool(tool, index) for index, tool in enumerate(wire.tools or ())]
    store = stores if wire.store is None else wire.store
    return Creation(wire, tools, _echo(wire, tools, store=store), store)


def _refuse(wire: CreateBody) -> None:
    for name, why in _NOT_BUILT.items():
        if getattr(wire, name):
            raise Unsupported(f"`{name}`: {why}.")
    _refuse_unknown(wire, "")
    for part, path in ((wire.text, "text."), (wire.reasoning, "reasoning.")):
        if part is not None:
            _refuse_unknown(part, path)
    if wire.text is not None and wire.text.format is not None:
        _refuse_unknown(wire.text.format, "text.format.")
    if wire.truncation not in (None, "disabled"):
        raise Unsupported(
            f"`truncation`: {wire.truncation!r} is not served: Craton drops no part of a "
            "conversation by itself. Leave it out, and shorten the input where it is too long."
        )
    for name in wire.include or ():
        if name not in _INCLUDES:
            raise wrong("include", f"{name!r} is nothing that can be included")
    if wire.stream_options is not None:
        if not wire.stream:
            raise wrong("stream_options", "is allowed only where `stream` is true")
        _refuse_unknown(wire.stream_options, "stream_options.")
        if wire.stream_options.include_obfuscation:
            raise Unsupported(
                "`stream_options.include_obfuscation`: Craton adds no padding to streams. Leave it "
                "out, and encrypt the connection."
            )
    if wire.reasoning is not None and wire.reasoning.mode not in (None, "standard"):
        raise Unsupported(f"`reasoning.mode`: {wire.reasoning.mode!r} is not served.")


def _refuse_unknown(wire: Wire, path: str) -> None:
    for name in members(wire) or ():
        raise wrong(path + name, "is no member of this request that Craton knows. Leave it out")


def _echo(wire: CreateBody, tools: Sequence[FunctionTool], *, store: bool) -> Json:
    """What the answer's document repeats. Sampling that was left out is for the engine to say."""
    echo: Json = {
        "instructions": wire.instructions,
        "previous_response_id": wire.previous_response_id,
        "max_output_tokens": wire.max_output_tokens,
        "max_tool_calls": wire.max_tool_calls,
        "metadata": wire.metadata or {},
        "parallel_tool_calls": wire.parallel_tool_calls is not False,
        "reasoning": _echo_reasoning(wire.reasoning),
        "store": store,
        "text": _echo_text(wire.text),
        "tool_choice": wire.tool_choice if wire.tool_choice is not None else "auto",
        "tools": [_echo_tool(tool) for tool in tools],
        "top_logprobs": wire.top_logprobs or 0,
        "truncation": "disabled",
        "background": False,
        "safety_identifier": wire.safety_identifier,
        "prompt_cache_key": wire.prompt_cache_key,
        "frequency_penalty": wire.frequency_penalty or 0,
        "presence_penalty": wire.presence_penalty or 0,
    }
    for name in ("temperature", "top_p", "user"):
        value = getattr(wire, name)
        if value is not None:
            echo[name] = value
    return echo


def _echo_reasoning(settings: ReasoningSettings | None) -> Json:
    if settings is None:
        return {"effort": None, "summary": None}
    return {"effort": settings.effort, "summary": settings.summary or settings.generate_summary}


def _echo_text(settings: TextSettings | None) -> Json:
    chosen = settings.format if settings is not None else None
    match chosen:
        case SchemaFormat():
            form: Json = {
                "type": "json_schema",
                "name": chosen.name,
                "description": chosen.description,
                "schema": chosen.schema,
                "strict": bool(chosen.strict),
            }
        case ObjectFormat():
            form = {"type": "json_object"}
        case _:
            form = {"type": "text"}
    text: Json = {"format": form}
    if settings is not None and settings.verbosity is not None:
        text["verbosity"] = settings.verbosity
    return text


def _echo_tool(tool: FunctionTool) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }


def _read_settings(wire: CreateBody, tools: Sequence[FunctionTool]) -> Json:
    """The members of `Request` beside the conversation itself that the caller set."""
    found: Json = {}
    if wire.stream:
        found["stream"] = True
    if wire.max_output_tokens is not None:
        found["max_tokens"] = wire.max_output_tokens
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        value = getattr(wire, name)
        if value is not None:
            found[name] = value
    if tools:
        found["tools"] = [
            Tool(
                name=tool.name,
                schema=tool.parameters,
                description=tool.description,
                strict=tool.strict,
            )
            for tool in tools
        ]
    if wire.tool_choice is not None:
        found["tool_choice"] = _read_tool_choice(wire.tool_choice)
    if wire.parallel_tool_calls is not None:
        found["parallel_tool_use"] = wire.parallel_tool_calls
    output_format = _read_format(wire.text)
    if output_format is not None:
        found["output_format"] = output_format
    if wire.reasoning is not None and wire.reasoning.effort is not None:
        found["thinking"] = Thinking(effort=wire.reasoning.effort)
    if wire.top_logprobs or LOGPROBS in (wire.include or ()):
        found["logprobs"] = wire.top_logprobs or 0
    if wire.metadata:
        found["metadata"] = wire.metadata
    if wire.service_tier is not None:
        found["service_tier"] = wire.service_tier
    if wire.user is not None:
        found["user"] = wire.user
    return found


def _read_tool(tool: Json, index: int) -> FunctionTool:
    path, kind = f"tools[{index}]", tool.get("type")
    if kind != "function":
        raise Unsupported(
            f"`{path}.type`: {kind!r} tools are not served: Craton runs no tools of its own yet. "
            "Send function tools, and run them yourself."
        )
    return _sub(_TOOLS, tool, path)


def _sub(reader: BodyReader[W], value: Json, path: str) -> W:
    """Read an object inside the body, with its path before what is wrong in it."""
    try:
        return reader.read(_encode(value))
    except BadRequest as error:
        raise BadRequest(error.message.replace("`", f"`{path}.", 1)) from None


_FUNCTION_CHOICES: BodyReader[FunctionChoice] = BodyReader(FunctionChoice)
_ALLOWED_CHOICES: BodyReader[AllowedChoice] = BodyReader(AllowedChoice)


def _read_tool_choice(choice: str | Json) -> ToolChoice:
    if isinstance(choice, str):
        match choice:
            case "auto":
                return AutoChoice()
            case "none":
                return NoneChoice()
            case "required":
                return AnyChoice()
            case _:
                raise wrong("tool_choice", "expected `none`, `auto`, `required` or an object")
    match choice.get("type"):
        case "function":
            return ToolChoiceByName(name=_sub(_FUNCTION_CHOICES, choice, "tool_choice").name)
        case "allowed_tools":
            allowed = _sub(_ALLOWED_CHOICES, choice, "tool_choice")
            make = _SUBSETS.get(allowed.mode)
            if make is None:
                raise wrong("tool_choice.mode", "expected `auto` or `required`")
            names = [_allowed_name(tool, index) for index, tool in enumerate(allowed.tools)]
            tools = [{"type": "function", "function": {"name": name}} for name in names]
            return make(extra={CHAT: {"allowed_tools": {"mode": allowed.mode, "tools": tools}}})
        case kind:
            raise Unsupported(
                f"`tool_choice.type`: {kind!r} is not served: Craton runs no tools of its own yet."
            )


def _allowed_name(tool: Json, index: int) -> str:
    return _sub(_FUNCTION_CHOICES, tool, f"tool_choice.tools[{index}]").name


def _read_format(settings: TextSettings | None) -> OutputFormat | None:
    chosen = settings.format if settings is not None else None
    match chosen:
        case ObjectFormat():
            return JsonFormat()
        case SchemaFormat():
            return JsonSchemaFormat(
                schema=chosen.schema,
                name=chosen.name,
                description=chosen.description,
                strict=chosen.strict,
            )
        case _:
            return None
