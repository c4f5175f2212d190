"""Every kind of refusal through the real routes, told in the words of the protocol it came by."""

import asyncio
import dataclasses
import hashlib
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from craton.access.directory import Directory
from craton.access.records import AccessKey, AccountId, ApiKey, KeyId, KeyState, ProjectId, Role
from craton.apis.app import App, Routes
from craton.apis.authenticator import Authenticator
from craton.apis.embedding import Embedding
from craton.apis.exchange import Exchange
from craton.apis.inference import Inference
from craton.apis.services import Services
from craton.bootstrap.endpoints import endpoints
from craton.http import Headers, HttpRequest, HttpServer, ServerLimits
from craton.kernel.clock import ManualClock
from craton.kernel.errors import Unavailable
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics
from craton.models.card import EchoSource, ModelCard
from craton.models.router import Router
from craton.store.kind import Change
from tests.fakes.craton import Keys
from tests.fakes.turns import FakeResponder, FakeState, ScriptedEngine
from tests.fuzz.signing import HOST, Header, Target, bearer, signed

KEYS = Keys("111111111111", "AKIATEST", "a secret", "sk-craton-test-key")
FORM = b"application/x-www-form-urlencoded"
OWNER = (AccountId(KEYS.account), ProjectId("proj-a"), Role.OPERATOR)


class LeasedState(FakeState):
    """A state process whose lease the test gives and takes."""

    is_leased = True

    async def wait_leased(self, timeout_s: float) -> None:
        raise Unavailable("The state process does not answer. Try again.")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of one protocol, without its credential."""

    protocol: str
    method: str
    path: str
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    service: str = "bedrock"

    def http(self, *credential: Header) -> HttpRequest:
        pairs = [(b"host", HOST.encode()), *self.headers, *credential]
        path = self.path.encode()
        return HttpRequest(self.method, path, b"", Headers(pairs), self.body, "127.0.0.1")


VERSION = ((b"anthropic-version", b"2023-06-01"),)
IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"
ASKS = {
    "openai chat": Ask("openai", "POST", "/v1/chat/completions", body=b"{}"),
    "openai models": Ask("openai", "GET", "/v1/models"),
    "anthropic messages": Ask("anthropic", "POST", "/v1/messages", body=b"{}"),
    "anthropic models": Ask("anthropic", "GET", "/v1/models", VERSION),
    "converse": Ask("aws", "POST", "/model/test.echo-1/converse", body=b"{}"),
    "catalogue": Ask("aws", "GET", "/foundation-models"),
    "sts": Ask("query", "POST", "/", ((b"content-type", FORM),), IDENTITY, "sts"),
    "native": Ask("native", "GET", "/craton/v1/identity"),
}
EVERY = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())


@dataclass(frozen=True, slots=True)
class Told:
    """What a client learns of an error, whichever the protocol."""

    status: int
    kind: str
    message: str
    request_id: str


def told(protocol: str, status: int, headers: dict[bytes, bytes], body: bytes) -> Told:
    if protocol == "query":
        assert headers[b"content-type"] == b"text/xml"
        root = ElementTree.fromstring(body)
        code, message = root.findtext(".//Code"), root.findtext(".//Message")
        assert code is not None
        assert message is not None
        assert root.findtext(".//RequestId") == headers[b"x-amzn-requestid"].decode()
        return Told(status, code, message, headers[b"x-amzn-requestid"].decode())
    assert headers[b"content-type"] == b"application/json"
    document = msgspec.json.decode(body)
    match protocol:
        case "openai":
            error, id = document["error"], headers[b"x-request-id"]
            kind = error["code"]
        case "anthropic":
            assert document["type"] == "error"
            error, id = document["error"], headers[b"request-id"]
            kind = error["type"]
            assert document["request_id"] == id.decode()
        case "aws":
            error, id = document, headers[b"x-amzn-requestid"]
            kind = headers[b"x-amzn-errortype"].decode()
        case _:
            error, id = document["error"], headers[b"x-craton-request-id"]
            kind = error["type"]
            assert error["request_id"] == id.decode()
    return Told(status, kind, error["message"], id.decode())


@dataclass
class Gateway:
    """One worker's app with its real routes, in front of a fake state process."""

    state: LeasedState = field(default_factory=LeasedState)
    directory: Directory = field(default_factory=Directory)
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    log: io.BytesIO = field(default_factory=io.BytesIO)

    def __post_init__(self) -> None:
        router = Router(lambda _: ScriptedEngine([]), lambda _: None)
        card = ModelCard("test.echo-1", "Echo", "Test", EchoSource(), 1000, 100)
        router.apply(Change("model", card.id, msgspec.json.encode(card)))
        log = Log("gateway-0", stream=self.log, clock=self.clock)
        state: Any = self.state
        inference = Inference(router=router, state=state, clock=self.clock, log=log)
        services = Services(
            process="gateway-0",
            directory=self.directory,
            router=router,
            state=state,
            inference=inference,
            embedding=Embedding(router=router, inference=inference, clock=self.clock),
            clock=self.clock,
            ids=Ids(self.clock),
            log=log,
            metrics=self.metrics,
            region="us-east-1",
        )
        self.services = services
        self.table = endpoints(services, default_model=card.id)
        self.authenticator = Authenticator(
            self.directory, self.clock, signing_names=self.table.signing_names
        )
        self.app = App(services, self.table.routes, self.authenticator)
        self.keep(KeyState.ACTIVE)

    def keep(self, state: KeyState) -> None:
        """Both kinds of key, in a state."""
        account, project, role = OWNER
        digest = hashlib.sha256(KEYS.api_key.encode()).digest()
        api_key = ApiKey(KeyId("key-a"), "a", account, project, role, digest, "key", 1, state)
        access_key = AccessKey(
            KeyId(KEYS.access_key_id), "a", account, project, role,
            KEYS.secret_access_key.encode(), 1, state,
        )  # fmt: skip
        for kind, key in (("api_key", api_key), ("access_key", access_key)):
            self.directory.apply(Change(kind, key.id, msgspec.json.encode(key)))

    def breaking(self, run: Callable[[Exchange], Awaitable[None]]) -> None:
        """From here on every endpoint does this instead."""
        routes = self.table.routes

        def find(request: HttpRequest) -> Any:
            found = routes.exact.get((request.method, request.raw_path))
            for finder in routes.finders:
                found = found or finder(request)
            return dataclasses.replace(found or routes.fallback(request), run=run)

        self.app = App(self.services, Routes({}, [], find), self.authenticator)

    def credential(self, ask: Ask, *, by_signature: bool = False) -> list[Header]:
        if not by_signature:
            return [bearer(KEYS.api_key)]
        target = Target(ask.method, ask.path, "", ask.body, ask.service)
        return signed(target, KEYS, at_s=self.clock.now_ns() / 1e9)

    async def ask(self, ask: Ask, *credential: Header) -> Told:
        """The refusal of a request."""
        responder = FakeResponder()
        await self.app.handle(ask.http(*credential), responder)  # type: ignore[arg-type]
        return told(ask.protocol, responder.status, responder.headers, responder.body)

    @property
    def internal_errors(self) -> float:
        return self.metrics.counter("craton_internal_errors_total", "").value

    @property
    def refused(self) -> float:
        return self.metrics.counter("craton_http_refused_total", "").value


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


