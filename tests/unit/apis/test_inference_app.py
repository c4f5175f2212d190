"""The top of every request: who gets in, and what a fault of ours looks like."""

import asyncio
import io
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from craton.access.directory import Directory
from craton.access.policy import ADMINISTER
from craton.access.records import Principal
from craton.apis.app import App, Endpoint, Routes
from craton.apis.exchange import Exchange
from craton.apis.openai.endpoints import WIRE
from craton.http import Headers, HttpRequest
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BadRequest, Internal, Unauthenticated, Unavailable
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics, exposition
from tests.fakes.turns import PRINCIPAL, FakeResponder


class Gate:
    """The lease and the authenticator, as the test sets them."""

    def __init__(self) -> None:
        self.is_leased = True
        self.waited: list[float] = []
        self.principal_or_error: Principal | Exception = PRINCIPAL

    async def wait_leased(self, timeout_s: float) -> None:
        self.waited.append(timeout_s)
        raise Unavailable("The state process does not answer.")

    def principal(self, request: HttpRequest) -> Principal:
        if isinstance(self.principal_or_error, Exception):
            raise self.principal_or_error
        return self.principal_or_error


class Served:
    """An app with one endpoint that does what the test says."""

    def __init__(self, run: Any, *, action: str | None = "bedrock:InvokeModel") -> None:
        clock = ManualClock()
        self.gate = Gate()
        self.metrics = Metrics()
        self.log = io.BytesIO()
        self.responder = FakeResponder()
        services: Any = SimpleNamespace(
            process="gateway-0",
            state=self.gate,
            clock=clock,
            ids=Ids(clock),
            log=Log("gateway-0", stream=self.log, clock=clock),
            metrics=self.metrics,
            tracing=None,
            directory=Directory(),
            region="us-east-1",
            is_secure=False,
        )
        endpoint = Endpoint(WIRE, run, action)
        self.app = App(services, Routes({}, [], lambda _: endpoint), self.gate)  # type: ignore[arg-type]

    async def ask(self, body: bytes = b"the secret prompt") -> None:
        request = HttpRequest("POST", b"/v1/x", b"", Headers(), body, "127.0.0.1")
        await self.app.handle(request, self.responder)  # type: ignore[arg-type]

    @property
    def internal_errors(self) -> int:
        for line in exposition([("p", self.metrics.snapshot())]).splitlines():
            if line.startswith("craton_internal_errors_total{"):
                return int(line.split()[-1])
        raise AssertionError("the counter stands there from the start")


async def test_a_fault_of_ours_is_a_500_counted_and_logged_without_the_prompt() -> None:
    async def broken(exchange: Exchange) -> None:
        raise KeyError(exchange.request.body)

    served = Served(broken)
    assert served.internal_errors == 0
    await served.ask()
    assert served.responder.status == 500
    assert served.internal_errors == 1
    log = served.log.getvalue()
    assert b"internal_error" in log
    assert b"KeyError" in log
    assert b"secret prompt" not in log
    assert b"secret prompt" not in served.responder.body


async def test_an_internal_error_known_as_such_is_counted_too() -> None:
    async def broken(_: Exchange) -> None:
        raise Internal("The secret of AKIA can't be decrypted.")

    served = Served(broken)
    await served.ask()
    assert (served.responder.status, served.internal_errors) == (500, 1)


async def test_a_fault_in_the_middle_of_a_stream_cuts_it_off() -> None:
    async def broken(exchange: Exchange) -> None:
        exchange.responder.start(200, [])
        exchange.responder.write(b"some")
        raise KeyError("x")

    served = Served(broken)
    await served.ask()
    assert served.responder.is_aborted
    assert served.internal_errors == 1


async def test_a_refusal_is_told_in_the_wires_own_words_and_counts_as_no_fault() -> None:
    async def refuse(_: Exchange) -> None:
        raise BadRequest("`temperature` must be 0 to 2.")

    served = Served(refuse)
    await served.ask()
    assert served.responder.status == 400
    error = msgspec.json.decode(served.responder.body)["error"]
    assert error["message"] == "`temperature` must be 0 to 2."
    assert served.internal_errors == 0


async def test_without_a_lease_nobody_is_let_in() -> None:
    """A key may have been revoked unseen."""
    ran: list[Exchange] = []

    async def run(exchange: Exchange) -> None:
        ran.append(exchange)

    served = Served(run)
    served.gate.is_leased = False
    await served.ask()
    assert served.responder.status == 503
    assert served.gate.waited
    assert ran == []


async def test_endpoints_open_to_all_need_neither_lease_nor_key() -> None:
    async def run(exchange: Exchange) -> None:
        exchange.respond((200, [], b"ok"))

    served = Served(run, action=None)
    served.gate.is_leased = False
    served.gate.principal_or_error = Unauthenticated("No key.")
    await served.ask()
    assert served.responder.status == 200


@pytest.mark.parametrize(
    ("action", "refusal", "status"),
    [
        ("bedrock:InvokeModel", Unauthenticated("No key."), 401),
        (ADMINISTER, None, 403),
    ],
)
async def test_a_wrong_caller_never_reaches_the_endpoint(
    action: str, refusal: Exception | None, status: int
) -> None:
    ran: list[Exchange] = []

    async def run(exchange: Exchange) -> None:
        ran.append(exchange)

    served = Served(run, action=action)
    if refusal is not None:
        served.gate.principal_or_error = refusal
    await served.ask()
    assert served.responder.status == status
    assert ran == []


async def test_a_cancelled_request_stays_cancelled() -> None:
    async def wait(_: Exchange) -> None:
        await asyncio.Event().wait()

    served = Served(wait)
    task = asyncio.ensure_future(served.ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert served.internal_errors == 0


async def test_a_fault_while_the_endpoint_is_looked_for_is_answered_and_counted() -> None:
    served = Served(None)

    def broken(_: HttpRequest) -> Endpoint:
        raise LookupError("a finder's own fault")

    services: Any = SimpleNamespace(
        process="gateway-0",
        state=served.gate,
        clock=ManualClock(),
        ids=Ids(ManualClock()),
        log=Log("gateway-0", stream=served.log, clock=ManualClock()),
        metrics=served.metrics,
        tracing=None,
        directory=Directory(),
        region="us-east-1",
        is_secure=False,
    )
    served.app = App(services, Routes({}, [], broken), served.gate)  # type: ignore[arg-type]
    await served.ask()
    assert served.responder.status == 500
    assert b"finder" not in served.responder.body
    assert served.internal_errors == 1


def test_what_http_could_not_take_keeps_its_finer_status() -> None:
    served = Served(None)
    late = BadRequest("The request came too slowly.", code="RequestTimeout")
    status, _, body = served.app.refuse(None, late)
    assert status == 408
    assert b"too slowly" in body
