"""Header blocks held against the hpack library: each reads what the other writes."""

import random
from typing import Any

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from craton.http.http2_headers import KNOWN_BYTES_MAX, KNOWN_MAX, FieldDecoder, FieldEncoder

NAMES = st.sampled_from([b":status", b":path", b"authorization", b"date", b"x-one", b"x-two", b""])
VALUES = st.one_of(
    st.sampled_from([b"200", b"404", b"418", b"/", b"", b"Bearer " + b"k" * 60]),
    st.binary(max_size=40),
    st.integers(100, 400).map(lambda size: b"v" * size),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=12)


def read(decoder: Decoder, block: bytes) -> Any:
    """Fields, or that it is no block; and what the table is afterwards."""
    try:
        fields = [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except HPACKError:
        return None
    return fields, list(decoder.header_table.dynamic_entries), decoder.header_table_size


@given(st.lists(FIELDS, max_size=4), st.booleans())
def test_what_hpack_writes_is_read_as_it_was(blocks: list[Any], huffman: bool) -> None:
    encoder, decoder, other = Encoder(), FieldDecoder(), Decoder()
    for number, fields in enumerate(blocks):
        if number == 2:
            encoder.header_table_size = 200
        block = encoder.encode(fields, huffman=huffman)
        found = read(decoder, block)
        assert found == read(other, block)
        assert found[0] == [(name, value) for name, value, _ in fields]


@given(FIELDS, st.integers(0, 2**32))
def test_a_bent_block_is_read_or_refused_as_hpack_does(fields: Any, seed: int) -> None:
    dice = random.Random(seed)
    block = bytearray(Encoder().encode(fields, huffman=dice.random() < 0.5))
    for _ in range(dice.randint(1, 3)):
        if block:
            block[dice.randrange(len(block))] = dice.choice([0, 0x20, 0x3F, 0x7F, 0x80, 0xFF, 7])
    del block[dice.randint(0, len(block)) :]
    decoder, other = FieldDecoder(), Decoder()
    assert read(decoder, bytes(block)) == read(other, bytes(block))


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # the place 0
        b"\xff\x80\x80\x80\x80\x80\x80\x01",  # an integer that doesn't end
        b"\xbf",  # of which the rest is missing
        b"\x00\x05abc",  # a string that is cut
        b"\x00\x81\x00\x00",  # a code that means nothing
        b"\x88\x20",  # a table's size after a field
        b"\x3f\xe2\x1f",  # a table of 4,097 bytes
    ],
)
def test_what_is_no_block_is_refused(block: bytes) -> None:
    assert read(FieldDecoder(), block) is None
    assert read(Decoder(), block) is None


def test_a_list_of_fields_over_the_limit_is_refused() -> None:
    decoder = FieldDecoder()
    decoder.max_header_list_size = 2 * (32 + 4)
    assert read(decoder, b"\x00\x01a\x03bcd" * 2) is not None
    assert read(decoder, b"\x00\x01a\x03bcd" * 3) is None


@given(st.lists(FIELDS, min_size=1, max_size=3))
def test_hpack_reads_what_we_write_and_its_table_stays_empty(blocks: list[Any]) -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    for fields in blocks:
        pairs = [(name, value) for name, value, _ in fields]
        assert read(decoder, encoder.encode(pairs)) == (pairs, [], 0)


def test_what_codes_meant_is_kept_for_few_and_short_ones() -> None:
    encoder, decoder = Encoder(), FieldDecoder()
    for number in range(KNOWN_MAX * 3):
        fields = [(b"authorization", b"%d" % number * 8, True), (b"x", b"a" * 4096, True)]
        assert read(decoder, encoder.encode(fields))[0][0][1] == b"%d" % number * 8
    known = decoder._known
    assert len(known) <= KNOWN_MAX
    assert max(map(len, known)) <= KNOWN_BYTES_MAX
