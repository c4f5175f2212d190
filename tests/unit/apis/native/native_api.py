import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from craton.access.directory import Directory
from craton.access.records import AccessKey, Account, ApiKey, Project, Role
from craton.apis.app import App, Routes
from craton.apis.authenticator import Authenticator
from craton.apis.native.endpoints import native_endpoints
from craton.apis.services import Services
from craton.fleet.run_folder import RunFolder
from craton.http import Headers, HttpRequest
from craton.kernel.clock import ManualClock
from craton.kernel.ids import Ids
from craton.kernel.log import Level, Log
from craton.kernel.metrics import Metrics
from craton.models.card import Alias, EchoSource, ModelCard, RemoteSource
from craton.models.router import Router
from craton.store.kind import Change

OPERATOR = "sk-craton-operator"
MEMBER = "sk-craton-member"
OTHER = "sk-craton-other-account"


class FakeState:
    """Remembers what it was asked, and answers what it was told to."""

    is_leased = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.replies: dict[str, Any] = {}

    async def call(
        self, name: str, body: Any, reads: type, *, timeout_s: float = 10, resend: bool = False
    ) -> Any:
        self.calls.append((name, body))
        reply = self.replies[name]
        if isinstance(reply, Exception):
            raise reply
        reply = reply(body) if callable(reply) else reply
        assert isinstance(reply, reads)
        return reply


@dataclass
class FakeResponder:
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    is_gone: bool = False
    is_started: bool = False

    def respond(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body, self.is_started = status, dict(headers), body, True

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def error(self) -> tuple[int, str, str]:
        error = self.json()["error"]
        return self.status, error["type"], error["message"]


class Api:
    """The native API in front of a fake state process."""

    def __init__(self, runs: RunFolder | None = None) -> None:
        self.state = FakeState()
        self.directory = Directory()
        self.router = Router(lambda _: None, lambda _: None)
        clock = ManualClock()
        self.metrics = Metrics()
        services = Services(
            process="gateway-0",
            directory=self.directory,
            router=self.router,
            state=self.state,
            inference=None,
            embedding=None,
            clock=clock,
            ids=Ids(clock),
            log=Log("test", level=Level.ERROR),
            metrics=self.metrics,
            region="us-east-1",
            runs=runs,
        )
        self.exact, self.finder = native_endpoints(services)
        routes = Routes(
            exact=self.exact,
            finders=[self.finder],
            fallback=lambda request: pytest.fail(f"nobody takes {request.raw_path}"),
        )
        self.app = App(
            services, routes, Authenticator(self.directory, clock, signing_names=frozenset())
        )
        for account in (
            Account("111111111111", "default", 1),
            Account("222222222222", "other", 2),
        ):
            self.keep("account", account)
        for project in (
            Project("proj-one", "111111111111", "default", 1),
            Project("proj-two", "222222222222", "default", 2),
        ):
            self.keep("project", project)
        self.key("key-operator", OPERATOR, "111111111111", "proj-one", Role.OPERATOR)
        self.key("key-member", MEMBER, "111111111111", "proj-one", Role.MEMBER)
        self.key("key-other", OTHER, "222222222222", "proj-two", Role.MEMBER)
        self.keep(
            "access_key",
            AccessKey(
                "AKIAONE", "first", "111111111111", "proj-one", Role.OPERATOR, b"SECRET-TEXT", 1
            ),
        )
        self.keep(
            "model", ModelCard("craton.echo-1", "Echo 1", "Craton", EchoSource(), 1000, 100, 1)
        )
        self.keep(
            "model",
            ModelCard(
                "lab.far",
                "Far",
                "lab",
                RemoteSource("http://10.0.0.7:8000", "far-7b", credential_file="/keys/far"),
                1000,
                100,
                1,
            ),
        )
        self.keep("alias", Alias("gpt-4o", "craton.echo-1", 1), id="gpt-4o")

    def keep(self, kind: str, document: Any, id: str | None = None) -> None:
        change = Change(kind, id or document.id, msgspec.json.encode(document))
        self.directory.apply(change)
        self.router.apply(change)

    def key(self, id: str, text: str, account: str, project: str, role: Role) -> None:
        digest = hashlib.sha256(text.encode()).digest()
        self.keep("api_key", ApiKey(id, id, account, project, role, digest, text[-4:], 1))

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = OPERATOR,
        raw: bytes | None = None,
    ) -> FakeResponder:
        raw_path, _, raw_query = path.encode().partition(b"?")
        headers = [(b"authorization", b"Bearer " + key.encode())] if key else []
        content = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        request = HttpRequest(method, raw_path, raw_query, Headers(headers), content, "127.0.0.1")
        responder = FakeResponder()
        await self.app.handle(request, responder)
        assert b"craton_internal_errors_total" in self.metrics.snapshot()
        assert self.internal_errors == 0
        return responder

    @property
    def internal_errors(self) -> float:
        return self.metrics.counter("craton_internal_errors_total", "").value
