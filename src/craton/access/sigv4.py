"""Verifies AWS Signature Version 4, in a header or in a presigned query.

A pure function of the request, the time and a look-up of secrets. Source: "Signature Version 4 for
API requests" in the IAM User Guide; the canonical form is the one botocore signs, for every service
but S3: the raw path is encoded once more, and the raw query's parameters are sorted as they came.

Refusals are Unauthenticated with AWS's own code and words.
"""

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import NoReturn
from urllib.parse import quote, unquote

import msgspec

from craton.kernel.errors import Unauthenticated

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_S_MAX = 300
"""How far the client's clock may be off."""
AUTHORITY = ":authority"
"""What SDKs that speak HTTP/2 sign for the host (AWS's for JavaScript does); it sorts first."""
EXPIRES_S_MAX = 604_800
"""A presigned request is good for a week at most."""

SecretFor = Callable[[str], str]
"""Access key id to secret; raises Unauthenticated for a key that is unknown or revoked."""


class Verified(msgspec.Struct, frozen=True):
    """A signature that checked out."""

    access_key_id: str
    region: str
    service: str
    signed_s: float
    """When it was signed, in seconds since the epoch."""
    good_until_s: float | None
    """When a presigned request expires; None for a signature in a header."""


class _Scope(msgspec.Struct, frozen=True):
    """Who signed, for what, and which headers: the part that a client's requests share."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]


class _Claim(msgspec.Struct, frozen=True):
    """What a request says about its signature, not yet checked."""

    scope: _Scope
    signature: str
    timestamp: str
    query: bytes
    """The query that was signed: a presigned one leaves its signature out."""
    expires_s: int | None = None


def is_signed(raw_query: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the request claims a SigV4 signature at all."""
    return headers.get("authorization", "").startswith(ALGORITHM) or b"X-Amz-Signature" in raw_query


def verify(
    method: str,
    raw_path: bytes,
    raw_query: bytes,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float,
    secret_for: SecretFor,
    services: Collection[str],
    region: str | None = None,
) -> Verified:
    """Verify one request, or raise Unauthenticated.

    Path and query are as they stood on the wire. Header names are lower-case; values are decoded
    as Latin-1, several of one name joined by commas. `now_s` is seconds since the epoch. `services`
    are the signing names this endpoint answers to; `region` is its region, or None for any.
    """
    authorization = headers.get("authorization")
    presigned = b"X-Amz-" in raw_query and (
        b"X-Amz-Algorithm=" in raw_query or b"X-Amz-Signature=" in raw_query
    )
    if authorization is None:
        if not presigned:
            _refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
        claim = _claim_of_query(raw_query)
    elif presigned:
        _refuse(
            "InvalidSignatureException",
            "Only one way of signing is allowed: the Authorization header or the X-Amz- query "
            "parameters. Send one of them.",
        )
    else:
        claim = _claim_of_header(authorization, headers, raw_query)
    scope = claim.scope
    _check_scope(scope, services, region)
    signed_s = _check_time(claim, now_s)
    if scope.signed_headers[0] == AUTHORITY and "host" in headers:
        headers = {**headers, AUTHORITY: headers["host"]}
    _check_headers(scope, headers)
    if "x-amz-security-token" in headers or b"X-Amz-Security-Token=" in raw_query:
        _refuse(
            "UnrecognizedClientException",
            "The security token included in the request is invalid: this cloud issues no session "
            "tokens. Unset AWS_SESSION_TOKEN and use an access key of this cloud.",
        )
    secret = secret_for(scope.access_key_id)
    request = _canonical_request(method, raw_path, headers, body, claim)
    key = _signing_key(secret, scope.date, scope.region, scope.service)
    to_sign = (
        f"{ALGORITHM}\n{claim.timestamp}\n"
        f"{scope.date}/{scope.region}/{scope.service}/aws4_request\n"
        f"{hashlib.sha256(request).hexdigest()}"
    )
    expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode(errors="replace")):
        _refuse(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details.",
        )
    return Verified(
        access_key_id=scope.access_key_id,
        region=scope.region,
        service=scope.service,
        signed_s=signed_s,
        good_until_s=None if claim.expires_s is None else signed_s + claim.expires_s,
    )


def _refuse(code: str, message: str) -> NoReturn:
    raise Unauthenticated(message, code=code)


# --- the claim ----------------------------------------------------------------------------------

_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE_AT_END = "Signature="
_QUERY_PARTS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


