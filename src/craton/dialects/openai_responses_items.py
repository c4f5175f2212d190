"""Items of OpenAI's Responses: wire to conversation model, and back for what a model generates.

What a model says in one turn is several items (reasoning, messages, calls) and one `Message`; so
are the outputs of its calls. Ids of items are made of the response's id and their place in it, so
that the response of any item is known from its id.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from craton.dialects import media
from craton.dialects.members import Json, invalid, wrong
from craton.dialects.openai_chat_messages import read_tool_call
from craton.dialects.openai_chat_parts import read_part
from craton.dialects.openai_chat_wire import (
    AudioPart,
    FileBody,
    FilePart,
    FunctionCall,
    FunctionToolCall,
    ImagePart,
    ImageUrl,
)
from craton.dialects.openai_chat_wire import InputAudio as ChatAudio
from craton.dialects.openai_responses_wire import (
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudioPart,
    InputFilePart,
    InputImagePart,
    InputTextPart,
    Loose,
    MessageItem,
    ReasoningItem,
    RefusalPart,
)
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages.blocks import (
    Block,
    Document,
    FileSource,
    Image,
    Message,
    Reasoning,
    Refusal,
    Role,
    SystemBlock,
    Text,
    ToolResult,
    ToolResultPart,
    UrlSource,
)

RESPONSE, MESSAGE, CALL, OUTPUT, REASONING = "resp_", "msg_", "fc_", "fco_", "rs_"
_PREFIXES = {
    "message": MESSAGE,
    "function_call": CALL,
    "function_call_output": OUTPUT,
    "reasoning": REASONING,
}
_HEX = 32
"""Digits of a request id without its dashes; the rest of an item's id is its place."""
_SIGNED, _REDACTED = "signed:", "redacted:"

L = TypeVar("L", bound=Loose)


def response_id(request_id: str) -> str:
    """The wire's id of an answer, from Craton's id of the request."""
    return RESPONSE + request_id.replace("-", "")


def item_id(prefix: str, response: str, index: int, *, given: bool = False) -> str:
    """The id of an output item, or of one that was `given` as input."""
    place = f"i{index:04x}" if given else f"{index:04x}"
    return f"{prefix}{response.removeprefix(RESPONSE)}{place}"


def response_of(item: str) -> str:
    """The id of the response that made an item of this id."""
    return RESPONSE + item.partition("_")[2][:_HEX]


def kind_of(item: Any, path: str) -> str:  # noqa: ANN401 - a JSON value
    """An item's type. A message may leave it out, and so may a reference, which is but an id."""
    if type(item) is not dict:
        raise wrong(path, "expected an object")
    kind: Any = item.get("type")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - JSON
    if kind is None:
        return "message" if "role" in item else "item_reference"
    if not isinstance(kind, str):
        raise wrong(f"{path}.type", "expected a string")
    return kind


class Conversation:
    """Collects items into the instructions and messages of a request."""

    def __init__(self) -> None:
        self.system: list[SystemBlock] = []
        self.messages: list[Message] = []
        self._said: list[Block] = []  # by the model, in the turn that is open
        self._results: list[Block] = []
        self._calls: set[str] = set()

    def add(self, item: Json, path: str) -> None:
        """Take the next item; `path` is where it stands, for errors."""
        kind = kind_of(item, path)
        match kind:
            case "message":
                self._add_message(_loose(item, MessageItem, path), path)
            case "function_call":
                call = _loose(item, FunctionCallItem, path)
                self._calls.add(call.call_id)
                function = FunctionCall(name=call.name, arguments=call.arguments)
                self._say([read_tool_call(FunctionToolCall(id=call.call_id, function=function))])
            case "function_call_output":
                output = _loose(item, FunctionCallOutputItem, path)
                if output.call_id not in self._calls:
                    raise wrong(
                        f"{path}.call_id",
                        f"no call {output.call_id!r} comes before its output. Send the "
                        "`function_call` item as well, or continue the response that made it",
                    )
                self._end_turn()
                self._results.append(_read_result(output, path))
            case "reasoning":
                block = _read_reasoning(_loose(item, ReasoningItem, path), path)
                self._say([block] if block is not None else [])
            case _:
                raise Unsupported(
                    f"`{path}.type`: {kind!r} items are not served: Craton runs no built-in tools "
                    "and no compaction yet. Leave the item out."
                )

    def close(self) -> None:
        """All items were added."""
        self._end_turn()
        self._end_results()

    def _add_message(self, message: MessageItem, path: str) -> None:
        blocks = _read_content(message, path)
        match message.role:
            case "assistant":
                self._say(blocks)
            case "user":
                self.close()
                self.messages.append(Message(role=Role.USER, content=blocks))
            case "system" | "developer":
                texts = [block for block in blocks if isinstance(block, Text)]
                if len(texts) != len(blocks):
                    raise wrong(f"{path}.content", "expected text alone in instructions")
                self.close()
                if self.messages:
                    self.messages.append(Message(role=Role.SYSTEM, content=[*texts]))
                else:
                    self.system += texts
            case _:
                raise wrong(f"{path}.role", "expected `user`, `assistant`, `system` or `developer`")

    def _say(self, blocks: Sequence[Block]) -> None:
        self._end_results()
        self._said += blocks

    def _end_turn(self) -> None:
        if self._said:
            self.messages.append(Message(role=Role.ASSISTANT, content=self._said))
            self._said = []

    def _end_results(self) -> None:
        if self._results:
            self.messages.append(Message(role=Role.USER, content=self._results))
            self._results = []