MISSING = {
    "openai": (401, "invalid_api_key"),
    "anthropic": (401, "authentication_error"),
    "aws": (403, "MissingAuthenticationTokenException"),
    "query": (403, "MissingAuthenticationToken"),
    "native": (401, "unauthenticated"),
}


@EVERY
async def test_without_a_credential_it_says_which_ones_there_are(
    gateway: Gateway, ask: Ask
) -> None:
    found = await gateway.ask(ask)
    assert (found.status, found.kind) == MISSING[ask.protocol]
    assert "Bearer" in found.message
    assert "SigV4" in found.message


REVOKED = {
    **MISSING,
    "aws": (403, "UnrecognizedClientException"),
    "query": (403, "InvalidClientTokenId"),
}


@EVERY
@pytest.mark.parametrize("by_signature", [False, True])
async def test_a_revoked_key_is_refused_whichever_way_it_is_sent(
    gateway: Gateway, ask: Ask, by_signature: bool
) -> None:
    credential = gateway.credential(ask, by_signature=by_signature)
    gateway.keep(KeyState.REVOKED)
    found = await gateway.ask(ask, *credential)
    assert (found.status, found.kind) == REVOKED[ask.protocol]
    assert KEYS.api_key not in found.message


@pytest.mark.parametrize("name", ["openai models", "anthropic models", "catalogue", "sts"])
@pytest.mark.parametrize("by_signature", [False, True])
async def test_the_same_request_with_a_good_key_is_served(
    gateway: Gateway, name: str, by_signature: bool
) -> None:
    """Or the refusals above would prove nothing."""
    ask = ASKS[name]
    responder = FakeResponder()
    credential = gateway.credential(ask, by_signature=by_signature)
    await gateway.app.handle(ask.http(*credential), responder)  # type: ignore[arg-type]
    assert responder.status == 200


LAPSED = {
    "openai": (503, "service_unavailable"),
    "anthropic": (503, "api_error"),
    "aws": (503, "ServiceUnavailableException"),
    "query": (503, "ServiceUnavailable"),
    "native": (503, "unavailable"),
}


@EVERY
async def test_while_the_lease_has_lapsed_even_a_good_key_is_told_to_try_again(
    gateway: Gateway, ask: Ask
) -> None:
    gateway.state.is_leased = False
    found = await gateway.ask(ask, *gateway.credential(ask))
    assert (found.status, found.kind) == LAPSED[ask.protocol]
    assert "Try again" in found.message
    assert gateway.internal_errors == 0


BROKEN = {
    "openai": (500, "internal_error"),
    "anthropic": (500, "api_error"),
    "aws": (500, "InternalServerException"),
    "query": (500, "InternalFailure"),
    "native": (500, "internal"),
}