def _claim_of_header(authorization: str, headers: Mapping[str, str], raw_query: bytes) -> _Claim:
    # Every SDK writes the signature last; what stands before it repeats for a day, so its parts
    # are kept. Anything else takes the same road without being kept.
    before, signature = authorization[:-64], authorization[-64:]
    if before.endswith(_SIGNATURE_AT_END) and len(before) <= 512:
        scope = _kept_scope(before)
    else:
        parts = _authorization_parts(authorization)
        scope, signature = _scope_of_parts(parts), parts["Signature"]
    timestamp = headers.get("x-amz-date")
    if timestamp is None:
        _refuse(
            "IncompleteSignatureException",
            "Authorization header requires existence of an 'X-Amz-Date' header.",
        )
    return _Claim(scope=scope, signature=signature, timestamp=timestamp, query=raw_query)


def _authorization_parts(authorization: str) -> dict[str, str]:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        _refuse(
            "IncompleteSignatureException",
            f"Authorization must start with {ALGORITHM} and name its parts.",
        )
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        name, _, value = piece.strip().partition("=")
        if name in parts:
            _refuse("IncompleteSignatureException", f"Authorization names {name!r} twice.")
        parts[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            _refuse(
                "IncompleteSignatureException",
                f"Authorization header requires '{name}' parameter.",
            )
    return parts


def _scope_of_parts(parts: dict[str, str]) -> _Scope:
    return _scope(parts["Credential"], parts["SignedHeaders"])


@lru_cache(maxsize=4096)
def _kept_scope(before: str) -> _Scope:
    return _scope_of_parts(_authorization_parts(before + "…"))


def _claim_of_query(raw_query: bytes) -> _Claim:
    parts: dict[str, str] = {}
    rest: list[bytes] = []
    for pair in raw_query.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name = raw_name.decode("latin-1")
        if name in _QUERY_PARTS:
            if name in parts:
                _refuse("IncompleteSignatureException", f"The query names {name!r} twice.")
            parts[name] = unquote(raw_value.decode("latin-1"))
        if name != "X-Amz-Signature":
            rest.append(pair)
    for name in _QUERY_PARTS:
        if not parts.get(name):
            _refuse(
                "IncompleteSignatureException",
                f"AWS query-string parameters must include '{name}'.",
            )
    if parts["X-Amz-Algorithm"] != ALGORITHM:
        _refuse(
            "IncompleteSignatureException", f"The only algorithm for signatures is {ALGORITHM}."
        )
    expires = parts["X-Amz-Expires"]
    if not expires.isascii() or not expires.isdigit() or len(expires) > 6:
        _refuse("IncompleteSignatureException", "X-Amz-Expires must be a number of seconds.")
    if not 1 <= int(expires) <= EXPIRES_S_MAX:
        _refuse(
            "IncompleteSignatureException",
            f"X-Amz-Expires must be from 1 to {EXPIRES_S_MAX} seconds (a week).",
        )
    return _Claim(
        scope=_scope(parts["X-Amz-Credential"], parts["X-Amz-SignedHeaders"]),
        signature=parts["X-Amz-Signature"],
        timestamp=parts["X-Amz-Date"],
        query=b"&".join(rest),
        expires_s=int(expires),
    )


def _scope(credential: str, signed_headers: str) -> _Scope:
    pieces = credential.rsplit("/", 4)
    if len(pieces) != 5 or not all(pieces):
        _refuse(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/term, got {credential[:200]!r}.",
        )
    access_key_id, date, region, service, terminator = pieces
    if terminator != "aws4_request":
        _refuse(
            "InvalidSignatureException",
            "Credential should be scoped with a valid terminator: 'aws4_request', not "
            f"{terminator[:50]!r}.",
        )
    names = tuple(signed_headers.split(";"))
    if "host" not in names and names[0] != AUTHORITY:
        _refuse(
            "InvalidSignatureException",
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        )
    if len(set(names)) != len(names):
        _refuse("IncompleteSignatureException", "SignedHeaders names a header twice.")
    return _Scope(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
    )


# --- what must hold besides the signature -------------------------------------------------------


def _check_scope(scope: _Scope, services: Collection[str], region: str | None) -> None:
    if scope.service not in services:
        _refuse(
            "InvalidSignatureException",
            f"Credential should be scoped to correct service: {sorted(services)}, not "
            f"{scope.service[:50]!r}.",
        )
    if region is not None and scope.region != region:
        _refuse(
            "InvalidSignatureException",
            f"Credential should be scoped to a valid region: {region!r}, not "
            f"{scope.region[:50]!r}. Set AWS_REGION to it.",
        )


def _check_time(claim: _Claim, now_s: float) -> int:
    signed_s = _seconds(claim.timestamp)
    if signed_s is None:
        _refuse(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got {claim.timestamp[:50]!r}. "
            "See http://en.wikipedia.org/wiki/ISO_8601",
        )
    if claim.scope.date != claim.timestamp[:8]:
        _refuse(
            "InvalidSignatureException",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: {claim.scope.date[:20]!r} != {claim.timestamp[:8]!r}, from "
            f"{claim.timestamp!r}.",
        )
    if signed_s > now_s + SKEW_S_MAX:
        _refuse(
            "InvalidSignatureException",
            f"Signature not yet current: {claim.timestamp} is still later than "
            f"{_text(now_s + SKEW_S_MAX)} ({_text(now_s)} + 5 min.). Set this machine's clock.",
        )
    if claim.expires_s is not None:
        if now_s > signed_s + claim.expires_s:
            _refuse(
                "ExpiredTokenException",
                f"The presigned request has expired: it was good until "
                f"{_text(signed_s + claim.expires_s)}, and it is {_text(now_s)}. Sign it anew.",
            )
    elif signed_s < now_s - SKEW_S_MAX:
        _refuse(
            "InvalidSignatureException",
            f"Signature expired: {claim.timestamp} is now earlier than "
            f"{_text(now_s - SKEW_S_MAX)} ({_text(now_s)} - 5 min.). Set this machine's clock.",
        )
    return signed_s


@lru_cache(maxsize=1024)
def _seconds(timestamp: str) -> int | None:
    if not _TIMESTAMP.fullmatch(timestamp):
        return None
    year, month, day = int(timestamp[:4]), int(timestamp[4:6]), int(timestamp[6:8])
    hour, minute, second = int(timestamp[9:11]), int(timestamp[11:13]), int(timestamp[13:15])
    if year < 1970 or not 1 <= month <= 12:
        return None
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))


