"""Every endpoint of every protocol, in one table."""

from dataclasses import dataclass

from craton.apis.anthropic.endpoints import AnthropicFinder, anthropic_endpoints
from craton.apis.app import Routes
from craton.apis.aws.operations import entries
from craton.apis.aws.wire import AwsWire
from craton.apis.bedrock.endpoints import AwsFallback
from craton.apis.ec2.endpoints import Ec2
from craton.apis.ec2.operation import Place
from craton.apis.ec2.table import operations
from craton.apis.native.endpoints import native_endpoints
from craton.apis.native.signals import signal_endpoints
from craton.apis.openai.endpoints import OpenAIFinder, openai_endpoints
from craton.apis.services import Services


@dataclass(frozen=True, slots=True)
class Table:
    """The routes, and the service names under which AWS clients sign for them."""

    routes: Routes
    signing_names: frozenset[str]


def endpoints(services: Services, *, default_model: str | None) -> Table:
    """Wire every protocol."""
    aws = AwsWire()
    aws.load()
    place = Place(services.region)
    ec2 = Ec2(services.clock, place, operations(services.state))
    native, find_native = native_endpoints(services)
    routes = Routes(
        exact={
            **signal_endpoints(services, default_model=default_model),
            **native,
            **openai_endpoints(services),
            **anthropic_endpoints(services),
        },
        finders=[find_native, AnthropicFinder(services), OpenAIFinder(services)],
        # A path that nobody has is asked of AWS's models.
        fallback=AwsFallback(services, aws, ec2.handlers, about_one_thing=ec2.about_resources),
    )
    return Table(routes, frozenset(entry.signing_name for entry in entries()))
