"""Every endpoint of every protocol, in one table."""

from collections.abc import Callable
from dataclasses import dataclass

from craton.apis.anthropic.endpoints import anthropic_endpoints
from craton.apis.app import Endpoint, Finder
from craton.apis.native.endpoints import native_endpoints
from craton.apis.native.signals import signal_endpoints
from craton.apis.openai.endpoints import openai_endpoints
from craton.apis.services import Services
from craton.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Table:
    """Exact paths first, then finders in order, then whatever is left is asked of AWS's model."""

    exact: dict[tuple[str, bytes], Endpoint]
    finders: list[Finder]
    fallback: Callable[[HttpRequest], Endpoint]


def endpoints(services: Services, *, default_model: str) -> Table:
    """Wire every protocol."""
    raise NotImplementedError
