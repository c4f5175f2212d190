"""Reading and writing members of Converse's documents, keeping what isn't known.

A document here is what botocore's service model calls a structure: a dictionary with the model's
member names. A blob is bytes, or base64 text where it comes straight from JSON. Members that
aren't known are kept in `extra["converse"]` of their part and written back from there.
"""

import base64
from typing import Any

from craton.messages.blocks import Extra

DIALECT = "converse"

Members = dict[str, Any]

NOT_CONVERSE = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What the readers raise for a document that doesn't fit the service model.

A server checks documents before; a client, which reads what another server sent, catches these.
"""


def rest(document: Members, *known: str) -> Extra | None:
    """What a structure carries beyond the members known, as an `extra`."""
    unknown = {name: value for name, value in document.items() if name not in known}
    return {DIALECT: unknown} if unknown else None


def with_rest(document: Members, extra: Extra | None) -> Members:
    """Put back what `rest` kept, without overwriting what the model knows."""
    if extra is not None:
        _merge(document, extra.get(DIALECT, {}))
    return document


def _merge(document: Members, unknown: Members) -> None:
    for name, value in unknown.items():
        if name not in document:
            document[name] = value
        elif isinstance(value, dict) and isinstance(document[name], dict):
            _merge(document[name], value)  # pyright: ignore[reportUnknownArgumentType] - JSON


def optional(**members: object) -> Members:
    """A document of the members that are set."""
    return {name: value for name, value in members.items() if value is not None}


def only_member(document: Members) -> tuple[str, Any]:
    """The one member of a union."""
    ((kind, value),) = document.items()
    return kind, value


def read_blob(value: bytes | str) -> bytes:
    """A blob: bytes as they are, text from base64."""
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value
