"""What the formats of one prompt and one text (Llama, Titan) share."""

from craton.kernel.errors import Unsupported
from craton.messages import (
    Answer,
    Block,
    Event,
    Message,
    Request,
    Role,
    SystemBlock,
    Text,
    TextDelta,
)
from craton.messages.blocks import CitedText, Refusal

Turn = tuple[Role, str]


def conversation(turns: list[Turn]) -> tuple[list[SystemBlock], list[Message]]:
    """The system prompt and the messages of turns as a template names them."""
    system: list[SystemBlock] = []
    messages: list[Message] = []
    for role, text in turns:
        if role is Role.SYSTEM and not messages:
            system.append(Text(text=text))
        else:
            messages.append(Message(role=role, content=[Text(text=text)]))
    return system, messages


def turns_of(request: Request, name: str) -> list[Turn]:
    """The turns of a conversation of texts; Unsupported names what else it has."""
    turns: list[Turn] = [(Role.SYSTEM, _plain(block, name)) for block in request.system]
    turns += [
        (message.role, "\n".join(_plain(block, name) for block in message.content))
        for message in request.messages
    ]
    asked = {
        "tools": request.tools,
        "an output format": request.output_format,
        "more than one choice": request.choices not in (None, 1),
        "logprobs": request.logprobs is not None,
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise Unsupported(f"{name} has no form for {what}. Leave it out.")
    return turns


def _plain(block: Block | SystemBlock, name: str) -> str:
    if not isinstance(block, Text):
        kind = str(type(block).__struct_config__.tag)
        raise Unsupported(f"{name} carries text only; the request has a {kind} block.")
    return block.text


def answer_text(answer: Answer) -> str:
    """The text of an answer; reasoning and what isn't text have no place in these formats."""
    texts: list[str] = []
    for block in answer.content:
        match block:
            case Text(text=text) | Refusal(text=text):
                texts.append(text)
            case CitedText(passages=passages):
                texts += passages
            case _:
                pass
    return "".join(texts)


def event_text(event: Event) -> str:
    """The text that an event adds to the answer; may be empty."""
    return event.text if isinstance(event, TextDelta) else ""
