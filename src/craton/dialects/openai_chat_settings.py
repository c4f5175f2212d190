"""What only OpenAI's own wire carries, for a model behind another one.

A body may ask for things that the conversation model has no place for: they ride in
`Request.extra["openai"]` to an upstream that speaks chat completions. Any other engine would pass
them over in silence, so they are refused by name before it is asked.
"""

from typing import Any, cast

import msgspec

from craton.dialects.members import Json
from craton.dialects.openai_chat_parts import DIALECT, own
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import Opaque
from craton.messages.request import Request
from craton.messages.tools import Tool, ToolChoiceByName, ToolEntry

_FORMS = {"max_completion_tokens", "stop", "stream_options", "top_k", "response_format"}
"""Known members that stand in `extra` only to tell in which form they came."""

_HINTS = {
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
}
"""Members that ask nothing of the answer: about caching, abuse, and OpenAI's own records."""

_NOTHING: dict[str, Any] = {
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
}
"""Values that ask for what every model does."""


def without_own(request: Request) -> Request:
    """The same request for an engine that doesn't speak chat completions.

    Unsupported names the first member that such an engine can't heed. A choice among allowed tools
    becomes a choice among all tools of a request that has only these.
    """
    extra = request.extra
    if extra is not None:
        for name, value in extra.get(DIALECT, {}).items():
            if name in _FORMS or name in _HINTS or value in (None, _NOTHING.get(name)):
                continue
            raise Unsupported(
                f"`{name}`: is not served by the model {request.model!r}. Leave it out, or choose "
                "a model behind a server that speaks OpenAI's chat completions."
            )
    if request.tools:
        for index, tool in enumerate(request.tools):
            if isinstance(tool, Opaque) and tool.dialect == DIALECT:
                raise Unsupported(
                    f"`tools[{index}].type`: {tool.kind!r} tools are not served by the model "
                    f"{request.model!r}. Send function tools."
                )
    choice = request.tool_choice
    if choice is None or choice.extra is None:
        return request
    form = own(choice.extra)
    if isinstance(choice, ToolChoiceByName) and form.get("type") == "custom":
        raise Unsupported(
            f"`tool_choice.type`: custom tools are not served by the model {request.model!r}."
        )
    allowed = form.get("allowed_tools")
    if allowed is None:
        return request
    return msgspec.structs.replace(
        request,
        tools=_only(request.tools, allowed),
        tool_choice=msgspec.structs.replace(choice, extra=None),
    )


def _only(tools: list[ToolEntry], allowed: Json) -> list[ToolEntry]:
    """The tools that are allowed, in their own order; BadRequest for one that is none of them."""
    names: set[str] = set()
    for tool in allowed["tools"]:
        function = tool.get("function")
        name = cast("Json", function).get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise Unsupported(
                "`tool_choice.allowed_tools.tools`: only functions, each by its name, are served "
                "here."
            )
        names.add(name)
    unknown = names - {tool.name for tool in tools if isinstance(tool, Tool)}
    if unknown:
        raise BadRequest(
            f"`tool_choice.allowed_tools.tools`: {min(unknown)!r} is none of the request's tools."
        )
    return [tool for tool in tools if not isinstance(tool, Tool) or tool.name in names]
