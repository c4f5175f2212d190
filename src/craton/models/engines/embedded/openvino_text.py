"""Text of tokens as they come: bytes of each, and letters once their bytes are whole."""

import codecs
from collections.abc import Collection, Mapping


class Spelling:
    """What each token of a vocabulary adds to a text; control tokens add nothing."""

    def __init__(self, vocabulary: Mapping[bytes, int], control: Collection[int]) -> None:
        self._bytes = {
            number: b"" if number in control else spelled for spelled, number in vocabulary.items()
        }

    def reader(self) -> "TokenReader":
        """A reader of one answer."""
        return TokenReader(self._bytes)


class TokenReader:
    """Reads the tokens of one answer."""

    def __init__(self, spelled: Mapping[int, bytes]) -> None:
        self._spelled = spelled
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def read(self, token: int) -> str:
        """The letters that are whole with this token."""
        return self._decoder.decode(self._spelled.get(token, b""))
