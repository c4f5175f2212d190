"""Every AWS request: which operation it is, and what it does here.

The fallback of the whole server: a path that no other protocol has is asked of AWS's own service
models, and a path that these don't have is answered as AWS answers it.
"""

from collections.abc import Awaitable, Callable, Mapping

from craton.access.records import Principal
from craton.apis.app import Endpoint
from craton.apis.authenticator import header_texts
from craton.apis.aws.operations import BUILT
from craton.apis.aws.wire import AwsWire
from craton.apis.bedrock.call import Call, Document
from craton.apis.bedrock.inference import InferenceHandlers
from craton.apis.bedrock.inference_profiles import get_inference_profile, list_inference_profiles
from craton.apis.bedrock.models import (
    availability,
    list_foundation_models,
    summary,
)
from craton.apis.exchange import Exchange
from craton.apis.permit import GET_MODEL, INVOKE, INVOKE_STREAM
from craton.apis.services import Services
from craton.http import HttpRequest
from craton.kernel.errors import CratonError

Operation = tuple[str, str]
Handler = Callable[[Exchange, Call, Document], Awaitable[None]]

ACTIONS: Mapping[Operation, str] = {
    ("bedrock-runtime", "Converse"): INVOKE,
    ("bedrock-runtime", "ConverseStream"): INVOKE_STREAM,
}
"""IAM names two operations differently from the API; all others are `service:Operation`."""

ABOUT_ONE_THING = frozenset(
    {
        ("bedrock-runtime", "Converse"),
        ("bedrock-runtime", "ConverseStream"),
        ("bedrock-runtime", "InvokeModel"),
        ("bedrock-runtime", "InvokeModelWithResponseStream"),
        ("bedrock-runtime", "CountTokens"),
        ("bedrock", "GetFoundationModel"),
        ("bedrock", "GetInferenceProfile"),
    }
)
"""Operations that policies allow or deny by what they are about, which their handlers ask."""


class AwsFallback:
    """Finds the endpoint of an AWS request; there always is one, if only to say no."""

    def __init__(
        self,
        services: Services,
        aws: AwsWire,
        others: Mapping[Operation, Handler] | None = None,
        *,
        about_one_thing: frozenset[Operation] = frozenset(),
    ) -> None:
        """Take the wire, and the handlers of services that stand elsewhere."""
        self._services = services
        self._aws = aws
        self._about_one_thing = ABOUT_ONE_THING | about_one_thing
        inference = InferenceHandlers(services)
        self._handlers: dict[Operation, Handler] = {
            ("bedrock-runtime", "Converse"): inference.converse,
            ("bedrock-runtime", "ConverseStream"): inference.converse_stream,
            ("bedrock-runtime", "InvokeModel"): inference.invoke_model,
            (
                "bedrock-runtime",
                "InvokeModelWithResponseStream",
            ): inference.invoke_model_with_response_stream,
            ("bedrock-runtime", "CountTokens"): inference.count_tokens,
            ("bedrock", "ListFoundationModels"): self._list_foundation_models,
            ("bedrock", "GetFoundationModel"): self._get_foundation_model,
            ("bedrock", "GetFoundationModelAvailability"): self._get_availability,
            ("bedrock", "ListInferenceProfiles"): self._list_inference_profiles,
            ("bedrock", "GetInferenceProfile"): self._get_inference_profile,
            ("sts", "GetCallerIdentity"): self._get_caller_identity,
            **(others or {}),
        }
        assert others is None or self._handlers.keys() == BUILT, (
            "a built operation has no handler, or the reverse"
        )

    def __call__(self, request: HttpRequest) -> Endpoint:
        """The endpoint of a request that no other protocol took."""
        headers = header_texts(request)
        try:
            match = self._aws.find(
                request.method, request.raw_path, request.raw_query, headers, request.body
            )
        except CratonError as error:
            # Whoever looks for an endpoint needs one even to say no, so that is what this is.
            return Endpoint(Call(self._aws, None), _refusal(error), None)
        call = Call(self._aws, match)
        if match is None:

            async def refuse(exchange: Exchange) -> None:
                raise self._aws.unknown(exchange.request.method, exchange.request.raw_path)

            return Endpoint(call, refuse, None)
        if match.refusal is not None:
            return Endpoint(call, _refusal(match.refusal), None)

        async def run(exchange: Exchange) -> None:
            params = self._aws.parse(match, request.raw_query, headers, request.body)
            await self._handlers[match.entry.key](exchange, call, params)

        entry = match.entry
        action = ACTIONS.get(entry.key) or f"{entry.signing_name}:{entry.name}"
        return Endpoint(call, run, action, None if entry.key in self._about_one_thing else "*")

    async def _list_foundation_models(
        self, exchange: Exchange, call: Call, params: Document
    ) -> None:
        services = self._services
        call.respond(exchange, list_foundation_models(services.router, services.region, params))

    async def _get_foundation_model(self, exchange: Exchange, call: Call, params: Document) -> None:
        services, name = self._services, params["modelIdentifier"]
        card = services.router.card(name)
        exchange.allowed.about_model(GET_MODEL, card.id, name)
        call.respond(exchange, {"modelDetails": summary(card, services.region)})

    async def _get_availability(self, exchange: Exchange, call: Call, params: Document) -> None:
        card = self._services.router.card(params["modelId"])
        call.respond(exchange, availability(card, exchange.allowed))

    async def _list_inference_profiles(
        self, exchange: Exchange, call: Call, params: Document
    ) -> None:
        services, account = self._services, _caller(exchange).account
        page = list_inference_profiles(services.router, services.region, account, params)
        call.respond(exchange, page)

    async def _get_inference_profile(
        self, exchange: Exchange, call: Call, params: Document
    ) -> None:
        services, account = self._services, _caller(exchange).account
        one = get_inference_profile(services.router, services.region, account, params)
        exchange.allowed.admit("bedrock:GetInferenceProfile", one["inferenceProfileArn"])
        call.respond(exchange, one)

    async def _get_caller_identity(self, exchange: Exchange, call: Call, params: Document) -> None:
        del params
        principal = _caller(exchange)
        document = {
            "UserId": principal.key,
            "Account": principal.account,
            "Arn": f"arn:aws:iam::{principal.account}:user/{principal.project}/{principal.key}",
        }
        call.respond(exchange, document)


def _caller(exchange: Exchange) -> Principal:
    assert exchange.principal is not None, "a handler ran before its caller was known"
    return exchange.principal


def _refusal(error: CratonError) -> Callable[[Exchange], Awaitable[None]]:
    async def refuse(exchange: Exchange) -> None:
        del exchange
        raise error

    return refuse