@EVERY
async def test_a_fault_of_ours_is_a_500_that_is_counted_and_tells_only_its_id(
    gateway: Gateway, ask: Ask
) -> None:
    prompt = "what somebody asked"

    async def broken(exchange: Exchange) -> None:
        raise KeyError(prompt)  # a traceback has this line, and not what the name stands for

    gateway.breaking(broken)
    found = await gateway.ask(ask, *gateway.credential(ask))
    assert (found.status, found.kind) == BROKEN[ask.protocol]
    assert gateway.internal_errors == 1
    assert found.request_id in found.message
    for detail in ("KeyError", prompt, "Traceback", ".py", "line "):
        assert detail not in found.message
    log = gateway.log.getvalue().decode()
    assert found.request_id in log
    assert "KeyError" in log
    assert prompt not in log


UNKNOWN = {
    "openai": Ask("openai", "GET", "/v1/nothing"),
    "anthropic by its header": Ask("anthropic", "GET", "/v1/nothing", VERSION),
    "anthropic's method": Ask("anthropic", "PUT", "/v1/messages"),
    "aws": Ask("aws", "GET", "/no/such/operation"),
    "aws, not UTF-8": Ask("aws", "POST", "/model/%FF/converse"),
    "native": Ask("native", "GET", "/craton/v1/nothing"),
    "native's method": Ask("native", "PUT", "/craton/v1/identity"),
}
UNKNOWN_TOLD = {
    "openai": (404, "model_not_found"),
    "anthropic by its header": (404, "not_found_error"),
    "anthropic's method": (404, "not_found_error"),
    "aws": (404, "UnknownOperationException"),
    "aws, not UTF-8": (400, "SerializationException"),
    "native": (404, "not_found"),
    "native's method": (405, "bad_request"),
}


@pytest.mark.parametrize("name", UNKNOWN)
async def test_what_nobody_has_is_refused_by_whoever_it_was_meant_for(
    gateway: Gateway, name: str
) -> None:
    found = await gateway.ask(UNKNOWN[name], *gateway.credential(UNKNOWN[name]))
    assert (found.status, found.kind) == UNKNOWN_TOLD[name]
    assert gateway.internal_errors == 0


# --- what HTTP itself refuses, over a real socket ------------------------------------------------

TOO_LARGE = {
    "openai": (413, "request_too_large"),
    "anthropic": (413, "request_too_large"),
    "aws": (400, "ValidationException"),
    "query": (400, "ValidationError"),
    "native": (413, "too_large"),
}


@asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[int]:
    server = HttpServer(
        gateway.app.handle,
        limits=ServerLimits(body_bytes_max=1000),
        clock=gateway.clock,
        refuse=gateway.app.refuse,
        on_internal_error=gateway.app.internal_error,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    await server.start(listening)
    try:
        yield port
    finally:
        await server.close(0)


async def sent(port: int, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
    line, *lines = head.split(b"\r\n")
    pairs = (one.partition(b": ") for one in lines)
    return int(line.split()[1]), {name.lower(): value for name, _, value in pairs}, body


def head_of(ask: Ask, *lines: bytes) -> bytes:
    named = [name + b": " + value for name, value in ask.headers]
    first = f"{ask.method} {ask.path} HTTP/1.1\r\nhost: {HOST}".encode()
    return b"\r\n".join([first, *named, *lines]) + b"\r\n\r\n"


@pytest.mark.parametrize("name", [name for name in ASKS if name != "sts"])
@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_over_the_limit_is_refused_in_the_protocol_of_its_path(
    gateway: Gateway, name: str, is_declared: bool
) -> None:
    ask = ASKS[name]
    if is_declared:
        data = head_of(ask, b"content-length: 1001")
    else:
        data = head_of(ask, b"transfer-encoding: chunked") + b"3e9\r\n" + b"x" * 1001 + b"\r\n"
    async with served(gateway) as port:
        found = told(ask.protocol, *await sent(port, data))
    assert (found.status, found.kind) == TOO_LARGE[ask.protocol]
    assert "1000" in found.message
    assert (gateway.refused, gateway.internal_errors) == (1, 0)


@pytest.mark.parametrize("path", ["/model/%FF/converse", "/foundation-models/%FF", "/", "/%"])
async def test_a_body_over_the_limit_is_refused_on_any_path(gateway: Gateway, path: str) -> None:
    """Also where the path alone would be refused: looking for its words must not fail."""
    ask = Ask("aws", "POST", path)
    async with served(gateway) as port:
        found = told("aws", *await sent(port, head_of(ask, b"content-length: 1001")))
    assert found.status == 400
    assert "1000" in found.message
    assert gateway.refused == 1


async def test_bytes_that_are_no_http_are_refused_in_aws_words(gateway: Gateway) -> None:
    """Nothing is known of who sent them, and the server's fallback is AWS."""
    async with served(gateway) as port:
        found = told("aws", *await sent(port, b"\x16\x03\x01 hello\r\n\r\n"))
    assert (found.status, found.kind) == (400, "ValidationException")
    assert "Malformed" in found.message
