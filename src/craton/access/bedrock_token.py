"""Short-term Bedrock API keys: a bearer token that is a presigned request, made with an access key.

Source: AWS's `aws-bedrock-token-generator` 1.1.0 (Apache-2.0), as it makes them: `bedrock-api-key-`
and the base64 of `bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-…&Version=1`, which is a
POST with no body, signed in its query for the service `bedrock`, and good for at most twelve hours.
`Version` is added after signing.
"""

import base64
import binascii

import msgspec

from craton.access.sigv4 import SecretFor, verify
from craton.kernel.errors import Unauthenticated

PREFIX = b"bedrock-api-key-"
LIFE_S_MAX = 43_200
TOKEN_BYTES_MAX = 8192
RECENT_MAX = 10_000

_HOST = b"bedrock.amazonaws.com"
_ACTION = b"Action=CallWithBearerToken"
_VERSION = b"&Version=1"


class _Checked(msgspec.Struct, frozen=True):
    access_key_id: str
    good_until_s: float


class BedrockTokens:
    """Checks tokens, and remembers those that were good: a check costs as much as a signature."""

    def __init__(self, secret_for: SecretFor) -> None:
        self._secret_for = secret_for
        self._recent: dict[bytes, _Checked] = {}

    def access_key_id(self, token: bytes, *, now_s: float) -> str:
        """The access key that a token was made with; Unauthenticated says what is wrong with it.

        Whether that key is still active is the caller's to ask: a token that was good before is
        not looked up again.
        """
        checked = self._recent.get(token)
        if checked is None:
            checked = self._check(token, now_s)
            if len(self._recent) >= RECENT_MAX:
                self._recent.clear()
            self._recent[token] = checked
        if now_s > checked.good_until_s:
            del self._recent[token]
            raise _expired()
        return checked.access_key_id

    def _check(self, token: bytes, now_s: float) -> _Checked:
        try:
            verified = verify(
                "POST",
                b"/",
                _query(token),
                {"host": _HOST.decode()},
                b"",
                now_s=now_s,
                secret_for=self._secret_for,
                services=("bedrock",),
            )
        except Unauthenticated as error:
            if error.code == "ExpiredTokenException":
                raise _expired() from None
            raise Unauthenticated(
                f"The Bedrock API key can't be used: {error.message}", code=error.code
            ) from None
        assert verified.good_until_s is not None, "a presigned request has an end"
        if verified.good_until_s - verified.signed_s > LIFE_S_MAX:
            raise Unauthenticated(
                f"The Bedrock API key is made for over {LIFE_S_MAX // 3600} hours. Make one for "
                "less."
            )
        return _Checked(verified.access_key_id, verified.good_until_s)


def _query(token: bytes) -> bytes:
    """The presigned query of a token."""
    text = token[len(PREFIX) :]
    if len(text) > TOKEN_BYTES_MAX:
        raise Unauthenticated("it is too long. Send it as it was made.")
    try:
        url = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthenticated("it isn't base64. Send it as it was made.") from None
    target, separator, query = url.partition(b"/?")
    query = query.removesuffix(_VERSION)
    if target != _HOST or not separator or query.split(b"&").count(_ACTION) != 1:
        raise Unauthenticated("it isn't a presigned CallWithBearerToken. Send it as it was made.")
    return query


def _expired() -> Unauthenticated:
    return Unauthenticated(
        "Bearer Token has expired. Make another Bedrock API key, with your access key.",
        code="ExpiredTokenException",
    )
