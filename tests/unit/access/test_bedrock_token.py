"""Short-term Bedrock API keys: what AWS's generator makes is taken, until it expires."""

import base64
import time
from typing import Any

import pytest

from craton.access.bedrock_token import BedrockTokens
from craton.kernel.errors import Unauthenticated
from tests.fakes.bedrock_token import HOST, bedrock_token, wrapped

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Secrets:
    """A look-up that counts, so that a remembered token can be told from a checked one."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, access_key_id: str) -> str:
        self.asked += 1
        if access_key_id != KEY:
            raise Unauthenticated("no such key", code="UnrecognizedClientException")
        return SECRET


def made(**options: Any) -> bytes:
    return bedrock_token(KEY, SECRET, **options).encode()


def refusal(token: bytes, *, now_s: float | None = None) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        BedrockTokens(Secrets()).access_key_id(token, now_s=now_s or time.time())
    return caught.value


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_token_names_the_access_key_it_was_made_with(region: str) -> None:
    token = made(region=region)
    assert BedrockTokens(Secrets()).access_key_id(token, now_s=time.time()) == KEY


def test_a_token_is_checked_once_and_good_until_it_expires() -> None:
    secrets = Secrets()
    tokens = BedrockTokens(secrets)
    token, now_s = made(expires_s=60), time.time()
    for _ in range(3):
        assert tokens.access_key_id(token, now_s=now_s) == KEY
    assert secrets.asked == 1
    with pytest.raises(Unauthenticated, match="Bearer Token has expired") as caught:
        tokens.access_key_id(token, now_s=now_s + 62)
    assert caught.value.code == "ExpiredTokenException"
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.access_key_id(token, now_s=now_s + 62)


def test_a_token_that_was_never_good_is_refused_every_time() -> None:
    error = refusal(made(expires_s=60), now_s=time.time() + 62)
    assert error.code == "ExpiredTokenException"
    assert refusal(made(), now_s=time.time() - 1000).code == "InvalidSignatureException"


def test_twelve_hours_is_the_longest_life() -> None:
    assert "12 hours" in refusal(made(expires_s=43_201)).message


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (bedrock_token(KEY, "wrong"), "does not match"),
        (bedrock_token("AKIANOBODY", SECRET), "no such key"),
        (bedrock_token(KEY, SECRET, session="token"), "issues no session tokens"),
        (bedrock_token(KEY, SECRET, service="sts"), "correct service"),
        (bedrock_token(KEY, SECRET, action="Other"), "CallWithBearerToken"),
        (bedrock_token(KEY, SECRET, host="example.org"), "CallWithBearerToken"),
        ("bedrock-api-key-", "CallWithBearerToken"),
        ("bedrock-api-key-%%%", "base64"),
        ("bedrock-api-key-" + "A" * 9000, "too long"),
        (wrapped(f"{HOST}/?Action=CallWithBearerToken&Version=1"), "Missing Authentication Token"),
        (wrapped(HOST), "CallWithBearerToken"),
    ],
)
def test_anything_else_is_refused_and_says_why(token: str, says: str) -> None:
    error = refusal(token.encode())
    assert error.message.startswith("The Bedrock API key can't be used: ")
    assert says in error.message


def test_no_byte_of_a_token_can_be_changed() -> None:
    url = base64.b64decode(made()[len("bedrock-api-key-") :]).decode()
    end = len(url) - len("&Version=1")
    for at in range(0, end, 7):
        changed = "0" if url[at] != "0" else "1"
        refusal(wrapped(url[:at] + changed + url[at + 1 :]).encode())


def test_what_was_not_signed_cannot_be_added() -> None:
    url = base64.b64decode(made()[len("bedrock-api-key-") :]).decode()
    for addition in ("&Action=Other", "&x=y", "&Action=CallWithBearerToken"):
        refusal(wrapped(url.removesuffix("&Version=1") + addition + "&Version=1").encode())
