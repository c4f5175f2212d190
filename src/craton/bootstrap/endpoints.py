"""Every endpoint of every protocol, in one table."""

from collections.abc import Callable
from dataclasses import dataclass

from craton.apis.app import Endpoint, Finder
from craton.apis.exchange import Exchange
from craton.apis.native.signals import signal_endpoints
from craton.apis.native.wire import NativeWire
from craton.apis.openai.endpoints import OpenAIFinder, openai_endpoints
from craton.apis.services import Services
from craton.http import HttpRequest
from craton.kernel.errors import NotFound


@dataclass(frozen=True, slots=True)
class Table:
    """Exact paths first, then finders in order, then whatever is left is asked of AWS's model."""

    exact: dict[tuple[str, bytes], Endpoint]
    finders: list[Finder]
    fallback: Callable[[HttpRequest], Endpoint]


def endpoints(services: Services, *, default_model: str) -> Table:
    """Wire every protocol."""

    async def unknown(_: Exchange) -> None:
        raise NotFound("There is nothing here.")

    nothing = Endpoint(NativeWire(), unknown, None)
    return Table(
        exact={
            **signal_endpoints(services, default_model=default_model),
            **openai_endpoints(services),
        },
        finders=[OpenAIFinder(services)],
        fallback=lambda _: nothing,
    )
