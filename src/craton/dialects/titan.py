r"""Amazon Titan's bodies: text (one prompt in, one result out) and text embeddings, V1 and V2.

Source: Amazon Bedrock User Guide, "Amazon Titan Text models" and "Amazon Titan Embeddings Text".
The conversational form `User: …\nBot:` is taken apart into turns; any other text is one user turn.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings, EmbeddingType, signs
from craton.dialects.invoke_format import Members, MembersReader
from craton.dialects.prompt_text import Turn, answer_text, conversation, event_text, turns_of
from craton.kernel.errors import EngineFailed, Unsupported
from craton.messages import (
    Answer,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    Usage,
)

NAME = "Titan's text body"
EMBEDDING_NAME = "Titan's embedding body"
Filled = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class TextGenerationConfig(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How to generate."""

    maxTokenCount: Annotated[int, Meta(ge=1)] | None = None  # noqa: N815 - the wire's name
    stopSequences: list[Filled] | None = None  # noqa: N815 - the wire's name
    temperature: Share | None = None
    topP: Share | None = None  # noqa: N815 - the wire's name


class TitanTextBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of a request for text."""

    inputText: Filled  # noqa: N815 - the wire's name
    textGenerationConfig: TextGenerationConfig | None = None  # noqa: N815 - the wire's name


class TitanEmbeddingBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of a request for a vector; V1 has the text alone."""

    inputText: Filled  # noqa: N815 - the wire's name
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    normalize: bool = True
    embeddingTypes: list[Literal["float", "binary"]] | None = None  # noqa: N815 - the wire's name


class _Result(msgspec.Struct):
    tokenCount: int  # noqa: N815 - the wire's name
    outputText: str  # noqa: N815 - the wire's name
    completionReason: str  # noqa: N815 - the wire's name


class _Results(msgspec.Struct):
    inputTextTokenCount: int  # noqa: N815 - the wire's name
    results: Annotated[list[_Result], Meta(min_length=1)]


_TEXTS = MembersReader(TitanTextBody, NAME)
_EMBEDDINGS = MembersReader(TitanEmbeddingBody, EMBEDDING_NAME)
_encode = msgspec.json.Encoder().encode
_REASONS = {
    StopReason.MAX_TOKENS: "LENGTH",
    StopReason.CONTEXT_WINDOW_EXCEEDED: "LENGTH",
    StopReason.STOP_SEQUENCE: "STOP_CRITERIA_MET",
    StopReason.CONTENT_FILTERED: "CONTENT_FILTERED",
    StopReason.GUARDRAIL_INTERVENED: "CONTENT_FILTERED",
}
_FINISH = "FINISH"
_READ_REASONS = {
    "LENGTH": StopReason.MAX_TOKENS,
    "STOP_CRITERIA_MET": StopReason.STOP_SEQUENCE,
    "CONTENT_FILTERED": StopReason.CONTENT_FILTERED,
}


# --- text ---------------------------------------------------------------------------------------


def read_request(members: Members, model: str, *, stream: bool) -> Request:
    """Read a request for text; BadRequest names the member that is wrong."""
    body = _TEXTS.read(members)
    config = body.textGenerationConfig or TextGenerationConfig()
    system, messages = conversation(read_prompt(body.inputText))
    return Request(
        model=model,
        messages=messages,
        system=system,
        stream=stream,
        max_tokens=config.maxTokenCount,
        temperature=config.temperature,
        top_p=config.topP,
        stop_sequences=config.stopSequences or [],
    )


def write_request(request: Request) -> bytes:
    """The body of a request for text; Unsupported names what it has no form for."""
    turns = turns_of(request, NAME)
    if any(role is Role.SYSTEM for role, _ in turns):
        raise Unsupported(f"{NAME} has no system prompt. Write it into the user's text.")
    config = TextGenerationConfig(
        maxTokenCount=request.max_tokens,
        stopSequences=request.stop_sequences or None,
        temperature=request.temperature,
        topP=request.top_p,
    )
    is_plain = config == TextGenerationConfig()
    return _encode(
        TitanTextBody(
            inputText=write_prompt(turns), textGenerationConfig=None if is_plain else config
        )
    )


