"""Every endpoint of the native API, made from one table of operations."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from craton.apis.app import Endpoint, Finder
from craton.apis.exchange import Exchange
from craton.apis.native import (
    accounts,
    bill,
    budgets,
    catalogue,
    commitments,
    fleet,
    fleet_capacity,
    fleet_leases,
    fleet_upkeep,
    limits,
    page,
    policies,
    prices,
    runs,
)
from craton.apis.native.document import openapi
from craton.apis.native.operation import DOCUMENT, PAGE, PREFIX, Caller, Operation, is_parameter
from craton.apis.native.wire import JSON, REQUEST_ID, NativeWire
from craton.apis.services import Services
from craton.http import HttpRequest
from craton.kernel.errors import BadRequest, NotFound

OPERATIONS: tuple[Operation[Any], ...] = (
    *accounts.OPERATIONS,
    *catalogue.OPERATIONS,
    *bill.OPERATIONS,
    *prices.OPERATIONS,
    *budgets.OPERATIONS,
    *limits.OPERATIONS,
    *policies.OPERATIONS,
    *fleet.OPERATIONS,
    *fleet_capacity.OPERATIONS,
    *fleet_leases.OPERATIONS,
    *fleet_upkeep.OPERATIONS,
    *commitments.OPERATIONS,
    *runs.OPERATIONS,
)
NO_STORE = (b"cache-control", b"no-store")
"""Answers may hold secrets and are right only now."""
_HTML = (b"content-type", b"text/html; charset=utf-8")
_POLICY = (b"content-security-policy", page.POLICY.encode())

WIRE = NativeWire()


def native_endpoints(
    services: Services,
) -> tuple[dict[tuple[str, bytes], Endpoint], Finder]:
    """The endpoints with fixed paths, and a finder for the rest of `/craton`."""
    document = openapi(OPERATIONS)
    exact = {
        ("GET", DOCUMENT.encode()): _open(msgspec.json.format(msgspec.json.encode(document)), JSON),
        ("GET", PAGE.encode()): _open(page.html(document).encode(), _HTML, _POLICY),
    }
    by_operation = [(operation, _endpoint(services, operation)) for operation in OPERATIONS]
    for operation, endpoint in by_operation:
        if not any(is_parameter(segment) for segment in operation.segments):
            exact[operation.method, (PREFIX + operation.path).encode()] = endpoint
    return exact, NativeFinder(by_operation)


class NativeFinder:
    """Finds operations whose path has parameters, and says no to the rest of `/craton`.

    Asked after the fixed paths, so that `/usage/summary` is no request's id.
    """

    def __init__(self, endpoints: list[tuple[Operation[Any], Endpoint]]) -> None:
        self._endpoints = endpoints
        self._unknown = Endpoint(WIRE, _refuse_unknown, None)

    def __call__(self, request: HttpRequest) -> Endpoint | None:
        """The endpoint of a request under `/craton`; None for other paths."""
        path = request.raw_path
        if not path.startswith(b"/craton/") and path != b"/craton":
            return None
        segments = tuple(path.decode("latin-1").split("/"))
        found = [pair for pair in self._endpoints if pair[0].matches(segments)]
        for operation, endpoint in found:
            if operation.method == request.method:
                return endpoint
        allowed = {operation.method for operation, _ in found}
        if path.decode("latin-1") in (DOCUMENT, PAGE):
            allowed.add("GET")
        return Endpoint(WIRE, _refuse_method(sorted(allowed)), None) if allowed else self._unknown


def _endpoint(services: Services, operation: Operation[Any]) -> Endpoint:
    async def run(exchange: Exchange) -> None:
        assert exchange.principal is not None, "an operation ran before its caller was known"
        asked = operation.read(exchange.request)
        answer = await operation.run(Caller(exchange.principal, services), asked)
        headers = (JSON, NO_STORE, (REQUEST_ID, exchange.request_id.encode()))
        exchange.respond((operation.status, headers, msgspec.json.encode(answer)))

    return Endpoint(WIRE, run, operation.action)


def _open(body: bytes, *headers: tuple[bytes, bytes]) -> Endpoint:
    async def run(exchange: Exchange) -> None:
        exchange.respond((200, headers, body))

    return Endpoint(WIRE, run, None)


def _refuse_method(allowed: list[str]) -> Callable[[Exchange], Awaitable[None]]:
    async def run(exchange: Exchange) -> None:
        request = exchange.request
        error = BadRequest(
            f"{_path(request)} takes {' and '.join(allowed)}, not {request.method}. See {PAGE}."
        )
        exchange.fault = error.fault
        _, headers, body = WIRE.error(error, exchange.request_id)
        allow = (b"allow", ", ".join(allowed).encode())
        exchange.respond((405, (*headers, allow), body))

    return run


async def _refuse_unknown(exchange: Exchange) -> None:
    raise NotFound(
        f"There is no {_path(exchange.request)} in Craton's API. {PAGE} lists what there is."
    )


def _path(request: HttpRequest) -> str:
    return request.raw_path.decode("latin-1")[:256]
