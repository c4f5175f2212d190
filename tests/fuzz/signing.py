"""SigV4 and the other credentials, good and broken, made apart from Craton's own code.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import hashlib
import hmac
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from tests.fakes.craton import Keys

Header = tuple[bytes, bytes]
DAY_S = 86_400
HOST = "craton.test"


@dataclass(frozen=True, slots=True)
class Target:
    """What is signed."""

    method: str
    path: str
    query: str
    body: bytes
    service: str


def signed(
    target: Target, keys: Keys, *, at_s: float, region: str = "us-east-1", secret: str | None = None
) -> list[Header]:
    """The headers of a signed request; `at_s` is when it is signed, in seconds since the epoch."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_s))
    scope = f"{stamp[:8]}/{region}/{target.service}/aws4_request"
    names = "host;x-amz-date"
    lines = f"host:{HOST}\nx-amz-date:{stamp}\n"
    signature = _signature(target, target.query, lines, names, stamp, scope, secret or _of(keys))
    value = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    return [(b"x-amz-date", stamp.encode()), (b"authorization", value.encode())]


def presigned(target: Target, keys: Keys, *, at_s: float, expires_s: int) -> str:
    """The query of a presigned request."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_s))
    scope = f"{stamp[:8]}/us-east-1/{target.service}/aws4_request"
    members = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in members.items())
    query = f"{target.query}&{query}" if target.query else query
    lines = f"host:{HOST}\n"
    signature = _signature(target, query, lines, "host", stamp, scope, _of(keys))
    return f"{query}&X-Amz-Signature={signature}"


def _of(keys: Keys) -> str:
    return keys.secret_access_key


def _signature(  # noqa: PLR0917 - what SigV4 puts together, in its own order
    target: Target, query: str, lines: str, names: str, stamp: str, scope: str, secret: str
) -> str:
    path = quote(target.path, safe="/~", encoding="latin-1")
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    canonical = "\n".join(
        (
            target.method,
            path,
            "&".join(f"{name}={value}" for name, value in pairs),
            lines,
            names,
            hashlib.sha256(target.body).hexdigest(),
        )
    )
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(
        key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256"
    ).hex()


def bearer(key: str) -> Header:
    return b"authorization", b"Bearer " + key.encode("latin-1")


def good(target: Target, keys: Keys, dice: random.Random, *, at_s: float) -> list[Header]:
    """Headers of a credential that checks out, of one of the three kinds."""
    # Signatures are over the path without empty and dotted parts; those are left to bearer keys.
    is_plain = target.path.startswith("/") and "//" not in target.path and "/." not in target.path
    roll = dice.random()
    if roll < 0.45 and is_plain:
        return signed(target, keys, at_s=at_s)
    return [bearer(keys.api_key)] if roll < 0.8 else [(b"x-api-key", keys.api_key.encode())]


Breaker = Callable[[Target, Keys, random.Random, float], list[Header]]


def _forged(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del dice
    return signed(target, keys, at_s=at_s, secret="wrong")


def _of_nobody(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del dice
    return signed(target, Keys(keys.account, "AKIANOBODY", "x", "x"), at_s=at_s)


def _expired(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    return signed(target, keys, at_s=at_s + dice.choice((-DAY_S, DAY_S, -1000, 1000, -(10**9))))


def _of_other_body(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del dice
    other = Target(target.method, target.path, target.query, target.body + b" ", target.service)
    return signed(other, keys, at_s=at_s)


def _with_token(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del dice
    return [*signed(target, keys, at_s=at_s), (b"x-amz-security-token", b"FwoGZXIvYXdzE")]


def _wrong_service(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    service = dice.choice(("s3", "", "execute-api", "bedrock/x"))
    other = Target(target.method, target.path, target.query, target.body, service)
    return signed(other, keys, at_s=at_s)


def _undated(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    stamp = dice.choice((b"", b"now", b"20260231T000000Z", b"99999999T999999Z", b"\xff" * 16))
    headers = signed(target, keys, at_s=at_s)[1:]
    return headers if dice.random() < 0.3 else [(b"x-amz-date", stamp), *headers]


def _odd_authorization(
    target: Target, keys: Keys, dice: random.Random, at_s: float
) -> list[Header]:
    del target, at_s
    key = keys.api_key
    value = dice.choice(
        (
            b"", b"Bearer", b"Bearer ", b"Bearer \xff\xfe", b"Basic eDp5", b"AWS4-HMAC-SHA256",
            b"AWS4-HMAC-SHA256 Credential=", b"AWS4-HMAC-SHA256 " + b"Credential=a/b/c/d/e,," * 9,
            b"AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=host, Signature=" + b"0" * 64,
            b"AWS4-ECDSA-P256-SHA256 Credential=a", b"Bearer " + b"a" * 4000,
            b"Bearer " + key[:-1].encode(), b"Bearer " + key.upper().encode(),
            b"Bearer " + key.encode() + b"x", b"\xe2\x80\xae", b"Bearer sk-craton-" + b"x" * 43,
        )
    )  # fmt: skip
    return [(b"authorization", value)]


def _doubled(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del target, at_s
    return [bearer(keys.api_key), bearer(dice.choice((keys.api_key, "x")))]


def _none(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del target, keys, dice, at_s
    return []


def _odd_key(target: Target, keys: Keys, dice: random.Random, at_s: float) -> list[Header]:
    del target, at_s
    value = dice.choice((b"", b"x", keys.access_key_id.encode(), b"\xff", b"sk-craton-\x80" * 40))
    return [(b"x-api-key", value)]


def _damaged_signature(
    target: Target, keys: Keys, dice: random.Random, at_s: float
) -> list[Header]:
    name, value = signed(target, keys, at_s=at_s)[1]
    at = -dice.randrange(1, 65)
    flipped = b"0" if value[at : len(value) + at + 1] != b"0" else b"1"
    damaged = value[:at] + flipped + value[len(value) + at + 1 :]
    return [*signed(target, keys, at_s=at_s)[:1], (name, damaged)]


BREAKERS: tuple[Breaker, ...] = (
    _forged, _of_nobody, _expired, _of_other_body, _with_token, _wrong_service, _undated,
    _odd_authorization, _odd_authorization, _doubled, _none, _odd_key, _damaged_signature,
)  # fmt: skip


def broken(target: Target, keys: Keys, dice: random.Random, *, at_s: float) -> list[Header]:
    """Headers of a credential that must be refused."""
    return dice.choice(BREAKERS)(target, keys, dice, at_s)


def broken_query(target: Target, keys: Keys, dice: random.Random, *, at_s: float) -> str:
    """The query of a presigned request that must be refused."""
    kind = dice.randrange(5)
    if kind == 0:
        return presigned(target, keys, at_s=at_s - 1000, expires_s=dice.choice((1, 900)))
    if kind == 1:
        return presigned(target, keys, at_s=at_s, expires_s=dice.choice((0, -1, 604_801, 10**9)))
    query = presigned(target, keys, at_s=at_s, expires_s=60)
    if kind == 2:
        return query[:-64] + dice.choice(("", "0" * 64, "%00" * 20, "%FF" * 9))
    name = dice.choice(("X-Amz-Date", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Expires"))
    if kind == 3:
        return query.replace(name + "=", name.lower() + "=", 1)
    return query.replace(name + "=", name + "=" + dice.choice(("0", "%E9", "%", "a%2Fb")), 1)
