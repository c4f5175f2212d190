"""Every endpoint of every protocol, in one table."""

from collections.abc import Callable
from dataclasses import dataclass

from craton.apis.anthropic.endpoints import AnthropicFinder, anthropic_endpoints
from craton.apis.app import Endpoint, Finder
from craton.apis.aws.operations import entries
from craton.apis.aws.wire import AwsWire
from craton.apis.bedrock.endpoints import AwsFallback
from craton.apis.native.signals import signal_endpoints
from craton.apis.openai.endpoints import OpenAIFinder, openai_endpoints
from craton.apis.services import Services
from craton.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Table:
    """Exact paths first, then finders in order, then whatever is left is asked of AWS's models."""

    exact: dict[tuple[str, bytes], Endpoint]
    finders: list[Finder]
    fallback: Callable[[HttpRequest], Endpoint]
    signing_names: frozenset[str]


def endpoints(services: Services, *, default_model: str) -> Table:
    """Wire every protocol."""
    aws = AwsWire()
    aws.load()
    return Table(
        exact={
            **signal_endpoints(services, default_model=default_model),
            **openai_endpoints(services),
            **anthropic_endpoints(services),
        },
        finders=[AnthropicFinder(services), OpenAIFinder(services)],
        fallback=AwsFallback(services, aws),
        signing_names=frozenset(entry.signing_name for entry in entries()),
    )
