"""Meta Llama's body on Bedrock: one prompt in, one generation out.

Source: Amazon Bedrock User Guide, "Meta Llama models". A prompt that is written in one of Llama's
own templates (Llama 2's `[INST]`, Llama 3's `<|start_header_id|>`, Llama 4's `<|header_start|>`) is
taken apart into the conversation it stands for, since another model has another template. Any other
prompt is one user turn.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from craton.dialects.dialect import Stamp
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

NAME = "Llama's body"
Share = Annotated[float, Meta(ge=0, le=1)]


class LlamaBody(msgspec.Struct, kw_only=True):
    """The body of a request."""

    prompt: Annotated[str, Meta(min_length=1)]
    max_gen_len: Annotated[int, Meta(ge=1)] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    images: list[Any] | None = None


class _Generation(msgspec.Struct):
    generation: str
    prompt_token_count: int
    generation_token_count: int
    stop_reason: str


_REQUESTS = MembersReader(LlamaBody, NAME)
_encode = msgspec.json.Encoder().encode
_ROLES = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_LENGTH = (StopReason.MAX_TOKENS, StopReason.CONTEXT_WINDOW_EXCEEDED)


def read_request(members: Members, model: str, *, stream: bool) -> Request:
    """Read a request body; BadRequest or Unsupported names the member that is wrong."""
    body = _REQUESTS.read(members)
    if body.images:
        raise Unsupported("`images`: are not served in Llama's body. Send text, or use Converse.")
    system, messages = conversation(read_prompt(body.prompt))
    return Request(
        model=model,
        messages=messages,
        system=system,
        stream=stream,
        max_tokens=body.max_gen_len,
        temperature=body.temperature,
        top_p=body.top_p,
    )


def write_request(request: Request) -> bytes:
    """The body of a request, its prompt in Llama 3's template; Unsupported names what it lacks."""
    if request.stop_sequences:
        raise Unsupported(f"{NAME} has no stop sequences. Leave them out.")
    return _encode(
        LlamaBody(
            prompt=write_prompt(turns_of(request, NAME)),
            max_gen_len=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
        )
    )


def write_answer(answer: Answer, request: Request, stamp: Stamp) -> bytes:  # noqa: ARG001 - the seam's signature
    """The body of a whole answer."""
    usage = answer.metadata.usage
    return _encode(
        _Generation(
            answer_text(answer),
            usage.prompt_tokens,
            usage.output_tokens,
            _stop_reason(answer.stop),
        )
    )


def read_answer(body: bytes) -> Answer:
    """Read the body of a whole answer; EngineFailed where it isn't one."""
    try:
        read = msgspec.json.decode(body, type=_Generation)
    except msgspec.MsgspecError as error:
        raise EngineFailed(
            f"The model's server sent an answer that is not Llama's: {error}"
        ) from None
    reason = StopReason.MAX_TOKENS if read.stop_reason == "length" else StopReason.END_TURN
    return Answer(
        start=MessageStart(),
        content=[Text(text=read.generation)],
        stop=MessageStop(stop_reason=reason),
        metadata=Metadata(
            usage=Usage(
                input_tokens=read.prompt_token_count, output_tokens=read.generation_token_count
            )
        ),
    )


class LlamaParts:
    """Writes a streamed answer as parts. The last tells the counts: an event may be many tokens."""

    def __init__(self, request: Request, stamp: Stamp) -> None:
        del request, stamp
        self._prompt_tokens: int | None = None
        self._stop: MessageStop | None = None

    def write(self, event: Event) -> list[bytes]:
        """The parts of one event; may be none."""
        if isinstance(event, MessageStart):
            self._prompt_tokens = event.usage.prompt_tokens if event.usage else None
        elif isinstance(event, MessageStop):
            self._stop = event
        elif isinstance(event, Metadata):
            assert self._stop is not None, "Metadata came before MessageStop"
            usage = event.usage
            return [
                self._part("", usage.prompt_tokens, usage.output_tokens, _stop_reason(self._stop))
            ]
        elif text := event_text(event):
            prompt_tokens, self._prompt_tokens = self._prompt_tokens, None
            return [self._part(text, prompt_tokens, None, None)]
        return []

    @staticmethod
    def _part(
        text: str, prompt_tokens: int | None, output_tokens: int | None, reason: str | None
    ) -> bytes:
        return _encode(
            {
                "generation": text,
                "prompt_token_count": prompt_tokens,
                "generation_token_count": output_tokens,
                "stop_reason": reason,
            }
        )


