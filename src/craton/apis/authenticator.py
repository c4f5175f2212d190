"""Who is calling: a SigV4 signature, a bearer key or short-term Bedrock key, or an `x-api-key`."""

from collections.abc import Collection

import msgspec

from craton.access.bedrock_token import PREFIX as BEDROCK_TOKEN
from craton.access.bedrock_token import BedrockTokens
from craton.access.directory import Directory, principal_of
from craton.access.records import Credential, Principal
from craton.access.sigv4 import is_signed, verify
from craton.http import HttpRequest
from craton.kernel.clock import Clock
from craton.kernel.errors import Unauthenticated

BEARER = b"bearer "


class Authenticator:
    """Finds the principal of a request, from the worker's snapshot of keys."""

    def __init__(
        self, directory: Directory, clock: Clock, *, signing_names: Collection[str]
    ) -> None:
        self._directory = directory
        self._signing_names = signing_names
        self._clock = clock
        self._bedrock_tokens = BedrockTokens(self._secret)

    def principal(self, request: HttpRequest) -> Principal:
        """The caller; Unauthenticated says what was wrong with the credential."""
        headers = request.headers
        if headers.is_repeating and (
            headers.is_repeated(b"authorization") or headers.is_repeated(b"x-api-key")
        ):
            raise Unauthenticated("The credential header came more than once. Send it once.")
        authorization = headers.get(b"authorization")
        if authorization is not None and authorization[:7].lower() == BEARER:
            return self._bearer(authorization[7:].strip())
        key = headers.get(b"x-api-key")
        if authorization is None and key is not None:
            return self._bearer(key)
        texts = header_texts(request)
        if authorization is not None or is_signed(request.raw_query, texts):
            return self._signed(request, texts)
        raise Unauthenticated(
            "No credential came with the request. Send an API key as `Authorization: Bearer …` or "
            '`x-api-key`, or sign it with SigV4. `eval "$(craton env)"` sets all of them.',
            code="MissingAuthenticationTokenException",
        )

    def _bearer(self, token: bytes) -> Principal:
        if not token.startswith(BEDROCK_TOKEN):
            return self._directory.bearer(token)
        now_s = self._clock.now_ns() / 1e9
        id = self._bedrock_tokens.access_key_id(token, now_s=now_s)
        principal = principal_of(self._directory.access_key(id))
        return msgspec.structs.replace(principal, credential=Credential.SHORT_TERM_KEY)

    def _signed(self, request: HttpRequest, headers: dict[str, str]) -> Principal:
        verified = verify(
            request.method,
            request.raw_path,
            request.raw_query,
            headers,
            request.body,
            now_s=self._clock.now_ns() / 1e9,
            secret_for=self._secret,
            services=self._signing_names,
        )
        return principal_of(self._directory.access_key(verified.access_key_id))

    def _secret(self, access_key_id: str) -> str:
        return self._directory.access_key(access_key_id).secret.decode()


def header_texts(request: HttpRequest) -> dict[str, str]:
    """Headers as text, by lower-case name; values of one name are joined by commas."""
    texts: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        texts[key] = f"{texts[key]},{text}" if key in texts else text
    return texts
