"""What is said between processes, with integers of any size."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craton.store.body import packed, unpacked, unpacker

SMALL, LARGE = st.integers(-(2**63), 2**64 - 1), st.integers(-(10**40), 10**40)


class Named(msgspec.Struct, frozen=True):
    """Written as a map."""

    amount: int
    text: str = ""
    raw: bytes = b""
    by_year: dict[int, int] = {}


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """Written as an array."""

    amount: int
    text: str = ""


@given(LARGE | SMALL, st.text(), st.binary(), st.dictionaries(st.integers(0, 9999), LARGE))
def test_a_body_is_read_as_it_was_written_however_large_its_integers(
    amount: int, text: str, raw: bytes, by_year: dict[int, int]
) -> None:
    for said in (Named(amount, text, raw, by_year), Placed(amount, text)):
        assert unpacker(type(said))(packed(said)) == said
        assert unpacked(packed(said), type(said)) == said
        assert unpacker(list[type(said)])(packed([said] * 20)) == [said] * 20


@given(SMALL)
def test_a_body_that_messagepack_holds_is_messagepack(amount: int) -> None:
    said = Placed(amount)
    assert packed(said) == msgspec.msgpack.encode(said)


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"\xc1", b'{"amount":"1"}'])
def test_what_is_no_body_of_that_type_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        unpacker(Named)(body)
    with pytest.raises(msgspec.DecodeError):
        unpacked(body, Named)
