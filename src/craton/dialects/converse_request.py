"""Converse requests, both ways.

Reading takes the operation's input as a document that has been checked against the service model:
member names as in the model, blobs as bytes. Writing makes the JSON body; the model's id goes into
the path and is the engine's to place.
"""

from typing import Any

import msgspec

from craton.dialects.converse_blocks import (
    read_block,
    read_cache_point,
    read_system_block,
    write_block,
    write_cache_point,
    write_opaque,
)
from craton.dialects.converse_members import (
    DIALECT,
    Members,
    only_member,
    optional,
    rest,
    with_rest,
)
from craton.dialects.members import check_nesting, check_portable
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import CachePoint, Extra, Message, Opaque, Role
from craton.messages.request import Guardrail, JsonFormat, JsonSchemaFormat, Request, Thinking
from craton.messages.tools import (
    AnyChoice,
    AutoChoice,
    NoneChoice,
    SystemTool,
    Tool,
    ToolChoice,
    ToolChoiceByName,
    ToolEntry,
)

_ROLES = {role.value: role for role in Role}
_KNOWN = frozenset(
    {
        "modelId",
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "guardrailConfig",
        "promptVariables",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "performanceConfig",
        "serviceTier",
        "outputConfig",
    }
)


def read_request(document: Members, *, stream: bool) -> Request:
    """Read the input of Converse, or of ConverseStream where `stream` is true."""
    settings: Members = {}
    unknown = {name: value for name, value in document.items() if name not in _KNOWN}
    for name, read in _READERS.items():
        member = document.get(name)
        if member is not None:
            left = read(member, settings)
            if left:
                unknown[name] = left
    return Request(
        model=document["modelId"],
        messages=[_read_message(message) for message in document.get("messages", ())],
        system=[read_system_block(block) for block in document.get("system", ())],
        stream=stream,
        additional_fields=document.get("additionalModelRequestFields"),
        response_fields=document.get("additionalModelResponseFieldPaths", []),
        metadata=document.get("requestMetadata", {}),
        extra={DIALECT: unknown} if unknown else None,
        **settings,
    )


def write_request(request: Request) -> Members:
    """The members of the input of Converse or ConverseStream, without `modelId`."""
    _refuse_what_converse_lacks(request)
    tools = [_write_tool(tool) for tool in request.tools]
    tool_config = optional(
        tools=tools or None,
        toolChoice=None if request.tool_choice is None else _write_choice(request.tool_choice),
    )
    inference = optional(
        maxTokens=request.max_tokens,
        temperature=request.temperature,
        topP=request.top_p,
        stopSequences=request.stop_sequences or None,
    )
    variables = {name: {"text": text} for name, text in request.prompt_variables.items()}
    document = optional(
        messages=[_write_message(message) for message in request.messages] or None,
        system=[write_block(block) for block in request.system] or None,
        inferenceConfig=inference or None,
        toolConfig=tool_config or None,
        guardrailConfig=None if request.guardrail is None else _write_guardrail(request.guardrail),
        additionalModelRequestFields=request.additional_fields,
        promptVariables=variables or None,
        additionalModelResponseFieldPaths=request.response_fields or None,
        requestMetadata=request.metadata or None,
        performanceConfig=None if request.latency is None else {"latency": request.latency},
        serviceTier=None if request.service_tier is None else {"type": request.service_tier},
        outputConfig=_write_output_config(request) or None,
    )
    return with_rest(document, request.extra)


def _refuse_what_converse_lacks(request: Request) -> None:
    """Converse leaves these to `additionalModelRequestFields`, whose names each model sets."""
    named = {
        "top_k": request.top_k,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "logprobs": request.logprobs,
        "n": None if request.choices == 1 else request.choices,
        "parallel_tool_use": None if request.parallel_tool_use is not False else False,
        "thinking": None
        if request.thinking is None
        else (request.thinking.mode or request.thinking.budget_tokens),
    }
    for name, value in named.items():
        if value is not None:
            raise Unsupported(
                f"Converse has no member for {name!r}, so this model can't be asked for it. Leave "
                "it out, or send it by the model's own name in additionalModelRequestFields."
            )


def _read_message(document: Members) -> Message:
    return Message(
        role=_ROLES[document["role"]],
        content=[read_block(block) for block in document["content"]],
        extra=rest(document, "role", "content"),
    )


def _write_message(message: Message) -> Members:
    document = {
        "role": message.role.value,
        "content": [write_block(block) for block in message.content],
    }
    return with_rest(document, message.extra)


# --- the configurations: each reader fills `settings` and returns what it didn't know -----------


def _left(extra: Extra | None) -> Members:
    return {} if extra is None else extra[DIALECT]


def _read_inference(document: Members, settings: Members) -> Members:
    settings["max_tokens"] = document.get("maxTokens")
    settings["temperature"] = document.get("temperature")
    settings["top_p"] = document.get("topP")
    settings["stop_sequences"] = document.get("stopSequences", [])
    return _left(rest(document, "maxTokens", "temperature", "topP", "stopSequences"))


def _read_tool_config(document: Members, settings: Members) -> Members:
    settings["tools"] = [_read_tool(tool) for tool in document["tools"]]
    choice = document.get("toolChoice")
    if choice is not None:
        settings["tool_choice"] = _read_choice(choice)
    return _left(rest(document, "tools", "toolChoice"))