def _stop_reason(stop: MessageStop) -> str:
    return "length" if stop.stop_reason in _LENGTH else "stop"


# --- prompts in Llama's templates ---------------------------------------------------------------

# Llama 3 and 4 spell the same three marks differently: a header's begin and end, the turn's end.
_HEADED = re.compile(
    r"(?:<\|start_header_id\|>|<\|header_start\|>)\s*(\w+)\s*(?:<\|end_header_id\|>|<\|header_end\|>)"
    r"(.*?)"
    r"(?:<\|eot_id\|>|<\|eot\|>|\Z)",
    re.DOTALL,
)
_BEGIN = "<|begin_of_text|>"
_INSTRUCTED = re.compile(
    r"(?:<s>)?\s*\[INST\](.*?)\[/INST\](.*?)(?:</s>|(?=<s>|\[INST\])|\Z)", re.DOTALL
)
_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>(.*)\Z", re.DOTALL)


def read_prompt(prompt: str) -> list[Turn]:
    """The turns that a prompt stands for; one of the user's if it is in no template of Llama's."""
    text = prompt.strip().removeprefix(_BEGIN).lstrip()
    turns: list[Turn] | None = None
    if text.startswith(("<|start_header_id|>", "<|header_start|>")):
        turns = _read_headed(text)
    elif text.startswith(("[INST]", "<s>")):
        turns = _read_instructed(text)
    return turns or [(Role.USER, prompt)]


def _read_headed(text: str) -> list[Turn] | None:
    turns: list[Turn] = []
    end = 0
    while end < len(text):
        match = _HEADED.match(text, end)
        role = _ROLES.get(match[1]) if match is not None else None
        if match is None or role is None:
            return None
        turns.append((role, match[2].strip()))
        end = match.end()
        while end < len(text) and text[end].isspace():
            end += 1
    return _asked(turns)


def _read_instructed(text: str) -> list[Turn] | None:
    turns: list[Turn] = []
    end = 0
    while end < len(text):
        match = _INSTRUCTED.match(text, end)
        if match is None or match.end() == end:
            return None
        asked = match[1]
        system = _SYSTEM.match(asked) if not turns else None
        if system is not None:
            turns.append((Role.SYSTEM, system[1].strip()))
            asked = system[2]
        turns += [(Role.USER, asked.strip()), (Role.ASSISTANT, match[2].strip())]
        end = match.end()
    return _asked(turns)


def _asked(turns: list[Turn]) -> list[Turn] | None:
    """The turns without the empty one that asks for an answer; None if no user speaks in them."""
    if turns and turns[-1] == (Role.ASSISTANT, ""):
        turns.pop()
    speaks = any(role is Role.USER for role, _ in turns)
    return turns if speaks and all(text for _, text in turns) else None


def write_prompt(turns: list[Turn]) -> str:
    """The turns in Llama 3's template, ready for an answer or for the rest of the last turn."""
    parts = [_BEGIN]
    for number, (role, text) in enumerate(turns, 1):
        is_left_open = number == len(turns) and role is Role.ASSISTANT
        end = "" if is_left_open else "<|eot_id|>"
        parts.append(f"<|start_header_id|>{role.value}<|end_header_id|>\n\n{text}{end}")
    if not turns or turns[-1][0] is not Role.ASSISTANT:
        parts.append("<|start_header_id|>assistant<|end_header_id|>\n\n")
    return "".join(parts)
