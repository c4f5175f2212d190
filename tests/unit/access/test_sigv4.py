"""SigV4: what botocore signs verifies, and nothing else does."""

import calendar
import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from craton.access import sigv4
from craton.kernel.errors import NotFound, Unauthenticated

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:8400"


class Signed(NamedTuple):
    method: str
    path: bytes
    query: bytes
    headers: dict[str, str]
    body: bytes
    now_s: int


def sign(
    method: str = "POST",
    path: str = "/model/m/converse",
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    *,
    presigned: bool = False,
    token: str | None = None,
    service: str = "bedrock",
) -> Signed:
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    credentials = Credentials(KEY, SECRET, token)
    if presigned:
        body = b""  # botocore moves a presigned body into the query
    request = AWSRequest(method=method, url=url, headers=headers or {}, data=body)
    maker = SigV4QueryAuth if presigned else SigV4Auth
    maker(credentials, service, "us-east-1").add_auth(request)
    _, _, rest = request.url.partition(HOST)
    raw_path, _, raw_query = rest.partition("?")
    lower = {name.lower(): str(value) for name, value in request.headers.items()}
    lower["host"] = HOST
    stamp = request.context["timestamp"]
    return Signed(
        method,
        raw_path.encode("latin-1"),
        raw_query.encode("latin-1"),
        lower,
        body,
        calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")),
    )


def secret_for(access_key_id: str) -> str:
    if access_key_id != KEY:
        raise Unauthenticated("no such key", code="UnrecognizedClientException")
    return SECRET


def verify(signed: Signed, **options: Any) -> sigv4.Verified:
    arguments: dict[str, Any] = {"now_s": signed.now_s, "secret_for": secret_for} | options
    arguments.setdefault("services", {"bedrock", "sts"})
    return sigv4.verify(*signed[:5], **arguments)


def refusal(signed: Signed, **options: Any) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        verify(signed, **options)
    return caught.value


_PIECES = [*"abzAZ09-_.~!$&'()*+,;=:@/", "%2F", "%3A", "%20", "%C3%A9", "//", "/./", "/../"]
PATHS = st.lists(st.sampled_from(_PIECES), max_size=40).map(
    lambda pieces: "/" + "".join(pieces).lstrip("/")
)
QUERIES = st.lists(
    st.tuples(
        st.text(st.sampled_from("abcXYZ019-_.~%+"), min_size=1, max_size=8),
        st.text(st.sampled_from("abcXYZ019-_.~%+/:"), max_size=12),
    ),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
HEADERS = st.dictionaries(
    st.from_regex(r"x-[a-z0-9]{1,8}", fullmatch=True),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=60),
    presigned=st.booleans(),
)
def test_whatever_botocore_signs_verifies(  # noqa: PLR0917 - Hypothesis gives them by name
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, presigned: bool
) -> None:
    if presigned:
        query = query.replace("+", "").replace("%", "")  # it decodes and encodes those anew
    signed = sign(method, path, query, headers, body, presigned=presigned)
    assert verify(signed) == sigv4.Verified(
        access_key_id=KEY,
        region="us-east-1",
        service="bedrock",
        signed_s=signed.now_s,
        good_until_s=signed.now_s + 3600 if presigned else None,  # botocore's default
    )


