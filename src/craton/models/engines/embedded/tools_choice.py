"""Which tools a request lets a model call, and what its answer must look like: read and checked."""

from functools import lru_cache
from typing import assert_never

import msgspec

from craton.kernel.errors import BadRequest
from craton.messages import Request, Role, Text
from craton.messages.blocks import CachePoint, Opaque, ToolUse
from craton.messages.request import JsonSchemaFormat
from craton.messages.tools import AnyChoice, NoneChoice, SystemTool, Tool, ToolChoiceByName
from craton.models.engines.embedded.prompt_turns import refuse_half_characters, unsupported
from craton.models.engines.embedded.tools import asked_for
from craton.models.engines.embedded.tools_grammar import (
    Callable,
    Constraint,
    Shape,
    Wanted,
    constraint,
)

_CONSTRAINTS_KEPT = 64


def constraint_of(request: Request, *, must_help: bool) -> Constraint | None:
    """What holds the answer to the request's tools and shape; None where it is free.

    `must_help`: decide for the model where its user asks for a tool by name.
    """
    if request.tools or request.output_format is not None or request.tool_choice is not None:
        wanted = _wanted_of(request)
        return _made(_helped(request, wanted) if must_help else wanted)
    return _made(Wanted(bars_calls=True)) if _holds_calls(request) else None


def _wanted_of(request: Request) -> Wanted:
    """What the answer may hold; BadRequest where choice and tools don't fit together."""
    tools: list[Callable] = []
    for number, tool in enumerate(request.tools):
        match tool:
            case Tool(name=name):
                if not name:
                    raise BadRequest(f"tools[{number}] has no name. Give it one.")
                if any(name == other.name for other in tools):
                    raise BadRequest(f"Two tools have the name {name!r}. Rename one of them.")
                refuse_half_characters(name, f"The name of tools[{number}]")
                tools.append(Callable(name, tool.schema, tool.strict is True))
            case CachePoint():
                pass
            case SystemTool(name=name):
                raise unsupported(f"system tool {name!r}")
            case Opaque(kind=kind):
                raise unsupported(f"{kind} tool")
            case _:
                assert_never(tool)
    shape = request.output_format
    wanted_shape = None
    if isinstance(shape, JsonSchemaFormat):
        wanted_shape = Shape(True if shape.schema is None else shape.schema, shape.strict is True)
    elif shape is not None:
        wanted_shape = Shape()
    callable_tools, must_call, one_only = _chosen(request, tools)
    return Wanted(
        tools=callable_tools,
        must_call=must_call,
        may_call_more=request.parallel_tool_use is not False and not one_only,
        shape=None if must_call else wanted_shape,
        bars_calls=bool(tools) or _holds_calls(request),
    )


def _chosen(request: Request, tools: list[Callable]) -> tuple[list[Callable], bool, bool]:
    """The tools that may be called, whether one must be, and whether it is one call at most."""
    choice = request.tool_choice
    if choice is None:
        return tools, False, False
    match choice:
        case NoneChoice():
            return [], False, False
        case ToolChoiceByName(name=name):
            chosen = [tool for tool in tools if tool.name == name]
            if not chosen:
                raise BadRequest(
                    f"The tool choice names {name!r}, which is none of the request's tools."
                )
            return chosen, True, True
        case AnyChoice():
            if not tools:
                raise BadRequest("The tool choice asks for a call, and there are no tools.")
            # One is what was asked for: a small model that may go on repeats itself to the limit.
            return tools, True, request.parallel_tool_use is not True
        case _:
            return tools, False, False


def _helped(request: Request, wanted: Wanted) -> Wanted:
    last = request.messages[-1]
    texts = [block.text for block in last.content if isinstance(block, Text)]
    if last.role != Role.USER or len(texts) < len(last.content) or wanted.must_call:
        return wanted
    name = asked_for("\n".join(texts), [tool.name for tool in wanted.tools])
    if name is None:
        return wanted
    tools = [tool for tool in wanted.tools if tool.name == name]
    return msgspec.structs.replace(
        wanted, tools=tools, must_call=True, may_call_more=False, shape=None
    )


def _made(wanted: Wanted) -> Constraint | None:
    try:
        key = msgspec.json.encode(wanted)
    except (UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(
            "A tool's schema holds half a surrogate pair or is nested too deep. Mend it."
        ) from error
    return _made_of(key)


@lru_cache(maxsize=_CONSTRAINTS_KEPT)
def _made_of(wanted: bytes) -> Constraint | None:
    """A conversation sends the same tools with each turn: their grammar is made once."""
    return constraint(msgspec.json.decode(wanted, type=Wanted))


def _holds_calls(request: Request) -> bool:
    return any(type(block) is ToolUse for message in request.messages for block in message.content)
