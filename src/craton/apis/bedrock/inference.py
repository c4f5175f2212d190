"""Converse, InvokeModel, their streams, and CountTokens."""

from typing import Any

from craton.apis.bedrock.call import CONVERSE, Call, Document
from craton.apis.bedrock.invoke import EmbeddingCall, InvokeCall, read_settings
from craton.apis.bedrock.response_fields import check_paths
from craton.apis.bedrock.settings import is_plain, log_metadata, settled
from craton.apis.exchange import Exchange
from craton.apis.heeding import heeded
from craton.apis.permit import COUNT_TOKENS
from craton.apis.services import Services
from craton.dialects.invoke import EMBEDDING_CODECS, TEXT_CODECS
from craton.dialects.invoke_format import BodyFormat, Members, choose, read_members
from craton.kernel.errors import BadRequest, Unsupported
from craton.messages import Request
from craton.models.card import Modality, ModelCard
from craton.models.engine import Counts


class InferenceHandlers:
    """The operations that ask a model something."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def converse(self, exchange: Exchange, call: Call, params: Document) -> None:
        """Answer whole."""
        await self._run_converse(exchange, call, params, stream=False)

    async def converse_stream(self, exchange: Exchange, call: Call, params: Document) -> None:
        """Answer piece by piece."""
        await self._run_converse(exchange, call, params, stream=True)

    async def _run_converse(
        self, exchange: Exchange, call: Call, params: Document, *, stream: bool
    ) -> None:
        services = self._services
        request = CONVERSE.read_request(params, stream=stream)
        if not is_plain(request):
            request = settled(request, services.router.card(request.model))
        if request.response_fields:
            check_paths(request.response_fields)
        if request.metadata:
            log_metadata(services.log, exchange, request)
        await services.inference.run(exchange, call, request)

    async def invoke_model(self, exchange: Exchange, call: Call, params: Document) -> None:
        """Answer whole, in the body's own format; or embed."""
        services, model = self._services, params["modelId"]
        card = services.router.card(model)
        members = _members(params.get("body"))
        chosen = _choose(members, card)
        codec = EMBEDDING_CODECS.get(chosen)
        if codec is None:
            await self._run_invoke(exchange, call, params, (chosen, members, card), stream=False)
            return
        asked = codec.read_embedding_request(members, model)
        wire = EmbeddingCall(call, codec)
        await services.embedding.run(exchange, wire, asked)

    async def invoke_model_with_response_stream(
        self, exchange: Exchange, call: Call, params: Document
    ) -> None:
        """Answer piece by piece, in the body's own format."""
        card = self._services.router.card(params["modelId"])
        members = _members(params.get("body"))
        chosen = _choose(members, card)
        if chosen in EMBEDDING_CODECS:
            raise Unsupported(f"Vectors come whole: send a body of {chosen} to InvokeModel.")
        await self._run_invoke(exchange, call, params, (chosen, members, card), stream=True)

    async def _run_invoke(
        self,
        exchange: Exchange,
        call: Call,
        params: Document,
        read: tuple[BodyFormat, Members, ModelCard],
        *,
        stream: bool,
    ) -> None:
        services, model = self._services, params["modelId"]
        chosen, members, card = read
        codec = TEXT_CODECS[chosen]
        if Modality.TEXT not in card.output_modalities:
            raise Unsupported(
                f"The model {card.id} generates no text, which a body of {chosen} asks for."
            )
        request = codec.read_request(members, model, stream=stream)
        if chosen is BodyFormat.OPENAI_CHAT:
            request = heeded(request, card)
        request = read_settings(request, params)
        if not is_plain(request):
            request = settled(request, card)
        if "requestMetadata" in params:
            log_metadata(services.log, exchange, request)
        await services.inference.run(exchange, InvokeCall(call, codec, exchange, request), request)

    async def count_tokens(self, exchange: Exchange, call: Call, params: Document) -> None:
        """How many tokens the prompt of a body or of a conversation has; costs nothing."""
        services, model = self._services, params["modelId"]
        route = services.router.route(model)
        exchange.model = route.card.id
        exchange.allowed.about_model(COUNT_TOKENS, route.card.id, model)
        if not isinstance(route.engine, Counts):
            raise Unsupported(
                f"The model {route.card.id} can't count tokens before it answers: it runs "
                "elsewhere, where Craton can't ask. The answer's own usage tells them."
            )
        request = self._read_counted(params["input"], model, route.card)
        if not is_plain(request):
            request = settled(request, route.card)
        count = await route.engine.count(request)
        call.respond(exchange, {"inputTokens": count})

    def _read_counted(self, asked: dict[str, Any], model: str, card: ModelCard) -> Request:
        if "converse" in asked:
            return CONVERSE.read_request({"modelId": model, **asked["converse"]}, stream=False)
        members = _members(asked["invokeModel"]["body"])
        chosen = _choose(members, card)
        if chosen in EMBEDDING_CODECS:
            raise Unsupported(f"The tokens of a body of {chosen} can't be counted before it runs.")
        return TEXT_CODECS[chosen].read_count_request(members, model)


def _members(body: bytes | None) -> Members:
    if not body:
        raise BadRequest("`body`: is required and missing or empty.")
    return read_members(body)


def _choose(members: Members, card: ModelCard) -> BodyFormat:
    return choose(members, card.formats, embeds=Modality.EMBEDDING in card.output_modalities)
