"""Converse's media, both ways: pictures, documents, videos, sounds, and where their bytes are.

A medium that Converse has no form for (a file id of another wire, say) is Unsupported when written.
"""

from collections.abc import Sequence

from craton.dialects.converse_members import (
    Members,
    only_member,
    optional,
    read_blob,
    rest,
    with_rest,
)
from craton.kernel.errors import Unsupported
from craton.messages.blocks import (
    Audio,
    Document,
    DocumentSource,
    FileSource,
    Image,
    InlineSource,
    MediaSource,
    PassagesSource,
    S3Source,
    TextSource,
    UrlSource,
    Video,
)


def read_source(document: Members) -> MediaSource:
    """Read an ImageSource, VideoSource or AudioSource."""
    kind, _ = only_member(document)
    if kind not in ("bytes", "s3Location"):
        raise Unsupported(f"The source {kind!r} is not known here. Send the bytes.")
    source = _read_document_source(document)
    assert isinstance(source, InlineSource | S3Source)
    return source


def read_passages(documents: Sequence[Members]) -> list[str]:
    """Read a list of DocumentContentBlock or CitationGeneratedContent: unions with one member."""
    passages: list[str] = []
    for document in documents:
        kind, value = only_member(document)
        if kind != "text":
            raise Unsupported(f"A passage of the kind {kind!r} is not known here. Send text.")
        passages.append(value)
    return passages


def write_source(source: DocumentSource) -> Members:
    """Write the source of an image, a video, a sound or a document."""
    match source:
        case InlineSource():
            return {"bytes": source.data}
        case S3Source():
            location = optional(uri=source.uri, bucketOwner=source.bucket_owner)
            return {"s3Location": with_rest(location, source.extra)}
        case TextSource():
            return {"text": source.text}
        case PassagesSource():
            return {"content": [{"text": passage} for passage in source.passages]}
        case UrlSource():
            raise Unsupported("Converse has no source by URL. Send the bytes or an S3 location.")
        case FileSource():
            raise Unsupported("Converse has no source by file id. Send the bytes.")


def _read_document_source(document: Members) -> DocumentSource:
    kind, value = only_member(document)
    match kind:
        case "bytes":
            return InlineSource(data=read_blob(value))
        case "s3Location":
            return S3Source(
                uri=value["uri"],
                bucket_owner=value.get("bucketOwner"),
                extra=rest(value, "uri", "bucketOwner"),
            )
        case "text":
            return TextSource(text=value)
        case "content":
            return PassagesSource(passages=read_passages(value))
        case _:
            raise Unsupported(f"The source {kind!r} is not known here. Send the bytes.")


# --- media -------------------------------------------------------------------------------------


def read_image(document: Members) -> Image:
    """Read an ImageBlock, or the picture in an ImageBlockDelta."""
    source, error = document.get("source"), _error(document)
    return Image(
        source=None if source is None else read_source(source),
        format=document.get("format"),
        error=error,
        extra=rest(document, "format", "source", *(() if error is None else ("error",))),
    )


def write_image(image: Image) -> Members:
    """Write an ImageBlock, or the picture in an ImageBlockDelta."""
    return with_rest(
        optional(
            format=image.format,
            source=None if image.source is None else write_source(image.source),
            error=None if image.error is None else {"message": image.error},
        ),
        image.extra,
    )


def write_image_block(image: Image) -> Members:
    """Write an ImageBlock, whose format must be known."""
    return write_image(image) if image.format is not None else _needs_format("image")


def _needs_format(kind: str) -> Members:
    raise Unsupported(f"Converse needs the format of the {kind}, and this one doesn't name it.")


def _error(document: Members) -> str | None:
    # An error without a message is left to `extra`, so that it comes back as it was.
    error: Members = document.get("error") or {}
    return error.get("message") if set(error) == {"message"} else None


def read_document(document: Members) -> Document:
    """Read a DocumentBlock."""
    citations = document.get("citations")
    return Document(
        source=_read_document_source(document["source"]),
        name=document.get("name"),
        format=document.get("format"),
        context=document.get("context"),
        citations=None if citations is None else citations["enabled"],
        extra=rest(document, "source", "name", "format", "context", "citations"),
    )


def write_document(block: Document) -> Members:
    """Write a DocumentBlock; one without a name is called "document"."""
    return with_rest(
        optional(
            format=block.format,
            name=block.name or "document",
            source=write_source(block.source),
            context=block.context,
            citations=None if block.citations is None else {"enabled": block.citations},
        ),
        block.extra,
    )


def read_video(document: Members) -> Video:
    """Read a VideoBlock."""
    return Video(
        source=read_source(document["source"]),
        format=document.get("format"),
        extra=rest(document, "source", "format"),
    )


def write_video(block: Video) -> Members:
    """Write a VideoBlock."""
    if block.format is None:
        return _needs_format("video")
    return with_rest({"format": block.format, "source": write_source(block.source)}, block.extra)


def read_audio(document: Members) -> Audio:
    """Read an AudioBlock."""
    source, error = document.get("source"), _error(document)
    return Audio(
        source=None if source is None else read_source(source),
        format=document.get("format"),
        error=error,
        extra=rest(document, "source", "format", *(() if error is None else ("error",))),
    )


def write_audio(block: Audio) -> Members:
    """Write an AudioBlock."""
    if block.format is None:
        return _needs_format("audio")
    return with_rest(
        optional(
            format=block.format,
            source=None if block.source is None else write_source(block.source),
            error=None if block.error is None else {"message": block.error},
        ),
        block.extra,
    )
