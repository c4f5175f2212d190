"""Kinds of documents and changes to them: what workers know of the store.

Apart from `documents.py` so that a gateway worker, which only reads snapshots, doesn't carry the
database libraries in its memory.
"""

from typing import Generic, TypeVar

import msgspec

Body = TypeVar("Body", bound=msgspec.Struct)


class Change(msgspec.Struct, frozen=True):
    """A document that was written or removed; `body` is None when it is gone."""

    kind: str
    id: str
    body: bytes | None


class Kind(Generic[Body]):
    """One kind of document: its name, what people call it, and the struct of its body."""

    def __init__(self, name: str, noun: str, body: type[Body]) -> None:
        self.name = name
        self.noun = noun
        self._decoder = msgspec.json.Decoder(body)

    def decode(self, body: bytes) -> Body:
        """The struct of a stored body."""
        return self._decoder.decode(body)
