"""OpenAI's endpoints. The request and the answer are the dialect's; nothing here knows a body."""

import msgspec

from craton.apis.app import Endpoint
from craton.apis.dialect_wire import (
    DialectWire,
    name_in_path,
    refuse_not_built,
    refuse_unknown,
)
from craton.apis.exchange import Exchange
from craton.apis.heeding import heeded
from craton.apis.openai.embeddings import EMBEDDINGS, embedding_endpoint
from craton.apis.openai.responses import RESPONSES, ResponseEndpoints
from craton.apis.openai.responses_socket import ResponseSocket
from craton.apis.permit import GET_MODEL, INVOKE, LIST_MODELS
from craton.apis.services import Services
from craton.dialects.dialect import Stamp
from craton.dialects.openai_chat import SERVER
from craton.dialects.openai_chat_answer import write_choices
from craton.dialects.openai_chat_stream import ChoicesWriter
from craton.http import HttpRequest
from craton.messages import Choices, Request
from craton.models.card import Alias, ModelCard

CHAT = b"/v1/chat/completions"
MODELS = b"/v1/models"
PREFIX = b"/openai"
"""Everything is also under `/openai/v1`, where Bedrock has its OpenAI endpoints."""
_JSON = (b"content-type", b"application/json")

SERVED = (
    "POST /v1/chat/completions, POST /v1/responses, GET and DELETE /v1/responses/{id}, "
    "POST /v1/embeddings, POST /v1/messages and GET /v1/models"
)


class ChatWire(DialectWire):
    """OpenAI's chat completions, which know several answers to one request."""

    def choices(self, choices: Choices, stamp: Stamp) -> bytes:
        """The body of several whole answers."""
        return write_choices(choices, stamp)

    def choices_writer(self, request: Request, stamp: Stamp) -> ChoicesWriter:
        """A writer for several streamed answers."""
        return ChoicesWriter(request, stamp)


WIRE = ChatWire("openai", SERVER, request_id_header=b"x-request-id")

NOT_BUILT = (
    b"/v1/conversations",
    b"/v1/completions",
    b"/v1/files",
    b"/v1/batches",
    b"/v1/images/generations",
    b"/v1/audio/speech",
    b"/v1/audio/transcriptions",
    b"/v1/moderations",
    b"/v1/fine_tuning/jobs",
)
"""Operations that OpenAI has and Craton doesn't, yet: refused by name, never answered wrongly."""


class OpenAIModel(msgspec.Struct, frozen=True):
    """One entry of `/v1/models`."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class OpenAIModelList(msgspec.Struct, frozen=True):
    """The answer of `/v1/models`."""

    data: list[OpenAIModel]
    object: str = "list"


def openai_endpoints(services: Services) -> dict[tuple[str, bytes], Endpoint]:
    """The endpoints with fixed paths."""

    async def chat(exchange: Exchange) -> None:
        request = WIRE.dialect.read_request(exchange.request.body)
        if request.extra is not None or request.tools or request.tool_choice is not None:
            request = heeded(request, services.router.card(request.model))
        await services.inference.run(exchange, WIRE, request)

    chat_endpoint = Endpoint(WIRE, chat, INVOKE, resource=None)
    embed_endpoint = embedding_endpoint(services)
    return {
        ("POST", CHAT): chat_endpoint,
        ("POST", PREFIX + CHAT): chat_endpoint,
        ("POST", EMBEDDINGS): embed_endpoint,
        ("POST", PREFIX + EMBEDDINGS): embed_endpoint,
    }


class OpenAIFinder:
    """Finds what has no fixed path, and says no in OpenAI's words to the rest of `/v1`.

    Under `/openai/v1` it means the same.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._list = Endpoint(WIRE, self._list_models, LIST_MODELS)
        self._get = Endpoint(WIRE, self._get_model, GET_MODEL, resource=None)
        self._responses = ResponseEndpoints(services)
        self._responses_by_method = {
            "POST": self._responses.create,
            "GET": ResponseSocket().connect,
        }
        self._not_built = Endpoint(WIRE, refuse_not_built, INVOKE)
        self._unknown = Endpoint(WIRE, refuse_unknown(SERVED), None)

    def __call__(self, request: HttpRequest) -> Endpoint | None:
        """The endpoint of a request under `/v1`; None for other paths."""
        path = request.raw_path
        if path.startswith(PREFIX + b"/"):
            path = path[len(PREFIX) :]
        if not path.startswith(b"/v1/"):
            return None if path is request.raw_path else self._unknown
        if path == RESPONSES:
            return self._responses_by_method.get(request.method, self._unknown)
        if path.startswith(RESPONSES + b"/"):
            return self._responses.find(request.method, path) or self._unknown
        if request.method == "GET" and path == MODELS:
            return self._list
        if request.method == "GET" and path.startswith(MODELS + b"/"):
            return self._get
        if any(path == name or path.startswith(name + b"/") for name in NOT_BUILT):
            return self._not_built
        return self._unknown

    async def _list_models(self, exchange: Exchange) -> None:
        router = self._services.router
        entries = [_of_card(card) for card in router.cards()]
        entries += [_of_alias(alias) for alias in router.aliases()]
        headers = (_JSON, (b"x-request-id", exchange.request_id.encode()))
        exchange.respond((200, headers, msgspec.json.encode(OpenAIModelList(entries))))

    async def _get_model(self, exchange: Exchange) -> None:
        name = name_in_path(exchange.request.raw_path.removeprefix(PREFIX), MODELS)
        card = self._services.router.card(name)
        exchange.allowed.about_model(GET_MODEL, card.id, name)
        entry = msgspec.structs.replace(_of_card(card), id=name)
        headers = (_JSON, (b"x-request-id", exchange.request_id.encode()))
        exchange.respond((200, headers, msgspec.json.encode(entry)))


def _of_card(card: ModelCard) -> OpenAIModel:
    return OpenAIModel(card.id, card.created_ms // 1000, card.lab)


def _of_alias(alias: Alias) -> OpenAIModel:
    return OpenAIModel(alias.name, alias.created_ms // 1000, alias.model)