def _read_guardrail(document: Members, settings: Members) -> Members:
    settings["guardrail"] = Guardrail(
        identifier=document.get("guardrailIdentifier"),
        version=document.get("guardrailVersion"),
        trace=document.get("trace"),
        stream_mode=document.get("streamProcessingMode"),
    )
    known = ("guardrailIdentifier", "guardrailVersion", "trace", "streamProcessingMode")
    return _left(rest(document, *known))


def _write_guardrail(guardrail: Guardrail) -> Members:
    return optional(
        guardrailIdentifier=guardrail.identifier,
        guardrailVersion=guardrail.version,
        trace=guardrail.trace,
        streamProcessingMode=guardrail.stream_mode,
    )


def _read_variables(document: Members, settings: Members) -> Members:
    variables = {name: value["text"] for name, value in document.items() if "text" in value}
    settings["prompt_variables"] = variables
    return {name: value for name, value in document.items() if name not in variables}


def _read_latency(document: Members, settings: Members) -> Members:
    settings["latency"] = document.get("latency")
    return _left(rest(document, "latency"))


def _read_tier(document: Members, settings: Members) -> Members:
    settings["service_tier"] = document["type"]
    return _left(rest(document, "type"))


def _read_output_config(document: Members, settings: Members) -> Members:
    effort, text_format = document.get("effort"), document.get("textFormat")
    if effort is not None:
        settings["thinking"] = Thinking(effort=effort)
    known = ["effort"]
    if (
        text_format is not None
        and text_format["type"] == "json_schema"
        and "jsonSchema" in text_format["structure"]
    ):
        settings["output_format"] = _read_json_schema(text_format["structure"]["jsonSchema"])
        known.append("textFormat")
    return _left(rest(document, *known))


def _read_json_schema(document: Members) -> JsonSchemaFormat:
    text: str = document["schema"]
    check_nesting(text.encode())
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(
            "The value at outputConfig.textFormat.structure.jsonSchema.schema is not JSON: "
            f"{error}. Send the JSON Schema as a string of JSON."
        ) from error
    output = JsonSchemaFormat(
        schema=schema,
        name=document.get("name"),
        description=document.get("description"),
        extra=rest(document, "schema", "name", "description"),
    )
    check_portable(output)
    return output


def _write_output_config(request: Request) -> Members:
    document: Members = {}
    output = request.output_format
    if isinstance(output, JsonFormat):
        raise Unsupported(
            "Converse has no output format 'any JSON object'. Send a JSON Schema instead."
        )
    if output is not None:
        schema = optional(
            schema=msgspec.json.encode(output.schema).decode(),
            name=output.name,
            description=output.description,
        )
        structure = {"jsonSchema": with_rest(schema, output.extra)}
        document["textFormat"] = {"type": "json_schema", "structure": structure}
    if request.thinking is not None and request.thinking.effort is not None:
        document["effort"] = request.thinking.effort
    return document


_READERS = {
    "inferenceConfig": _read_inference,
    "toolConfig": _read_tool_config,
    "guardrailConfig": _read_guardrail,
    "promptVariables": _read_variables,
    "performanceConfig": _read_latency,
    "serviceTier": _read_tier,
    "outputConfig": _read_output_config,
}


# --- tools --------------------------------------------------------------------------------------


def _read_tool(document: Members) -> ToolEntry:
    kind, value = only_member(document)
    if kind == "toolSpec" and "json" in value["inputSchema"]:
        return Tool(
            name=value["name"],
            schema=value["inputSchema"]["json"],
            description=value.get("description"),
            strict=value.get("strict"),
            extra=rest(value, "name", "inputSchema", "description", "strict"),
        )
    if kind == "systemTool":
        return SystemTool(name=value["name"], extra=rest(value, "name"))
    if kind == "cachePoint":
        return read_cache_point(value)
    return Opaque(dialect=DIALECT, kind=kind, value=value)


def _write_tool(tool: ToolEntry) -> Members:
    match tool:
        case Tool():
            specification = optional(
                name=tool.name,
                description=tool.description or None,
                inputSchema={"json": tool.schema},
                strict=tool.strict,
            )
            return {"toolSpec": with_rest(specification, tool.extra)}
        case SystemTool():
            return {"systemTool": with_rest({"name": tool.name}, tool.extra)}
        case CachePoint():
            return {"cachePoint": write_cache_point(tool)}
        case Opaque():
            return write_opaque(tool)


def _read_choice(document: Members) -> ToolChoice:
    kind, value = only_member(document)
    match kind:
        case "auto":
            return AutoChoice(extra=rest(value))
        case "any":
            return AnyChoice(extra=rest(value))
        case "tool":
            return ToolChoiceByName(name=value["name"], extra=rest(value, "name"))
        case _:
            raise Unsupported(f"The tool choice {kind!r} is not known here. Use auto, any or tool.")


def _write_choice(choice: ToolChoice) -> Members:
    content: dict[str, Any] = {}
    match choice:
        case AutoChoice():
            kind = "auto"
        case AnyChoice():
            kind = "any"
        case ToolChoiceByName():
            kind, content = "tool", {"name": choice.name}
        case NoneChoice():
            raise Unsupported(
                "Converse has no tool choice 'none'. Send the request without its tools."
            )
    return {kind: with_rest(content, choice.extra)}
