"""Content parts of OpenAI's chat completions: wire to conversation model, and back.

Under `extra["openai"]` of a block stand the members of its part that this model doesn't know, and
those of the object inside it under that object's name.
"""

from craton.dialects import media
from craton.dialects.members import Json, UnknownKind, Wire, members, plain, wrong
from craton.dialects.openai_chat_wire import (
    AudioPart,
    FilePart,
    ImagePart,
    RefusalPart,
    TextPart,
)
from craton.kernel.errors import Unsupported
from craton.messages.blocks import (
    Audio,
    Block,
    CitedText,
    Document,
    Extra,
    FileSource,
    GuardContent,
    Image,
    InlineSource,
    MediaSource,
    Opaque,
    Refusal,
    Text,
    UrlSource,
)

DIALECT = "openai"
PARTS = {"content": "parts"}


def extra_of(unknown: Json | None, form: Json | None = None) -> Extra | None:
    """The `extra` of a part: unknown members, and the forms that known ones came in."""
    if unknown is None and not form:
        return None
    return {DIALECT: {**(unknown or {}), **(form or {})}}


def own(extra: Extra | None) -> Json:
    """What this wire kept in a part's `extra`."""
    return extra.get(DIALECT, {}) if extra else {}


def read_part(part: Wire, path: str) -> Block:
    """One part of a message; `path` is where it stands, for errors."""
    match part:
        case TextPart():
            return Text(text=part.text, extra=extra_of(members(part)))
        case RefusalPart():
            return Refusal(text=part.refusal, extra=extra_of(members(part), PARTS))
        case ImagePart():
            return _read_image(part, path)
        case AudioPart():
            audio = part.input_audio
            return Audio(
                source=InlineSource(data=_bytes(audio.data, f"{path}.input_audio.data")),
                format=audio.format,
                extra=extra_of(members(part), inner_rests(input_audio=audio)),
            )
        case FilePart():
            return _read_file(part, path)
        case UnknownKind():
            value = plain(part)
            return Opaque(dialect=DIALECT, kind=value["type"], value=value)
        case _:
            raise AssertionError(f"a part of type {type(part).__name__}")


def inner_rests(**objects: Wire) -> Json:
    """What objects inside a part hold that isn't known, under their own names."""
    return {name: rest for name, wire in objects.items() if (rest := members(wire)) is not None}


def _bytes(text: str, path: str) -> bytes:
    data = media.from_base64(text)
    if data is None:
        raise wrong(path, "expected base64")
    return data


def _read_image(part: ImagePart, path: str) -> Image:
    image = part.image_url
    source: MediaSource
    kind = None
    if image.url[:5].lower() == "data:":
        kind, data = _read_data_url(image.url, f"{path}.image_url.url")
        source = InlineSource(data=data)
    else:
        source = UrlSource(url=image.url)
    return Image(
        source=source,
        format=kind,
        detail=image.detail,
        extra=extra_of(members(part), inner_rests(image_url=image)),
    )


def _read_data_url(url: str, path: str) -> tuple[str, bytes]:
    split = media.split_data_url(url)
    if split is None:
        raise wrong(path, "expected a data URL of the form `data:<media type>;base64,<data>`")
    return media.format_of(split[0]), _bytes(split[1], path)


def _read_file(part: FilePart, path: str) -> Document:
    file = part.file
    kind = None
    if (file.file_id is None) == (file.file_data is None):
        raise wrong(f"{path}.file", "expected exactly one of `file_id` and `file_data`")
    if file.file_id is not None:
        source: FileSource | InlineSource = FileSource(file_id=file.file_id)
    else:
        text = file.file_data or ""
        where = f"{path}.file.file_data"
        if text[:5].lower() == "data:":
            kind, data = _read_data_url(text, where)
        else:
            data = _bytes(text, where)
        source = InlineSource(data=data)
    return Document(
        source=source,
        name=file.filename,
        format=kind,
        extra=extra_of(members(part), inner_rests(file=file)),
    )


def write_text_part(block: Block) -> Json:
    """A part of a message that may hold only text; Unsupported names any other block."""
    match block:
        case Text():
            return {"type": "text", "text": block.text, **own(block.extra)}
        case CitedText():
            return {"type": "text", "text": "".join(block.passages)}
        case GuardContent(text=str(text)):
            return {"type": "text", "text": text}
        case Opaque(dialect="openai"):
            return block.value
        case _:
            raise unsupported(block)


def unsupported(block: Block) -> Unsupported:
    """The refusal to write a block that this wire has no form for."""
    kind = (
        f"{block.dialect} {block.kind}"
        if isinstance(block, Opaque)
        else type(block).__struct_config__.tag
    )
    return Unsupported(f"OpenAI chat completions can't carry a {kind} block. Leave it out.")


def write_user_part(block: Block) -> Json:
    """A part of a user's message; Unsupported names a block without a form."""
    match block:
        case Image():
            return _write_image(block)
        case Audio(source=InlineSource(data=data), format=str(kind)):
            audio = {"data": media.to_base64(data), "format": kind}
            return _with_inner({"type": "input_audio", "input_audio": audio}, block.extra)
        case Document():
            return _write_document(block)
        case _:
            return write_text_part(block)


def _with_inner(part: Json, extra: Extra | None) -> Json:
    """Put unknown members back: those of the part, and those of the object inside it."""
    for name, value in own(extra).items():
        if name in part and isinstance(part[name], dict):
            part[name] = {**value, **part[name]}
        else:
            part.setdefault(name, value)
    return part


def _write_image(block: Image) -> Json:
    match block.source:
        case UrlSource(url=url):
            image: Json = {"url": url}
        case InlineSource(data=data):
            image = {"url": media.data_url(block.format or "png", data)}
        case _:
            raise unsupported(block)
    if block.detail is not None:
        image["detail"] = block.detail
    return _with_inner({"type": "image_url", "image_url": image}, block.extra)


def _write_document(block: Document) -> Json:
    match block.source:
        case FileSource(file_id=file_id):
            file: Json = {"file_id": file_id}
        case InlineSource(data=data) if block.format is not None:
            file = {"file_data": media.data_url(block.format, data)}
        case InlineSource(data=data):
            file = {"file_data": media.to_base64(data)}
        case _:
            raise unsupported(block)
    if block.name is not None:
        file["filename"] = block.name
    return _with_inner({"type": "file", "file": file}, block.extra)
