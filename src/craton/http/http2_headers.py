"""HPACK (RFC 7541) as a server needs it: blocks told without a table, and read once for all.

`hpack` searches its table for each field that is told, codes each byte of what it doesn't find, and
reads each byte of a credential anew for each request: a third of what an HTTP/2 request cost. What
differs from answer to answer, as ids and lengths do, gains nothing from a table anyway.
"""

from collections.abc import Iterable
from functools import lru_cache

from hpack.exceptions import HPACKDecodingError, InvalidTableSizeError, OversizedHeaderListError
from hpack.hpack import Decoder, Encoder, decode_integer, encode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

KNOWN_MAX = 32
KNOWN_BYTES_MAX = 1024
"""Of how many strings, and of how long ones, a connection keeps what their code means."""
_INTEGER_BYTES_MAX = 8
"""More than an integer may have, so that `decode_integer` sees one that is too long."""
_FIELD_BYTES = 32
"""What RFC 7541, 4.1, counts for a field beside its name and value."""
_NO_TABLE = b"\x20"
_INDEXED, _INDEXING, _RESIZING, _CODED = 0x80, 0x40, 0x20, 0x80
_FULL = 0xFF
"""The first byte of a place that has more."""

_Field = tuple[bytes, bytes]


class FieldEncoder(Encoder):
    """Tells fields by their place in HPACK's fixed table, or as they are.

    Its own table is told to be empty, first of all, so a client's SETTINGS_HEADER_TABLE_SIZE is
    kept to whatever it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_begun = False

    @property
    def header_table_size(self) -> int:
        """Bytes of its table."""
        return 0

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        """The client allows a table of this size; none is made."""

    def encode(self, headers: Iterable[_Field], huffman: bool = False) -> bytes:  # noqa: ARG002  # type: ignore[override]  # hpack's signature, for bytes alone
        """The block of these fields; names are in lower case."""
        pieces: list[bytes] = []
        if not self._is_begun:
            self._is_begun = True
            pieces.append(_NO_TABLE)
        for name, value in headers:
            places = HeaderTable.STATIC_TABLE_MAPPING.get(name)
            place = None if places is None else places[1].get(value)
            if place is None:
                pieces += (_name(name), _length(len(value)), value)
            else:
                pieces.append(_indexed(place))
        return b"".join(pieces)


class FieldDecoder(Decoder):
    """Reads a client's blocks, keeping for its connection what the last strings' code meant."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, bytes] = {}

    def decode(self, data: bytes, raw: bool = True) -> list[_Field]:  # noqa: ARG002  # type: ignore[override]  # hpack's signature, for bytes alone
        """The fields of a whole block, as bytes; `HPACKError` if it is none."""
        table = self.header_table
        fields: list[_Field] = []
        size, at, end = 0, 0, len(data)
        while at < end:
            first = data[at]
            if first & _INDEXED:
                index, at = (first ^ _INDEXED, at + 1) if first < _FULL else _integer(data, at, 7)
                field = table.get_by_index(index)
            elif first & _INDEXING:
                field, at = self._literal(data, at, 6)
                table.add(*field)
            elif first & _RESIZING:
                at = self._resize(data, at, is_first=not fields)
                continue
            else:
                field, at = self._literal(data, at, 4)
            fields.append(field)
            size += len(field[0]) + len(field[1]) + _FIELD_BYTES
            if size > self.max_header_list_size:
                raise OversizedHeaderListError(f"over {self.max_header_list_size} bytes")
        self._assert_valid_table_size()
        return fields

    def _literal(self, data: bytes, at: int, bits: int) -> tuple[_Field, int]:
        index, at = _integer(data, at, bits)
        if index:
            name = self.header_table.get_by_index(index)[0]
        else:
            name, at = self._string(data, at)
        value, at = self._string(data, at)
        return (name, value), at

    def _string(self, data: bytes, at: int) -> tuple[bytes, int]:
        length, start = _integer(data, at, 7)
        end = start + length
        text = data[start:end]
        if len(text) != length:
            raise HPACKDecodingError("a header block ends inside a string")
        return (self._decoded(text) if data[at] & _CODED else text), end

    def _decoded(self, code: bytes) -> bytes:
        """A client says the same in nearly every request, its credential for one."""
        text = self._known.get(code)
        if text is None:
            text = decode_huffman(code)
            if len(code) <= KNOWN_BYTES_MAX:
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known[code] = text
        return text

    def _resize(self, data: bytes, at: int, *, is_first: bool) -> int:
        if not is_first:
            raise HPACKDecodingError("a table's size after a field")
        size, at = _integer(data, at, 5)
        if size > self.max_allowed_table_size:
            raise InvalidTableSizeError("a table larger than is allowed")
        self.header_table_size = size
        return at


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer whose first byte has so many bits of it, and where it ends (RFC 7541, 5.1)."""
    if at < len(data):
        most = (1 << bits) - 1
        number = data[at] & most
        if number < most:
            return number, at + 1
    number, consumed = decode_integer(data[at : at + _INTEGER_BYTES_MAX], bits)
    return number, at + consumed


@lru_cache(maxsize=256)
def _name(name: bytes) -> bytes:
    """How a literal field without indexing begins (RFC 7541, 6.2.2)."""
    places = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    if places is None:
        return b"\0" + _length(len(name)) + name
    return bytes(encode_integer(places[0], 4))


@lru_cache(maxsize=1024)
def _length(length: int) -> bytes:
    """The length of a string that isn't coded (RFC 7541, 5.2)."""
    return bytes(encode_integer(length, 7))


@lru_cache(maxsize=HeaderTable.STATIC_TABLE_LENGTH)
def _indexed(place: int) -> bytes:
    return bytes((_INDEXED | place,))
