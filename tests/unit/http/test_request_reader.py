import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.http.counters import ServerCounters
from craton.http.limits import Code, ServerLimits
from craton.http.request_reader import Received, Refusal, RequestReader, Stage
from craton.kernel.errors import BadRequest, TooLarge, Unavailable, Unsupported

LIMITS = ServerLimits(head_bytes_max=2000, headers_max=20, body_bytes_max=5000)
HOST = b"Host: craton\r\n"


def reader(limits: ServerLimits = LIMITS) -> RequestReader:
    return RequestReader(limits, ServerCounters(), peer="192.0.2.1")


def read(*pieces: bytes, limits: ServerLimits = LIMITS) -> list[Received | Refusal]:
    made = reader(limits)
    for piece in pieces:
        made.feed(piece)
    return list(made.received)


def read_one(data: bytes, limits: ServerLimits = LIMITS) -> Received:
    (received,) = read(data, limits=limits)
    assert isinstance(received, Received), received.error
    return received


def refused(data: bytes, limits: ServerLimits = LIMITS) -> Refusal:
    refusal = read(data, limits=limits)[-1]
    assert isinstance(refusal, Refusal), refusal.request
    return refusal


def shape(received: Received | Refusal) -> tuple[object, ...]:
    if isinstance(received, Refusal):
        return (type(received.error), received.error.message)
    return (received.request, received.is_http_10, received.is_last)


def chunked(*lines: bytes) -> bytes:
    head = b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(lines)


def test_a_request_keeps_its_path_and_query_as_they_came() -> None:
    request = read_one(
        b"POST /a%2Fb?c=%20d?e HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nxyz"
    )
    assert request.request.method == "POST"
    assert request.request.raw_path == b"/a%2Fb"
    assert request.request.raw_query == b"c=%20d?e"
    assert request.request.body == b"xyz"
    assert request.request.peer == "192.0.2.1"
    assert not request.is_last


def test_headers_are_lower_case_and_without_outer_blanks_and_repeats_are_seen() -> None:
    headers = read_one(
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: \t 1 2 \t\r\nX-Empty:\r\nx-a: 3\r\n\r\n"
    ).request.headers
    assert headers.pairs == [
        (b"host", b"craton"),
        (b"x-a", b"1 2"),
        (b"x-empty", b""),
        (b"x-a", b"3"),
    ]
    assert headers.get(b"x-a") == b"1 2"
    assert headers.get_all(b"x-a") == [b"1 2", b"3"]
    assert headers.is_repeated(b"x-a")
    assert not headers.is_repeated(b"host")
    assert headers.get(b"none") is None
    assert "craton" not in repr(headers)