def write_answer(answer: Answer, request: Request, stamp: Stamp) -> bytes:  # noqa: ARG001 - the seam's signature
    """The body of a whole answer."""
    usage = answer.metadata.usage
    result = _Result(usage.output_tokens, answer_text(answer), _reason(answer.stop))
    return _encode(_Results(usage.prompt_tokens, [result]))


def read_answer(body: bytes) -> Answer:
    """Read the body of a whole answer; EngineFailed where it isn't one."""
    try:
        read = msgspec.json.decode(body, type=_Results)
    except msgspec.MsgspecError as error:
        raise EngineFailed(
            f"The model's server sent an answer that is not Titan's: {error}"
        ) from None
    result = read.results[0]
    reason = _READ_REASONS.get(result.completionReason, StopReason.END_TURN)
    usage = Usage(input_tokens=read.inputTextTokenCount, output_tokens=result.tokenCount)
    return Answer(
        start=MessageStart(),
        content=[Text(text=result.outputText)],
        stop=MessageStop(stop_reason=reason),
        metadata=Metadata(usage=usage),
    )


class TitanParts:
    """Writes a streamed answer as parts. The last tells the counts: an event may be many tokens."""

    def __init__(self, request: Request, stamp: Stamp) -> None:
        del request, stamp
        self._stop: MessageStop | None = None

    def write(self, event: Event) -> list[bytes]:
        """The parts of one event; may be none."""
        if isinstance(event, MessageStop):
            self._stop = event
        elif isinstance(event, Metadata):
            assert self._stop is not None, "Metadata came before MessageStop"
            return [self._part("", event.usage, _reason(self._stop))]
        elif text := event_text(event):
            return [self._part(text, None, None)]
        return []

    @staticmethod
    def _part(text: str, usage: Usage | None, reason: str | None) -> bytes:
        return _encode(
            {
                "outputText": text,
                "index": 0,
                "totalOutputTextTokenCount": None if usage is None else usage.output_tokens,
                "completionReason": reason,
                "inputTextTokenCount": None if usage is None else usage.prompt_tokens,
            }
        )


def _reason(stop: MessageStop) -> str:
    return _REASONS.get(stop.stop_reason, _FINISH)


_SPEAKER = re.compile(r"(?:\A|\n)(User|Bot):")
_SPEAKERS = {"User": Role.USER, "Bot": Role.ASSISTANT}


def read_prompt(text: str) -> list[Turn]:
    """The turns of a text in the conversational form; else one turn of the user's."""
    pieces = _SPEAKER.split(text)
    if pieces[0] or len(pieces) < 4 or not text.rstrip().endswith("Bot:"):
        return [(Role.USER, text)]
    turns = [
        (_SPEAKERS[speaker], said.strip())
        for speaker, said in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    turns.pop()  # the empty one that asks for an answer
    if turns[0][0] is not Role.USER or not all(said for _, said in turns):
        return [(Role.USER, text)]
    return turns


def write_prompt(turns: list[Turn]) -> str:
    """The turns in the conversational form; one turn alone stands as it is."""
    if len(turns) == 1 and turns[0][0] is Role.USER:
        return turns[0][1]
    lines = [f"{'User' if role is Role.USER else 'Bot'}: {said}" for role, said in turns]
    return "\n".join([*lines, "Bot:"])


# --- embeddings ---------------------------------------------------------------------------------


def read_embedding_request(members: Members, model: str) -> EmbeddingRequest:
    """Read a request for a vector; BadRequest names the member that is wrong."""
    body = _EMBEDDINGS.read(members)
    return EmbeddingRequest(
        model=model,
        texts=[body.inputText],
        dimensions=body.dimensions,
        normalize=body.normalize,
        types=tuple(EmbeddingType(name) for name in body.embeddingTypes or ()),
    )


def write_embeddings(embeddings: Embeddings, request: EmbeddingRequest, stamp: Stamp) -> bytes:  # noqa: ARG001 - the seam's signature
    """The body of the answer: V2's, of which V1's is a part."""
    (vector,) = embeddings.vectors
    by_type: dict[str, Any] = {}
    for form in request.types or (EmbeddingType.FLOAT,):
        by_type[form.value] = vector if form is EmbeddingType.FLOAT else signs(vector)
    return _encode(
        {
            "embedding": vector,
            "embeddingsByType": by_type,
            "inputTextTokenCount": embeddings.input_tokens,
        }
    )
