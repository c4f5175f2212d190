"""Names of media formats: the conversation model's short ones and the wires' media types."""

import base64
import binascii
import re

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""Media types by short name, from the IANA registry (https://www.iana.org/assignments/media-types)."""

_FORMATS = {media_type: short for short, media_type in MEDIA_TYPES.items()}
_DATA_URL = re.compile(r"data:([^;,]*);base64,", re.IGNORECASE)


def format_of(media_type: str) -> str:
    """The short name of a media type; one without a short name stands as it is."""
    return _FORMATS.get(media_type, media_type)


def media_type_of(short: str) -> str:
    """The media type of a short name; what has no short name is a media type already."""
    return MEDIA_TYPES.get(short, short)


def split_data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 text of a `data:` URL; None where it is none or not base64."""
    match = _DATA_URL.match(url)
    return (match[1], url[match.end() :]) if match else None


def data_url(short: str, data: bytes) -> str:
    """A `data:` URL of these bytes."""
    return f"data:{media_type_of(short)};base64,{to_base64(data)}"


def from_base64(text: str) -> bytes | None:
    """The bytes, or None where the text is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: a letter outside ASCII
        return None


def to_base64(data: bytes) -> str:
    """Standard base64, padded."""
    return base64.b64encode(data).decode("ascii")
