"""Anthropic's endpoints. Request and answer are the dialect's; nothing here knows a body."""

from datetime import UTC, datetime

import msgspec

from craton.apis.app import Endpoint
from craton.apis.dialect_wire import (
    DialectWire,
    name_in_path,
    refuse_not_built,
    refuse_unknown,
)
from craton.apis.exchange import Exchange
from craton.apis.permit import COUNT_TOKENS, GET_MODEL, INVOKE, LIST_MODELS
from craton.apis.services import Services
from craton.dialects.anthropic_messages import SERVER
from craton.http import HttpRequest
from craton.kernel.errors import Unsupported
from craton.models.card import Alias, ModelCard
from craton.models.engine import Counts

MODELS = b"/v1/models"
MESSAGES = b"/v1/messages"
_JSON = (b"content-type", b"application/json")

SERVED = "POST /v1/messages, POST /v1/messages/count_tokens and GET /v1/models"
WIRE = DialectWire("anthropic", SERVER, request_id_header=b"request-id")


class AnthropicModel(msgspec.Struct, frozen=True):
    """One entry of `/v1/models`."""

    id: str
    display_name: str
    created_at: str
    type: str = "model"


class AnthropicModelList(msgspec.Struct, frozen=True):
    """The answer of `/v1/models`; all fits on one page."""

    data: list[AnthropicModel]
    first_id: str | None
    last_id: str | None
    has_more: bool = False


def anthropic_endpoints(services: Services) -> dict[tuple[str, bytes], Endpoint]:
    """The endpoints with fixed paths."""

    async def messages(exchange: Exchange) -> None:
        request = WIRE.dialect.read_request(exchange.request.body)
        await services.inference.run(exchange, WIRE, request)

    async def count_tokens(exchange: Exchange) -> None:
        request = SERVER.read_count_request(exchange.request.body)
        route = services.router.route(request.model)
        exchange.model = route.card.id
        exchange.allowed.about_model(COUNT_TOKENS, route.card.id, request.model)
        if not isinstance(route.engine, Counts):
            raise Unsupported(f"The model {route.card.id} can't count tokens before it answers.")
        count = await route.engine.count(request)
        body = msgspec.json.encode({"input_tokens": count})
        exchange.respond((200, (_JSON, (b"request-id", exchange.request_id.encode())), body))

    return {
        ("POST", MESSAGES): Endpoint(WIRE, messages, INVOKE, resource=None),
        ("POST", MESSAGES + b"/count_tokens"): Endpoint(
            WIRE, count_tokens, COUNT_TOKENS, resource=None
        ),
    }


class AnthropicFinder:
    """Finds what is Anthropic's among the paths that it shares with OpenAI, by its header."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._list = Endpoint(WIRE, self._list_models, LIST_MODELS)
        self._get = Endpoint(WIRE, self._get_model, GET_MODEL, resource=None)
        self._not_built = Endpoint(WIRE, refuse_not_built, INVOKE)
        self._unknown = Endpoint(WIRE, refuse_unknown(SERVED), None)

    def __call__(self, request: HttpRequest) -> Endpoint | None:
        """The endpoint of an Anthropic request; None for everyone else's."""
        path = request.raw_path
        if path.startswith(MESSAGES + b"/"):
            return self._not_built
        if not path.startswith(b"/v1/") or b"anthropic-version" not in request.headers:
            return self._unknown if path == MESSAGES else None
        if request.method == "GET" and path == MODELS:
            return self._list
        if request.method == "GET" and path.startswith(MODELS + b"/"):
            return self._get
        return self._unknown

    async def _list_models(self, exchange: Exchange) -> None:
        router = self._services.router
        entries = [_of_card(card) for card in router.cards()]
        entries += [_of_alias(alias) for alias in router.aliases()]
        page = AnthropicModelList(
            entries,
            entries[0].id if entries else None,
            entries[-1].id if entries else None,
        )
        headers = (_JSON, (b"request-id", exchange.request_id.encode()))
        exchange.respond((200, headers, msgspec.json.encode(page)))

    async def _get_model(self, exchange: Exchange) -> None:
        name = name_in_path(exchange.request.raw_path, MODELS)
        card = self._services.router.card(name)
        exchange.allowed.about_model(GET_MODEL, card.id, name)
        headers = (_JSON, (b"request-id", exchange.request_id.encode()))
        exchange.respond((200, headers, msgspec.json.encode(_of_card(card))))


def _of_card(card: ModelCard) -> AnthropicModel:
    return AnthropicModel(card.id, card.name, _time(card.created_ms))


def _of_alias(alias: Alias) -> AnthropicModel:
    return AnthropicModel(alias.name, f"{alias.name} ({alias.model})", _time(alias.created_ms))


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
