"""HTTP to a running Craton, with nothing but the standard library: a command must start fast."""

import http.client
import re
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from craton.apis.native.contract import ErrorBody
from craton.cli.installation import Trust
from craton.kernel.errors import (
    AccessDenied,
    BadRequest,
    Conflict,
    CratonError,
    EngineFailed,
    EngineNotReady,
    EngineTimeout,
    Fault,
    Internal,
    NotFound,
    Throttled,
    Unauthenticated,
    Unavailable,
    raised,
)

Reads = TypeVar("Reads")

V1 = "/craton/v1"
TIMEOUT_S = 70
"""Above the 60 s that the slowest native operation may take, so that its own error arrives."""

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

Query = Mapping[str, str | int | None]

_BY_STATUS: dict[int, type[CratonError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    424: EngineFailed,
    429: Throttled,
    500: Internal,
    503: EngineNotReady,
    504: EngineTimeout,
}


class _WireError(msgspec.Struct):
    message: str


class _WireErrorBody(msgspec.Struct):
    error: _WireError


class Connection:
    """Sends requests with one key; a connection each, since a command makes few."""

    def __init__(
        self, url: str, api_key: str, *, timeout_s: float = TIMEOUT_S, trust: Trust | None = None
    ) -> None:
        self.url = url
        self._trust = trust
        self._key = api_key
        self._timeout_s = timeout_s

    def get(self, path: str, reads: type[Reads], query: Query | None = None) -> Reads:
        """Call a native operation that reads."""
        return self._native("GET", path, reads, query=query)

    def post(self, path: str, reads: type[Reads], body: object) -> Reads:
        """Call a native operation that makes something."""
        return self._native("POST", path, reads, body=msgspec.json.encode(body))

    def put(self, path: str, reads: type[Reads], body: bytes) -> Reads:
        """Call a native operation that keeps its body as it is."""
        return self._native("PUT", path, reads, body=body)

    def delete(self, path: str, reads: type[Reads]) -> Reads:
        """Call a native operation that takes something away."""
        return self._native("DELETE", path, reads)

    def _native(
        self,
        method: str,
        path: str,
        reads: type[Reads],
        *,
        query: Query | None = None,
        body: bytes = b"",
    ) -> Reads:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        target = V1 + path + ("?" + urlencode(asked) if asked else "")
        with self.open(method, target, body) as answer:
            content = answer.read()
            if answer.status >= 300:
                raise _native_refusal(answer.status, content)
        return msgspec.json.decode(content, type=reads)

    @contextmanager
    def open(
        self, method: str, target: str, body: bytes = b""
    ) -> Generator[http.client.HTTPResponse]:
        """Send a request; Unavailable if nobody answers, or the answer breaks off."""
        connection = self._connection()
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        try:
            connection.request(method, target, body or None, headers)
            with connection.getresponse() as answer:
                yield answer
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"Craton does not answer at {self.url}: {reason}. Start it with `craton up`; "
                "`craton doctor` looks for what is wrong."
            ) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None, "the endpoint file holds a whole URL"
        if parts.scheme != "https":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._timeout_s)
        context = client_context(self._trust or Trust())
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=self._timeout_s, context=context
        )


def client_context(trust: Trust) -> ssl.SSLContext:
    """A TLS context that takes the Craton of this data folder, and no other server.

    A certificate that the operator gave is compared as it is: it is for a public name, and the
    address used here is this machine's own.
    """
    try:
        if trust.certificate:
            pem = _CERTIFICATE.search(Path(trust.certificate).read_text(encoding="ascii"))
            context = ssl.create_default_context(cadata=pem[0] if pem else "")
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            return context
        return ssl.create_default_context(cafile=trust.authority or None)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The certificate to know Craton by can't be read: {error}. Start Craton again; it "
            "writes down what it serves with."
        ) from None


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def wire_refusal(status: int, content: bytes) -> CratonError:
    """The error that a refusal of another protocol than the native one stands for."""
    try:
        message = msgspec.json.decode(content, type=_WireErrorBody).error.message
    except msgspec.MsgspecError:
        message = f"Craton answered with HTTP status {status}."
    return _BY_STATUS.get(status, EngineFailed)(message)


def _native_refusal(status: int, content: bytes) -> CratonError:
    try:
        detail = msgspec.json.decode(content, type=ErrorBody).error
        return raised(Fault(detail.type), detail.message)
    except (msgspec.MsgspecError, ValueError):
        return Unavailable(
            f"What answers there is no Craton, or another version: HTTP status {status}. Check "
            "the address with `craton doctor`."
        )