def _changed(data: bytes, at: int, to: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([to]) + data[at + 1 :] if data[at] != to else data


@settings(max_examples=300, deadline=None)
@given(
    where=st.sampled_from(["method", "path", "query", "header", "body", "signature"]),
    at=st.integers(0, 200),
    to=st.integers(33, 126),
    presigned=st.booleans(),
)
def test_one_changed_byte_is_refused(where: str, at: int, to: int, presigned: bool) -> None:
    signed = sign(
        path="/model/arn%3Aaws%3Abedrock/converse",
        query="alpha=one&beta=two",
        headers={"x-sent": "some-value"},
        body=b'{"a":1}',
        presigned=presigned,
    )
    match where:
        case "method":
            changed = signed._replace(method=_changed(b"POST", at, to).decode())
        case "path":
            changed = signed._replace(path=_changed(signed.path, at, to))
        case "query":
            changed = signed._replace(query=_changed(signed.query, at, to))
        case "header":
            value = _changed(b"some-value", at, to).decode()
            changed = signed._replace(headers=signed.headers | {"x-sent": value})
        case "body" if presigned:
            changed = signed._replace(body=bytes([to]))
        case "body":
            changed = signed._replace(body=_changed(signed.body, at, to))
        case _ if presigned:
            start = signed.query.index(b"X-Amz-Signature=")
            tail = _changed(signed.query[start:], at, to)
            changed = signed._replace(query=signed.query[:start] + tail)
        case _:
            value = _changed(signed.headers["authorization"].encode(), at, to).decode()
            changed = signed._replace(headers=signed.headers | {"authorization": value})
    if changed == signed:
        verify(changed)
    else:
        refusal(changed)


def test_a_request_without_a_signature_is_missing_its_token() -> None:
    signed = sign()._replace(headers={"host": HOST})
    assert refusal(signed).code == "MissingAuthenticationTokenException"


def test_a_wrong_secret_does_not_match() -> None:
    error = refusal(sign(), secret_for=lambda _: "another")
    assert error.code == "InvalidSignatureException"
    assert "does not match" in error.message


def test_what_the_look_up_of_a_key_raises_comes_out() -> None:
    def gone(_: str) -> str:
        raise NotFound("gone")

    with pytest.raises(NotFound):
        verify(sign(), secret_for=gone)


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_a_clock_five_minutes_off_is_accepted(offset: int) -> None:
    signed = sign()
    verify(signed, now_s=signed.now_s + offset)


def test_an_old_signature_says_when_it_expired() -> None:
    signed = sign()
    error = refusal(signed, now_s=signed.now_s + 301)
    assert error.code == "InvalidSignatureException"
    assert error.message.startswith("Signature expired: ")
    assert "- 5 min." in error.message


def test_a_signature_from_the_future_is_not_yet_current() -> None:
    signed = sign()
    assert "not yet current" in refusal(signed, now_s=signed.now_s - 301).message


def test_a_presigned_request_expires_after_the_time_it_names() -> None:
    signed = sign("GET", "/", "Action=GetCallerIdentity", body=b"", presigned=True, service="sts")
    verify(signed, now_s=signed.now_s + 3600)
    error = refusal(signed, now_s=signed.now_s + 3601)
    assert error.code == "ExpiredTokenException"


def test_a_presigned_request_may_not_live_longer_than_a_week() -> None:
    signed = sign("GET", "/", body=b"", presigned=True)
    query = signed.query.replace(b"X-Amz-Expires=3600", b"X-Amz-Expires=604801")
    assert query != signed.query
    assert "a week" in refusal(signed._replace(query=query)).message


def test_a_scope_for_another_service_is_refused() -> None:
    error = refusal(sign(service="s3"))
    assert error.code == "InvalidSignatureException"
    assert "correct service" in error.message


def test_a_scope_for_another_region_is_refused_where_one_is_set() -> None:
    verify(sign(), region="us-east-1")
    assert "valid region" in refusal(sign(), region="eu-north-1").message


def test_a_session_token_is_refused_with_what_to_do() -> None:
    error = refusal(sign(token="left-over"))
    assert error.code == "UnrecognizedClientException"
    assert "AWS_SESSION_TOKEN" in error.message


def _authorization(signed: Signed, change: Callable[[str], str]) -> Signed:
    value = change(signed.headers["authorization"])
    assert value != signed.headers["authorization"]
    return signed._replace(headers=signed.headers | {"authorization": value})


def test_the_host_must_be_signed() -> None:
    signed = _authorization(sign(), lambda text: text.replace("host;", ""))
    assert "'SignedHeader'" in refusal(signed).message


def test_a_signed_header_must_be_there() -> None:
    signed = _authorization(sign(), lambda text: text.replace("host;", "host;x-lost;"))
    assert "x-lost" in refusal(signed).message


@pytest.mark.parametrize("part", ["Credential", "SignedHeaders", "Signature"])
def test_a_part_that_is_missing_or_doubled_is_named(part: str) -> None:
    missing = _authorization(sign(), lambda text: text.replace(f"{part}=", "Other="))
    assert f"'{part}'" in refusal(missing).message
    doubled = _authorization(sign(), lambda text: f"{text}, {part}=again")
    assert "twice" in refusal(doubled).message


@pytest.mark.parametrize(
    "credential", ["no-slashes", f"{KEY}/20260101/us-east-1/bedrock/other", "////aws4_request"]
)
def test_a_malformed_credential_is_refused(credential: str) -> None:
    signed = sign()
    old = signed.headers["authorization"].split("Credential=")[1].split(",")[0]
    refusal(_authorization(signed, lambda text: text.replace(old, credential)))


@pytest.mark.parametrize("date", ["20261399T000000Z", "now", "20260230T000000Z"])
def test_a_date_that_is_none_is_refused(date: str) -> None:
    signed = sign()
    changed = signed._replace(headers=signed.headers | {"x-amz-date": date})
    assert refusal(changed).code in ("IncompleteSignatureException", "InvalidSignatureException")


def test_the_date_of_the_scope_must_be_that_of_the_request() -> None:
    signed = sign()
    changed = signed._replace(headers=signed.headers | {"x-amz-date": "20200101T000000Z"})
    assert "does not match YYYYMMDD" in refusal(changed).message


def test_a_declared_body_hash_must_be_that_of_the_body() -> None:
    right = hashlib.sha256(b"{}").hexdigest()
    verify(sign(headers={"x-amz-content-sha256": right}))
    wrong = hashlib.sha256(b"other").hexdigest()
    assert "SHA-256" in refusal(sign(headers={"x-amz-content-sha256": wrong})).message


@pytest.mark.parametrize("value", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_an_unsigned_body_is_refused(value: str) -> None:
    error = refusal(sign(headers={"x-amz-content-sha256": value}))
    assert value in error.message


def as_javascript_signs(host: str) -> Signed:
    """What @aws-sdk/client-bedrock-runtime 3.1164.0 sent over HTTP/2, with the secret `b`."""
    names = (
        ":authority;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;"
        "x-amz-content-sha256;x-amz-date;x-amz-user-agent"
    )
    signature = "fdae72c79738e4fa532e761559b3d85e233207102e71a48c588447ab0c8b950a"
    body = b'{"messages":[{"role":"user","content":[{"text":"x"}]}]}'
    headers = {
        "host": host,
        "amz-sdk-invocation-id": "90fc78af-934e-4d25-b309-4cb91a579a80",
        "amz-sdk-request": "attempt=1; max=3",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": "20261123T002800Z",
        "x-amz-user-agent": "aws-sdk-js/3.1163.0",
        "authorization": "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/bedrock/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}",
    }
    now_s = calendar.timegm((2026, 11, 23, 0, 28, 0))
    return Signed("POST", b"/model/m/converse", b"", headers, body, now_s)


def test_the_authority_may_be_signed_for_the_host() -> None:
    signed = as_javascript_signs("127.0.0.1:18999")
    assert verify(signed, secret_for=lambda _: "b").access_key_id == "A"
    other = as_javascript_signs("127.0.0.1:18998")
    assert "does not match" in refusal(other, secret_for=lambda _: "b").message
    del signed.headers["host"]
    assert "':authority'" in refusal(signed, secret_for=lambda _: "b").message


def test_signing_in_both_ways_at_once_is_refused() -> None:
    signed = sign("GET", "/", body=b"", presigned=True)
    both = signed._replace(headers=sign().headers)
    assert "Only one way" in refusal(both).message


def test_a_request_knows_whether_it_is_signed() -> None:
    assert sigv4.is_signed(b"", sign().headers)
    assert sigv4.is_signed(sign(presigned=True).query, {})
    assert not sigv4.is_signed(b"a=b", {"authorization": "Bearer key"})


@settings(max_examples=200, deadline=None)
@given(authorization=st.text(max_size=80), query=st.binary(max_size=120), path=st.binary())
def test_no_input_causes_anything_but_a_refusal(
    authorization: str, query: bytes, path: bytes
) -> None:
    headers = {"host": HOST, "x-amz-date": "20260101T000000Z"}
    for text in (authorization, "AWS4-HMAC-SHA256 " + authorization):
        refusal(Signed("GET", path, b"", headers | {"authorization": text}, b"", 0))
    refusal(Signed("GET", path, b"X-Amz-Algorithm=AWS4-HMAC-SHA256&" + query, headers, b"", 0))
