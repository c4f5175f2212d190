"""Anthropic's endpoints. Request and answer are the dialect's; nothing here knows a body."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

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
from craton.dialects.anthropic_messages_betas import HEADER, read_header, with_betas
from craton.http import HttpRequest
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages import Request
from craton.models.card import Alias, ModelCard, RemoteSource, RemoteWire
from craton.models.engine import Counts

MODELS = b"/v1/models"
MESSAGES = b"/v1/messages"
COUNT = MESSAGES + b"/count_tokens"
PREFIX = b"/anthropic"
"""Everything is also under `/anthropic/v1`, where no header is needed to tell it apart."""
LIMIT_DEFAULT = 20
LIMIT_MAX = 1000
_JSON = (b"content-type", b"application/json")

SERVED = "POST /v1/messages, POST /v1/messages/count_tokens and GET /v1/models"
WIRE = DialectWire("anthropic", SERVER, request_id_header=b"request-id")


_KEEPING_ALL: tuple[dict[str, Any], ...] = (
    {"edits": []},
    {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
)
"""Context edits that leave a conversation as it is."""


class AnthropicModel(msgspec.Struct, frozen=True):
    """One entry of `/v1/models`."""

    id: str
    display_name: str
    created_at: str
    lifecycle: str = "active"
    """Models here are served until somebody removes them: none is deprecated or retired."""
    type: str = "model"


class AnthropicModelList(msgspec.Struct, frozen=True):
    """A page of `/v1/models`."""

    data: list[AnthropicModel]
    first_id: str | None
    last_id: str | None
    has_more: bool


def anthropic_endpoints(services: Services) -> dict[tuple[str, bytes], Endpoint]:
    """The endpoints with fixed paths."""

    async def messages(exchange: Exchange) -> None:
        request = WIRE.dialect.read_request(exchange.request.body)
        if request.extra is not None:
            request = heeded(request, services.router.card(request.model))
        if HEADER in exchange.request.headers:
            request = _with_betas(request, exchange, services.router.card(request.model))
        await services.inference.run(exchange, WIRE, request)

    async def count_tokens(exchange: Exchange) -> None:
        request = SERVER.read_count_request(exchange.request.body)
        route = services.router.route(request.model)
        exchange.model = route.card.id
        exchange.allowed.about_model(COUNT_TOKENS, route.card.id, request.model)
        if not isinstance(route.engine, Counts):
            raise Unsupported(f"The model {route.card.id} can't count tokens before it answers.")
        if HEADER in exchange.request.headers:
            request = _with_betas(request, exchange, route.card)
        count = await route.engine.count(request)
        body = msgspec.json.encode({"input_tokens": count})
        exchange.respond((200, (_JSON, (b"request-id", exchange.request_id.encode())), body))

    async def greet(exchange: Exchange) -> None:
        exchange.respond((200, ((b"request-id", exchange.request_id.encode()),), b""))

    ask = Endpoint(WIRE, messages, INVOKE, resource=None)
    count = Endpoint(WIRE, count_tokens, COUNT_TOKENS, resource=None)
    there = Endpoint(WIRE, greet, None)
    return {
        ("POST", MESSAGES): ask,
        ("POST", PREFIX + MESSAGES): ask,
        ("POST", COUNT): count,
        ("POST", PREFIX + COUNT): count,
        # Claude Code looks whether its server is there before it asks it anything.
        ("HEAD", b"/"): there,
        ("HEAD", PREFIX): there,
        ("HEAD", PREFIX + b"/"): there,
    }


def heeded(request: Request, card: ModelCard) -> Request:
    """The request without what asks nothing, for an engine that isn't Anthropic's own API.

    Claude Code sends with every request that all thinking is to be kept (`context_management`):
    that is what an engine does which knows of no such thing.
    """
    source = card.source
    if isinstance(source, RemoteSource) and source.wire is RemoteWire.ANTHROPIC:
        return request
    extra = request.extra or {}
    rides = extra.get("anthropic", {})
    if rides.get("context_management") not in _KEEPING_ALL:
        return request
    left = {name: value for name, value in rides.items() if name != "context_management"}
    rest = {dialect: value for dialect, value in extra.items() if dialect != "anthropic"}
    if left:
        rest["anthropic"] = left
    return msgspec.structs.replace(request, extra=rest or None)


def _with_betas(request: Request, exchange: Exchange, card: ModelCard) -> Request:
    """The request with the betas of its header, for the servers that know of them."""
    source = card.source
    if not isinstance(source, RemoteSource) or source.wire is RemoteWire.OPENAI:
        return request
    return with_betas(request, read_header(exchange.request.headers.get_all(HEADER)))


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
        is_ours = path.startswith(PREFIX + b"/")
        if is_ours:
            path = path[len(PREFIX) :]
        if path.startswith(MESSAGES + b"/"):
            return self._not_built
        if not (is_ours or (path.startswith(b"/v1/") and b"anthropic-version" in request.headers)):
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
        query = parse_qs(exchange.request.raw_query.decode("latin-1"), max_num_fields=100)
        page = _page(entries, {name: values[-1] for name, values in query.items()})
        headers = (_JSON, (b"request-id", exchange.request_id.encode()))
        exchange.respond((200, headers, msgspec.json.encode(page)))

    async def _get_model(self, exchange: Exchange) -> None:
        name = name_in_path(exchange.request.raw_path.removeprefix(PREFIX), MODELS)
        card = self._services.router.card(name)
        exchange.allowed.about_model(GET_MODEL, card.id, name)
        headers = (_JSON, (b"request-id", exchange.request_id.encode()))
        exchange.respond((200, headers, msgspec.json.encode(_of_card(card))))


def _page(entries: list[AnthropicModel], query: dict[str, str]) -> AnthropicModelList:
    """The page that `limit` and one of `after_id` and `before_id` ask for."""
    limit = _limit(query.get("limit"))
    after, before = query.get("after_id"), query.get("before_id")
    if after is not None and before is not None:
        raise BadRequest("`after_id`: can't stand beside `before_id`: send one of them.")
    if after is not None:
        rest = entries[_place(entries, "after_id", after) + 1 :]
    elif before is not None:
        rest = entries[: _place(entries, "before_id", before)][::-1]
    else:
        rest = entries
    data = rest[:limit] if before is None else rest[:limit][::-1]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return AnthropicModelList(data, first, last, has_more=len(rest) > limit)


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(f"`limit`: expected a number from 1 to {LIMIT_MAX}.")
    return int(text)


def _place(entries: list[AnthropicModel], name: str, id: str) -> int:
    for place, entry in enumerate(entries):
        if entry.id == id:
            return place
    raise BadRequest(f"`{name}`: there is no model {id!r} in this list.")


def _of_card(card: ModelCard) -> AnthropicModel:
    return AnthropicModel(card.id, card.name, _time(card.created_ms))


def _of_alias(alias: Alias) -> AnthropicModel:
    return AnthropicModel(alias.name, f"{alias.name} ({alias.model})", _time(alias.created_ms))


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