def _text(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _check_headers(scope: _Scope, headers: Mapping[str, str]) -> None:
    for name in scope.signed_headers:
        if name not in headers:
            _refuse(
                "InvalidSignatureException",
                f"The signed header {name[:100]!r} is not in the request. Header names in "
                "SignedHeaders are lower-case.",
            )


# --- the canonical request ----------------------------------------------------------------------


def _canonical_request(
    method: str, raw_path: bytes, headers: Mapping[str, str], body: bytes, claim: _Claim
) -> bytes:
    signed = claim.scope.signed_headers
    lines = "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in signed])
    body_hash = hashlib.sha256(body).hexdigest()
    declared = headers.get("x-amz-content-sha256")
    if declared is not None and declared != body_hash:
        _refuse_body_hash(declared)
    text = (
        f"{method}\n{_canonical_path(raw_path)}\n{_canonical_query(claim.query)}\n"
        f"{lines}\n{';'.join(signed)}\n{body_hash}"
    )
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # headers decoded as UTF-8: encoded as they came
        return text.encode()


def _refuse_body_hash(declared: str) -> NoReturn:
    if declared == "UNSIGNED-PAYLOAD" or declared.startswith("STREAMING-"):
        _refuse(
            "InvalidSignatureException",
            f"x-amz-content-sha256 is {declared[:60]!r}, which these services don't take. Send the "
            "SHA-256 of the body, or leave the header out.",
        )
    _refuse(
        "InvalidSignatureException",
        "The value of x-amz-content-sha256 does not match the SHA-256 of the body that arrived.",
    )


def _canonical_path(raw_path: bytes) -> str:
    # Only short paths are kept, so that nobody can fill the memory with long ones.
    return _short_path(raw_path) if len(raw_path) <= 512 else _encode_path(raw_path)


def _encode_path(raw_path: bytes) -> str:
    text = raw_path.decode("latin-1")
    kept: list[str] = []
    for segment in text.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    last = "/" if text.endswith("/") and kept else ""
    return quote("/" + "/".join(kept) + last, safe="/~", encoding="latin-1")


_short_path = lru_cache(maxsize=1024)(_encode_path)


def _canonical_query(raw_query: bytes) -> str:
    if not raw_query:
        return ""
    pairs: list[tuple[str, str]] = []
    for pair in raw_query.decode("latin-1").split("&"):
        name, _, value = pair.partition("=")
        pairs.append((name, value))
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


@lru_cache(maxsize=4096)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