def test_the_absolute_form_of_a_target_loses_its_authority() -> None:
    request = read_one(b"GET http://other:80/a/b?c HTTP/1.1\r\n" + HOST + b"\r\n").request
    assert (request.raw_path, request.raw_query) == (b"/a/b", b"c")
    bare = read_one(b"GET http://other?c HTTP/1.1\r\n" + HOST + b"\r\n").request
    assert (bare.raw_path, bare.raw_query) == (b"/", b"c")
    assert read_one(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n").request.raw_path == b"*"


def test_chunks_are_joined_and_extensions_and_trailers_are_dropped() -> None:
    request = read_one(
        chunked(b'3;a=b;c="d"\r\nabc\r\n', b"2\r\nde\r\n", b"0\r\nX-Trail: 1\r\nHost: b\r\n\r\n")
    ).request
    assert request.body == b"abcde"
    assert request.headers.get(b"x-trail") is None
    assert request.headers.get_all(b"host") == [b"craton"]


def test_an_http_10_request_closes_unless_it_asks_to_stay() -> None:
    plain = read_one(b"GET / HTTP/1.0\r\n\r\n")
    assert (plain.is_http_10, plain.is_last) == (True, True)
    stays = read_one(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (stays.is_http_10, stays.is_last) == (True, False)


def test_bytes_after_connection_close_are_ignored() -> None:
    assert read_one(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\nGET /b").is_last


@pytest.mark.parametrize("framing", [b"Content-Length: 3\r\n\r\nabc", b""])
def test_an_offer_to_upgrade_is_ignored_and_the_body_is_kept(framing: bytes) -> None:
    # Java's HttpClient offers h2c with its first request, body included.
    framing = framing or b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    data = b"POST /a HTTP/1.1\r\n" + HOST + offer + framing
    following = b"GET /b HTTP/1.1\r\n" + HOST + b"\r\n"
    for cut in range(len(data)):
        first, second = read(data[:cut], data[cut:] + following)
        assert isinstance(first, Received)
        assert isinstance(second, Received)
        assert (first.request.raw_path, first.request.body) == (b"/a", b"abc")
        assert (second.request.raw_path, second.request.body) == (b"/b", b"")


MALFORMED = {
    "bare line feed after the request line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare line feed after a header": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n",
    "blank before the colon": b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
    "blank before the first name": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "header without a name": b"GET / HTTP/1.1\r\n" + HOST + b": b\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n",
    "bare carriage return in a value": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\rc\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n" * 2 + b"\r\na",
    "two lengths in one": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na",
    "length with a sign": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
    "length and chunks": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size that is none": chunked(b"zz\r\n"),
    "chunk size with a blank": chunked(b"3 \r\nabc\r\n"),
    "chunk ended by a bare line feed": chunked(b"3\nabc\r\n0\r\n\r\n"),
    "chunk longer than it said": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
    "a fragment": b"GET /#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is no path": b"GET foo HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes that aren't ASCII in the target": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown expectation": b"POST / HTTP/1.1\r\n" + HOST + b"Expect: more\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests_are_refused_and_nothing_after_them_is_read(data: bytes) -> None:
    received = read(data + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
    assert [type(item) for item in received] == [Refusal]
    assert isinstance(received[0], Refusal)
    assert type(received[0].error) is BadRequest
    assert received[0].error.message.endswith(".")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (chunked().replace(b"chunked", b"gzip, chunked"), Code.NOT_IMPLEMENTED),
        (chunked().replace(b"chunked", b"gzip"), Code.NOT_IMPLEMENTED),
        (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", Code.NOT_IMPLEMENTED),
        (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", Code.NOT_IMPLEMENTED),
    ],
)
def test_what_is_well_formed_and_not_served_is_unsupported(data: bytes, code: Code) -> None:
    error = refused(data).error
    assert type(error) is Unsupported
    assert error.code == code


def test_a_refusal_names_the_request_as_far_as_it_was_understood() -> None:
    assert refused(b"\x16\x03").request is None
    after_header = refused(b"GET /a?b HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n").request
    # llhttp tells a header when the next one begins: here it never did.
    assert after_header is None
    bad_chunk = refused(chunked(b"zz\r\n")).request
    assert bad_chunk is not None
    assert (bad_chunk.method, bad_chunk.raw_path, bad_chunk.body) == ("POST", b"/a", b"")


def test_a_head_over_its_limit_is_refused_whole_or_in_pieces() -> None:
    data = b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 2000 + b"\r\n\r\n"
    for step in (1, 7, 500, len(data)):
        received = read(*[data[at : at + step] for at in range(0, len(data), step)])
        assert isinstance(received[0], Refusal)
        assert type(received[0].error) is TooLarge
        assert received[0].error.code == Code.HEADERS_TOO_LARGE
    fits = b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1900 + b"\r\n\r\n"
    for step in (1, 7, 500, len(fits)):
        received = read(*[fits[at : at + step] for at in range(0, len(fits), step)])
        assert isinstance(received[0], Received)


def test_a_head_that_never_ends_is_refused_before_it_ends() -> None:
    for start in (b"GET /", b"GET / HTTP/1.1\r\nX", b"GET / HTTP/1.1\r\nX: "):
        made = reader()
        made.feed(start)
        for _ in range(30):
            made.feed(b"a" * 100)
        assert isinstance(made.received[0], Refusal)


@pytest.mark.parametrize("tail", [b"3;", b"0\r\nX", b"0\r\nX: "])
def test_a_chunk_extension_or_trailer_that_never_ends_is_refused(tail: bytes) -> None:
    made = reader()
    made.feed(chunked(tail))
    for _ in range(30):
        made.feed(b"a" * 100)
    assert isinstance(made.received[0], Refusal)


def test_too_many_headers_are_refused() -> None:
    error = refused(b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 20 + b"\r\n").error
    assert error.code == Code.HEADERS_TOO_LARGE


def test_a_body_over_its_limit_is_refused_by_its_length_before_it_comes() -> None:
    refusal = refused(b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5001\r\n\r\n")
    assert type(refusal.error) is TooLarge
    assert refusal.request is not None
    assert refusal.request.raw_path == b"/a"


def test_a_chunked_body_over_its_limit_is_refused_as_soon_as_it_is() -> None:
    made = reader()
    made.feed(chunked())
    for _ in range(5):
        made.feed(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
    assert not made.received
    made.feed(b"1\r\na")
    assert isinstance(made.received[0], Refusal)


def test_unfinished_bodies_of_all_connections_have_a_limit_together() -> None:
    counters = ServerCounters()
    limits = ServerLimits(body_bytes_max=1000, bodies_bytes_max=1500)
    first, second = (RequestReader(limits, counters, peer="") for _ in range(2))
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n"
    first.feed(head + b"a" * 900)
    second.feed(head + b"a" * 900)
    refusal = second.received[0]
    assert isinstance(refusal, Refusal)
    assert type(refusal.error) is Unavailable
    assert counters.body_bytes_now == 900
    first.feed(b"a" * 100)
    assert isinstance(first.received[0], Received)
    assert counters.body_bytes_now == 0


def test_an_unfinished_body_is_forgotten_when_the_connection_closes() -> None:
    counters = ServerCounters()
    made = RequestReader(LIMITS, counters, peer="")
    made.feed(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc")
    assert counters.body_bytes_now == 3
    made.close()
    assert counters.body_bytes_now == 0


def test_a_client_that_expects_to_be_told_to_go_on_is_seen_waiting() -> None:
    made = reader()
    made.feed(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
    assert made.awaits_continue
    assert made.stage is Stage.BODY
    made.feed(b"a")
    assert not made.awaits_continue


names = st.text("abcXYZ-_09", min_size=1, max_size=8).map(lambda name: b"x" + name.encode())
values = st.text("abc XYZ=/;,09\xe9", max_size=30).map(lambda value: value.encode("latin-1"))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS"]))
    path = b"/" + draw(st.text("abc/%20-._~?&=", max_size=30)).encode()
    lines = [method + b" " + path + b" HTTP/1.1\r\n" + HOST]
    lines += [
        name + b":" + value + b"\r\n"
        for name, value in draw(st.lists(st.tuples(names, values), max_size=6))
    ]
    body = draw(st.binary(max_size=60))
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(body)))
        lines.append(b"Transfer-Encoding: chunked\r\n\r\n")
        lines += [b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:cut], body[cut:]) if p]
        lines.append(b"0\r\n\r\n")
    else:
        lines.append(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    return b"".join(lines)


@settings(max_examples=150, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3).map(b"".join), st.data())
def test_requests_cut_at_any_points_are_the_same_requests(
    data: bytes, source: st.DataObject
) -> None:
    whole = [shape(item) for item in read(data)]
    assert all(len(item) == 3 for item in whole)
    cuts = sorted(source.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert [shape(item) for item in read(*pieces)] == whole
    assert [shape(item) for item in read(*[data[i : i + 1] for i in range(len(data))])] == whole


@settings(max_examples=300, deadline=None)
@given(st.data(), st.one_of(st.binary(max_size=300), requests()))
def test_any_bytes_end_in_requests_or_one_refusal_and_never_raise(
    source: st.DataObject, data: bytes
) -> None:
    spoiled = bytearray(data)
    for _ in range(source.draw(st.integers(0, 4))):
        if spoiled:
            spoiled[source.draw(st.integers(0, len(spoiled) - 1))] = source.draw(
                st.integers(0, 255)
            )
    cut = source.draw(st.integers(0, len(spoiled)))
    received = read(bytes(spoiled[:cut]), bytes(spoiled[cut:]), b"\r\n\r\n" + data)
    assert all(isinstance(item, Received) for item in received[:-1])


def test_ten_thousand_spoiled_requests_never_raise() -> None:
    import random

    chance = random.Random(20261122)
    seeds = [*MALFORMED.values(), chunked(b"3\r\nabc\r\n0\r\n\r\n"), b"GET / HTTP/1.1\r\n" + HOST]
    for _ in range(10_000):
        data = bytearray(chance.choice(seeds) + chance.choice(seeds))
        for _ in range(chance.randrange(5)):
            data[chance.randrange(len(data))] = chance.choice(b"\r\n\0 :;0aZ\xff\t")
        cut = chance.randrange(len(data))
        received = read(bytes(data[:cut]), bytes(data[cut:]))
        assert all(isinstance(item, Received) for item in received[:-1])
