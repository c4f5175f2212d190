"""The event stream parser, against the HTML standard's rules."""

import pytest

from craton.dialects.sse import FrameParser
from craton.kernel.errors import EngineFailed


def test_an_event_is_its_name_and_its_data() -> None:
    assert FrameParser().feed(b"event: ping\ndata: {}\n\n") == [(b"ping", b"{}")]


def test_lines_end_with_lf_crlf_or_cr() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        stream = end.join([b"data: a", b"", b"event:b", b"data:c", b"", b""])
        assert FrameParser().feed(stream) == [(b"", b"a"), (b"b", b"c")], end


def test_data_lines_are_joined_and_lose_one_space_each() -> None:
    assert FrameParser().feed(b"data: a\ndata:  b\ndata\n\n") == [(b"", b"a\n b\n")]


def test_comments_ids_and_events_without_data_are_passed_over() -> None:
    stream = b": keep-alive\n\nid: 7\nretry: 10\n\nevent: lost\n\ndata: kept\n\n"
    assert FrameParser().feed(stream) == [(b"", b"kept")]


def test_a_byte_order_mark_is_skipped() -> None:
    assert FrameParser().feed(b"\xef\xbb\xbfdata: a\n\n") == [(b"", b"a")]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_bytes_may_be_cut_anywhere(size: int) -> None:
    stream = "event: x\r\ndata: żółw 🐢\r\n\r\ndata: b\n\n: c\r\rdata: d\r\r".encode()
    whole = FrameParser().feed(stream)
    parser = FrameParser()
    cut = [
        frame for at in range(0, len(stream), size) for frame in parser.feed(stream[at : at + size])
    ]
    assert cut == whole == [(b"x", "żółw 🐢".encode()), (b"", b"b"), (b"", b"d")]


def test_an_event_over_the_limit_is_an_engine_failure() -> None:
    parser = FrameParser(event_bytes_max=10)
    assert parser.feed(b"data: 123\n\n" * 5) == [(b"", b"123")] * 5
    with pytest.raises(EngineFailed, match="more than 10 bytes"):
        parser.feed(b"data: 12345678")
    with pytest.raises(EngineFailed, match="more than 10 bytes"):
        FrameParser(event_bytes_max=10).feed(b"data: 1234\ndata: 1234\n")
