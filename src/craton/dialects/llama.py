"""Meta Llama's body on Bedrock: one prompt in, one generation out.

Source: Amazon Bedrock User Guide, "Meta Llama models". A prompt that is written in one of Llama's
own templates (Llama 2's `[INST]`, Llama 3's `<|start_header_id|>`, Llama 4's `<|header_start|>`) is
taken apart into the conversation it stands for, since another model has another template. Any other
prompt is one user turn.
"""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from craton.dialects import media
from craton.dialects.dialect import Stamp
from craton.dialects.invoke_format import Members, MembersReader
from craton.dialects.members import wrong
from craton.dialects.prompt_text import Turn, answer_text, conversation, event_text, turns_of
from craton.kernel.errors import EngineFailed, Unsupported
from craton.messages import (
    Answer,
    Block,
    Event,
    Message,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    Role,
    StopReason,
    Text,
    Usage,
)
from craton.messages.blocks import Image, InlineSource

NAME = "Llama's body"
Share = Annotated[float, Meta(ge=0, le=1)]


class LlamaBody(msgspec.Struct, kw_only=True):
    """The body of a request."""

    prompt: Annotated[str, Meta(min_length=1)]
    max_gen_len: Annotated[int, Meta(ge=1)] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    images: list[str] | UnsetType | None = UNSET
    """Pictures as base64; `<|image|>` marks the place of each in the prompt (Llama 3.2 on)."""


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
    system, messages = conversation(read_prompt(body.prompt))
    if body.images:
        messages = _with_images(messages, [_read_image(*each) for each in enumerate(body.images)])
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
    images: list[str] = []
    messages = [_marked(message, images) for message in request.messages]
    turns = turns_of(msgspec.structs.replace(request, messages=messages), NAME)
    return _encode(
        LlamaBody(
            prompt=write_prompt(turns),
            max_gen_len=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            images=images or UNSET,
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


# --- pictures ------------------------------------------------------------------------------------

_IMAGE = "<|image|>"
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"RIFF", "webp"),
)
"""How a file of each kind begins (RFC 2083, JFIF, GIF89a, RIFF): the body doesn't name it."""


def _read_image(index: int, text: str) -> Image:
    data = media.from_base64(text)
    if not data:
        raise wrong(f"images[{index}]", "expected a picture in base64")
    for begin, kind in _KINDS:
        if data.startswith(begin):
            return Image(source=InlineSource(data=data), format=kind)
    kinds = ", ".join(kind for _, kind in _KINDS)
    raise wrong(f"images[{index}]", f"is no picture of a kind known here: {kinds}")


def _with_images(messages: list[Message], images: list[Image]) -> list[Message]:
    """The conversation with its pictures where the prompt marks them.

    Without marks they come first in the last turn of the user's, before its text.
    """
    marks = sum(_text_of(message).count(_IMAGE) for message in messages)
    if marks not in (0, len(images)):
        raise wrong(
            "images", f"has {len(images)} pictures, and the prompt has {marks} marks `{_IMAGE}`"
        )
    if marks:
        waiting = iter(images)
        return [_in_places(message, waiting) for message in messages]
    last = max(place for place, message in enumerate(messages) if message.role is Role.USER)
    whole = msgspec.structs.replace(messages[last], content=[*images, *messages[last].content])
    return [*messages[:last], whole, *messages[last + 1 :]]


def _text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, Text))


def _in_places(message: Message, waiting: Iterator[Image]) -> Message:
    text = _text_of(message)
    if _IMAGE not in text:
        return message
    if message.role is not Role.USER:
        raise wrong("prompt", f"has `{_IMAGE}` outside the turns of the user's")
    before, *pieces = text.split(_IMAGE)
    content: list[Block] = [Text(text=before)] if before.strip() else []
    for piece in pieces:
        content.append(next(waiting))
        if piece.strip():
            content.append(Text(text=piece))
    return msgspec.structs.replace(message, content=content)


def _marked(message: Message, images: list[str]) -> Message:
    """The message with a mark for each picture, whose bytes are added to `images`."""
    if not any(isinstance(block, Image) for block in message.content):
        return message
    text: list[str] = []
    for block in message.content:
        match block:
            case Text():
                text.append(block.text)
            case Image(source=InlineSource(data=data)):
                text.append(_IMAGE)
                images.append(media.to_base64(data))
            case Image():
                raise Unsupported(f"{NAME} has pictures by their bytes only. Send the bytes.")
            case _:
                return message  # whoever writes turns refuses it by its kind
    return msgspec.structs.replace(message, content=[Text(text="".join(text))])


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