def _loose(value: Json, kind: type[L], path: str) -> L:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _at(path, invalid(error)) from None


def _at(path: str, error: BadRequest) -> BadRequest:
    """The same error, with the path of the object that its own path starts from."""
    return BadRequest(error.message.replace("`", f"`{path}.", 1))


def _read_content(message: MessageItem, path: str) -> list[Block]:
    if isinstance(message.content, str):
        return [Text(text=message.content)]
    return [
        _read_part(part, f"{path}.content[{index}]") for index, part in enumerate(message.content)
    ]


def _read_text(part: Json, path: str) -> Block:
    return Text(text=_loose(part, InputTextPart, path).text)


def _read_refusal(part: Json, path: str) -> Block:
    return Refusal(text=_loose(part, RefusalPart, path).refusal)


def _read_image(part: Json, path: str) -> Block:
    image = _loose(part, InputImagePart, path)
    if (image.image_url is None) == (image.file_id is None):
        raise wrong(path, "expected exactly one of `image_url` and `file_id`")
    if image.file_id is not None:
        return Image(source=FileSource(file_id=image.file_id), detail=image.detail)
    url = ImageUrl(url=image.image_url or "", detail=image.detail)
    return read_part(ImagePart(image_url=url), path)


def _read_file(part: Json, path: str) -> Block:
    file = _loose(part, InputFilePart, path)
    if file.file_url is None:
        body = FileBody(file_data=file.file_data, file_id=file.file_id, filename=file.filename)
        return read_part(FilePart(file=body), path)
    if file.file_data is not None or file.file_id is not None:
        raise wrong(path, "expected exactly one of `file_data`, `file_id` and `file_url`")
    return Document(source=UrlSource(url=file.file_url), name=file.filename)


def _read_audio(part: Json, path: str) -> Block:
    audio = _loose(part, InputAudioPart, path).input_audio
    chat = AudioPart(input_audio=ChatAudio(data=audio.data, format=audio.format))
    return read_part(chat, path)


_PARTS: dict[str, Callable[[Json, str], Block]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "summary_text": _read_text,
    "reasoning_text": _read_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_audio,
}


def _read_part(part: Json, path: str) -> Block:
    kind = part.get("type")
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise Unsupported(
            f"`{path}.type`: {kind!r} is not served here. There are {', '.join(_PARTS)}."
        )
    return read(part, path)


def _read_result(item: FunctionCallOutputItem, path: str) -> ToolResult:
    if isinstance(item.output, str):
        return ToolResult(tool_use_id=item.call_id, content=[Text(text=item.output)])
    content: list[ToolResultPart] = []
    for index, part in enumerate(item.output):
        where = f"{path}.output[{index}]"
        block = _read_part(part, where)
        if not isinstance(block, Text | Image | Document):
            raise wrong(f"{where}.type", "expected `input_text`, `input_image` or `input_file`")
        content.append(block)
    return ToolResult(tool_use_id=item.call_id, content=content)


def _read_reasoning(item: ReasoningItem, path: str) -> Reasoning | None:
    """What was thought, from its text, else its summary; None where there is neither."""
    sealed = item.encrypted_content
    if sealed is not None and sealed.startswith(_REDACTED):
        redacted = media.from_base64(sealed.removeprefix(_REDACTED))
        if redacted is None:
            raise wrong(f"{path}.encrypted_content", "expected what Craton gave, unchanged")
        return Reasoning(redacted=redacted)
    parts = item.content or item.summary
    if not parts:
        return None
    where = f"{path}.{'content' if item.content else 'summary'}"
    texts = [_loose(part, InputTextPart, f"{where}[{n}]").text for n, part in enumerate(parts)]
    signature = None
    if sealed is not None and sealed.startswith(_SIGNED):
        signature = sealed.removeprefix(_SIGNED)
    return Reasoning(text="".join(texts), signature=signature)


def sealed_reasoning(signature: str | None, redacted: bytes | None) -> str | None:
    """What only its maker can read of reasoning: the `encrypted_content` that carries it back."""
    if redacted is not None:
        return _REDACTED + media.to_base64(redacted)
    return None if signature is None else _SIGNED + signature


def reference_path(index: int) -> str:
    """Where an item of the input stands."""
    return f"input[{index}]"


def given_items(given: str | Sequence[Json] | None, response: str) -> list[Json]:
    """The input as it is kept and listed: every item whole, and each with an id."""
    if given is None:
        return []
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    items: list[Json] = []
    for index, item in enumerate(given):
        kind = kind_of(item, reference_path(index))
        whole: Json = {**item, "type": kind}
        if not isinstance(whole.get("id"), str):
            whole["id"] = item_id(_PREFIXES.get(kind, "item_"), response, index, given=True)
        if kind == "message":
            _complete_message(whole)
        if kind != "reasoning" and whole.get("status") is None:
            whole["status"] = "completed"
        items.append(whole)
    return items


def _complete_message(message: Json) -> None:
    """Content as parts. What is wrong in it stays, to be refused by whoever reads it."""
    content: Any = message.get("content")
    if isinstance(content, str):
        kind = "output_text" if message.get("role") == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    if isinstance(content, list):
        message["content"] = [_complete_part(part) for part in cast("list[Any]", content)]


def _complete_part(part: Any) -> Any:  # noqa: ANN401 - a JSON value
    """A part of a message with all members that its readers expect."""
    if not isinstance(part, dict) or cast("Json", part).get("type") != "output_text":
        return cast("Any", part)
    return {"annotations": [], "logprobs": [], **cast("Json", part)}
