"""What Bedrock's callers may ask of any model, and what comes of it here.

    guardrail                       refused: none are built
    promptVariables                 ignored, as Bedrock does for a model: see below
    additionalModelRequestFields    of a local model: known names are honoured, others refused;
                                    of a remote one: passed on as they are
    requestMetadata                 logged

Where the model is another Bedrock's, all of them are passed on: they are its to judge.

Prompt variables fill the gaps of a prompt that Prompt management keeps, and such a prompt is named
as the model. A plain model has no gaps to fill: Bedrock's own words are that the field is ignored
then, and programs that always send it work there. No prompts are kept here, so one that is named is
refused as a model that doesn't exist.

Request metadata goes into the log beside the request's id, which is what Bedrock has it for.
"""

from typing import Any, cast

import msgspec

from craton.apis.exchange import Exchange
from craton.dialects.anthropic_messages_betas import without_betas
from craton.dialects.members import invalid
from craton.kernel.errors import BadRequest, Unsupported
from craton.kernel.log import Log
from craton.messages import Request
from craton.messages.request import Thinking
from craton.models.card import ModelCard, RemoteSource, RemoteWire

METADATA_ENTRIES_MAX = 16
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


class ModelFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The additional fields that a local model knows, under the names that labs give them."""

    top_k: int | None = None
    topK: int | None = None  # noqa: N815 - Nova's name
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    thinking: "ThinkingField | None" = None
    inferenceConfig: "NovaFields | None" = None  # noqa: N815 - Nova's name


class ThinkingField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Anthropic's `thinking`."""

    type: str
    budget_tokens: int | None = None


class NovaFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nova's `inferenceConfig`, as far as Converse has no member for it."""

    topK: int | None = None  # noqa: N815 - Nova's name


def is_plain(request: Request) -> bool:
    """Whether a request has none of the members that `settled` judges, as nearly all have."""
    return (
        request.additional_fields is None
        and request.guardrail is None
        and not request.prompt_variables
    )


def settled(request: Request, card: ModelCard) -> Request:
    """The request as its engine takes it; BadRequest or Unsupported names what can't be served."""
    source = card.source
    if isinstance(source, RemoteSource) and source.wire is RemoteWire.BEDROCK:
        return request
    if request.guardrail is not None and request.guardrail.identifier:
        raise Unsupported(
            f"Guardrails are not built yet in Craton, so {request.guardrail.identifier!r} can't be "
            "applied. Leave it out, or apply it before and after."
        )
    if request.prompt_variables:
        request = msgspec.structs.replace(request, prompt_variables={})
    if isinstance(source, RemoteSource):
        return request if source.wire is RemoteWire.ANTHROPIC else without_betas(request)
    request = without_betas(request)  # each member is judged by itself here
    return request if request.additional_fields is None else _honoured(request)


def _honoured(request: Request) -> Request:
    """The request with the additional fields of a local model in their own places."""
    try:
        fields = msgspec.convert(request.additional_fields, ModelFields)
    except msgspec.ValidationError as error:
        known = ", ".join(ModelFields.__struct_fields__)
        raise Unsupported(
            f"`additionalModelRequestFields` can't be served: {invalid(error).message} A local "
            f"model knows {known}."
        ) from None
    thinking = request.thinking
    if fields.thinking is not None:
        thinking = Thinking(mode=fields.thinking.type, budget_tokens=fields.thinking.budget_tokens)
    elif fields.reasoning_effort is not None:
        thinking = Thinking(effort=fields.reasoning_effort)
    top_k = fields.top_k if fields.top_k is not None else fields.topK
    if top_k is None and fields.inferenceConfig is not None:
        top_k = fields.inferenceConfig.topK
    found: dict[str, Any] = {
        "top_k": top_k,
        "seed": fields.seed,
        "frequency_penalty": fields.frequency_penalty,
        "presence_penalty": fields.presence_penalty,
    }
    return msgspec.structs.replace(
        request,
        additional_fields=None,
        thinking=thinking,
        **{name: value for name, value in found.items() if value is not None},
    )


def read_metadata(text: str) -> dict[str, str]:
    """The request metadata of InvokeModel's header: a JSON object of strings."""
    try:
        metadata = _decode_metadata(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadRequest(
            "`requestMetadata`: must be a JSON object whose values are strings."
        ) from None
    if len(metadata) > METADATA_ENTRIES_MAX:
        raise BadRequest(
            f"`requestMetadata`: has {len(metadata)} entries; at most {METADATA_ENTRIES_MAX} are "
            "allowed."
        )
    return metadata


def log_metadata(log: Log, exchange: Exchange, request: Request) -> None:
    """Write what the caller noted of its request into the log."""
    metadata = cast("dict[str, object]", request.metadata)
    log.info("request_metadata", request_id=exchange.request_id, metadata=metadata)
