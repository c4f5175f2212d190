"""OpenAI's Responses: create, retrieve, delete, list the input, count its tokens.

A response is kept in the commit that posts its cost (`Exchange.keep`), so that whoever holds its
last frame can read it, through any worker. It is read and continued only by the account that paid.
"""

from urllib.parse import parse_qs

import msgspec

from craton.apis.app import Endpoint
from craton.apis.dialect_wire import DialectWire, name_in_path
from craton.apis.exchange import Exchange
from craton.apis.heeding import heeded
from craton.apis.openai.responses_session import Recalled, SocketRequest
from craton.apis.permit import COUNT_TOKENS, INVOKE
from craton.apis.services import Services
from craton.dialects.dialect import Stamp
from craton.dialects.members import Json
from craton.dialects.openai_responses import DEFAULTS, SERVER, Creation, EventWriter
from craton.dialects.openai_responses_items import response_id, response_of
from craton.economics.meters import UsageRecord
from craton.http import Reply
from craton.kernel.errors import BadRequest, CratonError, NotBuilt, NotFound, Unsupported
from craton.messages import Answer, MessageStart, MessageStop, Metadata, Request, StopReason, Usage
from craton.models.card import EmbeddedSource, ModelCard
from craton.models.engine import Counts
from craton.models.engines.embedded.requirements import TEMPERATURE, TOP_P
from craton.models.responses import (
    RESPONSE_BYTES_MAX,
    DeleteResponse,
    KeepResponse,
    KeptResponse,
    KeptResponses,
    ReadChain,
    ReadResponses,
    not_found,
)

RESPONSES = b"/v1/responses"
WIRE = DialectWire("openai", SERVER, request_id_header=b"x-request-id")
DOCUMENT_BYTES_MIN = 64 * 1024
"""Room for an answer, without which there is no use in keeping a request."""
ITEMS_MAX = 100
ITEMS_DEFAULT = 20
_JSON = (b"content-type", b"application/json")
_decode = msgspec.json.decode
_encode = msgspec.json.encode
_pack = msgspec.msgpack.Encoder().encode


class _ItemPage(msgspec.Struct, frozen=True):
    """A page of a response's input."""

    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class Keeping:
    """The wire of one answer that is to be kept: it remembers the document it wrote."""

    name = WIRE.name

    def __init__(self, account: str, previous: str | None, given: bytes) -> None:
        self._account = account
        self._previous = previous
        self._given = given
        self._document_bytes_max = RESPONSE_BYTES_MAX - len(given)
        self._document = b""
        self._writer: EventWriter | None = None
        self.is_kept = False
        """Whether the command that is given keeps the answer."""

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the dialect's own form."""
        return WIRE.error(error, request_id)

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The document of a whole answer."""
        self._document = SERVER.write_answer(
            answer, request, stamp, document_bytes_max=self._document_bytes_max
        )
        return self._document

    def stream_writer(self, request: Request, stamp: Stamp) -> EventWriter:
        """A writer for one streamed answer."""
        self._writer = SERVER.stream_writer(
            request, stamp, document_bytes_max=self._document_bytes_max
        )
        return self._writer

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a whole answer."""
        return WIRE.answer_headers(request_id)

    def stream_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a streamed answer."""
        return WIRE.stream_headers(request_id)

    @property
    def document(self) -> bytes:
        """The document of the answer, once that has ended."""
        return self._document if self._writer is None else self._writer.document

    def keep(self, record: UsageRecord) -> tuple[str, bytes]:
        """The command that posts the record and keeps the answer; too long, it is only posted."""
        document = self.document
        assert document, "an answer was to be kept that was never written"
        if len(document) > self._document_bytes_max:
            return "post", _pack(record)
        kept = KeptResponse(
            response_id(record.request_id),
            self._account,
            record.at_ms,
            self._previous,
            self._given,
            document,
        )
        self.is_kept = True
        return "keep_response", _pack(KeepResponse(record, kept))


class ResponseEndpoints:
    """What can be done with responses."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # What is kept is seen by whoever may ask the model that said it.
        self.create = Endpoint(WIRE, self._create, INVOKE, resource=None)
        self._retrieve_one = Endpoint(WIRE, self._retrieve, INVOKE, resource=None)
        self._delete_one = Endpoint(WIRE, self._delete, INVOKE, resource=None)
        self._list_items = Endpoint(WIRE, self._input_items, INVOKE, resource=None)
        self._cancel_one = Endpoint(WIRE, self._cancel, INVOKE, resource=None)
        self._count = Endpoint(WIRE, self._input_tokens, COUNT_TOKENS, resource=None)
        self._compact_one = Endpoint(WIRE, _compact, INVOKE)

    def find(self, method: str, path: bytes) -> Endpoint | None:
        """The endpoint of a path under `/v1/responses/`."""
        id, _, rest = path[len(RESPONSES) + 1 :].partition(b"/")
        match method, id, rest:
            case "POST", b"compact", b"":
                return self._compact_one
            case "POST", b"input_tokens", b"":
                return self._count
            case "GET", _, b"":
                return self._retrieve_one
            case "DELETE", _, b"":
                return self._delete_one
            case "GET", _, b"input_items":
                return self._list_items
            case "POST", _, b"cancel":
                return self._cancel_one
            case _:
                return None

    async def _create(self, exchange: Exchange) -> None:
        creation = SERVER.read_creation(
            exchange.request.body, stores=self._services.stores_responses
        )
        if isinstance(exchange.request, SocketRequest):
            await self._create_over_socket(exchange, creation, exchange.request)
            return
        card = self._services.router.card(creation.model)
        before = await self._before(exchange, creation)
        given = await self._given(exchange, creation)
        encoded = _encode(given) if creation.store else b""
        store = creation.store and self._has_room(creation, encoded)
        request = heeded(creation.request(before, given, sampling_of(card)), card)
        if not store:
            await self._services.inference.run(exchange, WIRE, request)
            return
        keeping = Keeping(_account(exchange), creation.previous, encoded)
        exchange.keep = keeping.keep
        await self._services.inference.run(exchange, keeping, request)

    async def _create_over_socket(
        self, exchange: Exchange, creation: Creation, asked: SocketRequest
    ) -> None:
        """The same over a WebSocket, which can continue what is kept nowhere."""
        session = asked.turn.session
        card = self._services.router.card(creation.model)
        recalled = session.recall(creation.previous)
        models = {creation.model}
        if recalled is None:
            before = await self._before(exchange, creation, models)
        else:
            before = self._recall(exchange, recalled)
            models |= recalled.models
        given = await self._given(exchange, creation)
        if not asked.generates:
            creation.echo["store"] = False  # an answer that isn't one is kept nowhere else
            request = creation.request(before, given, sampling_of(card), may_be_empty=True)
            self._warm_up(exchange, heeded(request, card), card)
            session.remember(_recalled(exchange, [*before, *given], models))
            return
        # What only this connection knows is kept whole, since nobody could read it by its id.
        own = given if recalled is None else [*before, *given]
        encoded = _encode(own) if creation.store else b""
        store = creation.store and self._has_room(creation, encoded)
        request = heeded(creation.request(before, given, sampling_of(card)), card)
        previous = creation.previous if recalled is None else None
        keeping = Keeping(_account(exchange), previous, encoded)
        if store:
            exchange.keep = keeping.keep
        await self._services.inference.run(exchange, keeping, request)
        if keeping.is_kept:
            session.forget()
        else:
            said: Json = _decode(keeping.document)
            items = [*before, *given, *said["output"]]
            session.remember(_recalled(exchange, items, models))

    def _recall(self, exchange: Exchange, recalled: Recalled) -> list[Json]:
        """The items of the connection's last response, for whoever may ask all who said them."""
        for name in recalled.models:
            self._permit_model(exchange, name)
        exchange.recalled_bytes += len(recalled.items)
        return _decode(recalled.items)

    def _warm_up(self, exchange: Exchange, request: Request, card: ModelCard) -> None:
        """Answer without asking the model: nothing is generated, used or billed."""
        exchange.model = card.id
        exchange.allowed.use_model(card.id, request)
        stamp = Stamp(exchange.request_id, request.model, self._now_ms() // 1000)
        writer = SERVER.stream_writer(request, stamp)
        exchange.status = 200
        exchange.responder.start(200, ())
        for event in (
            MessageStart(),
            MessageStop(stop_reason=StopReason.END_TURN),
            Metadata(usage=Usage()),
        ):
            exchange.responder.write(writer.write(event))
        exchange.responder.finish()

    def _has_room(self, creation: Creation, given: bytes) -> bool:
        if len(given) + DOCUMENT_BYTES_MIN <= RESPONSE_BYTES_MAX:
            return True
        if creation.body.store:
            raise BadRequest(
                f"`store`: the input has {len(given)} bytes, and at most {RESPONSE_BYTES_MAX} of "
                "input and answer together can be kept. Send `store: false`."
            )
        creation.echo["store"] = False  # what nobody asked for by name is told, not refused
        return False

    async def _before(
        self, exchange: Exchange, creation: Creation, models: set[str] | None = None
    ) -> list[Json]:
        """The items of the responses that are continued; adds the names of their `models`."""
        if creation.previous is None:
            return []
        query = ReadChain(_account(exchange), creation.previous, self._now_ms())
        chain = await self._services.state.call("response_chain", query, KeptResponses)
        items: list[Json] = []
        for kept in chain.responses:
            items += self._items(exchange, kept, models)
        return items

    async def _given(self, exchange: Exchange, creation: Creation) -> list[Json]:
        """The input's own items, with those of kept responses that it refers to."""
        references = creation.references()
        referred: dict[str, Json] = {}
        if references:
            ids = sorted({response_of(item) for item in references})
            query = ReadResponses(_account(exchange), ids, self._now_ms())
            found = await self._services.state.call("responses", query, KeptResponses)
            for kept in found.responses:
                referred |= {item["id"]: item for item in self._items(exchange, kept)}
        return creation.given(response_id(exchange.request_id), referred)

    def _items(
        self, exchange: Exchange, kept: KeptResponse, models: set[str] | None = None
    ) -> list[Json]:
        """All items of a response, in order: part of what a model is asked from here on."""
        document: Json = _decode(kept.response)
        if models is not None:
            models.add(document["model"])
        self._permit_model(exchange, document["model"])
        exchange.recalled_bytes += len(kept.input) + len(kept.response)
        return [*_decode(kept.input), *document["output"]]

    def _permit_model(self, exchange: Exchange, name: str) -> None:
        try:
            model = self._services.router.card(name).id
        except NotFound:
            model = name  # it was taken out since
        exchange.allowed.about_model(INVOKE, model, name)

    async def _input_tokens(self, exchange: Exchange) -> None:
        creation = SERVER.read_creation(
            exchange.request.body, stores=self._services.stores_responses
        )
        route = self._services.router.route(creation.model)
        exchange.model = route.card.id
        exchange.allowed.about_model(COUNT_TOKENS, route.card.id, creation.model)
        if not isinstance(route.engine, Counts):
            raise Unsupported(f"The model {route.card.id} can't count tokens before it answers.")
        before = await self._before(exchange, creation)
        given = await self._given(exchange, creation)
        request = creation.request(before, given, DEFAULTS)
        count = await route.engine.count(request)
        _respond(exchange, _encode({"object": "response.input_tokens", "input_tokens": count}))

    async def _retrieve(self, exchange: Exchange) -> None:
        stream = _query(exchange).get("stream", ["false"])[-1]
        if stream not in ("false", "0"):
            raise Unsupported(
                "`stream`: a response that has ended can't be streamed again; only background "
                "responses could, and they are not built. Retrieve it without `stream`."
            )
        kept = await self._read(exchange)
        _respond(exchange, kept.response)

    async def _read(self, exchange: Exchange) -> KeptResponse:
        id = _id(exchange)
        query = ReadResponses(_account(exchange), [id], self._now_ms())
        found = await self._services.state.call("responses", query, KeptResponses)
        if not found.responses:
            raise not_found(id)
        self._permit_model(exchange, _decode(found.responses[0].response)["model"])
        return found.responses[0]

    async def _delete(self, exchange: Exchange) -> None:
        await self._read(exchange)
        command = DeleteResponse(_account(exchange), _id(exchange))
        await self._services.state.call("delete_response", command, DeleteResponse)
        body = {"id": command.id, "object": "response", "deleted": True}
        _respond(exchange, _encode(body))

    async def _cancel(self, exchange: Exchange) -> None:
        kept = await self._read(exchange)
        raise BadRequest(
            f"Response {kept.id!r} can't be cancelled: only background responses can be, and it "
            "has ended. A response under way ends when its connection is closed."
        )

    async def _input_items(self, exchange: Exchange) -> None:
        limit, is_ascending, after = _paging(exchange)
        kept = await self._read(exchange)
        items: list[Json] = _decode(kept.input)
        if not is_ascending:
            items.reverse()
        if after is not None:
            places = [index for index, item in enumerate(items) if item["id"] == after]
            if not places:
                raise BadRequest(f"`after`: {after!r} is no item of this response's input.")
            items = items[places[0] + 1 :]
        page = items[:limit]
        first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        _respond(exchange, _encode(_ItemPage(page, first, last, len(items) > limit)))

    def _now_ms(self) -> int:
        return self._services.clock.now_ns() // 1_000_000


def _recalled(exchange: Exchange, items: list[Json], models: set[str]) -> Recalled:
    return Recalled(response_id(exchange.request_id), _encode(items), frozenset(models))


def sampling_of(card: ModelCard) -> Json:
    """What a model samples with where the request doesn't say: its answers' documents tell."""
    if isinstance(card.source, EmbeddedSource):
        return {"temperature": TEMPERATURE, "top_p": TOP_P}
    return DEFAULTS


async def _compact(exchange: Exchange) -> None:
    """Refuse compaction, and say what does the same.

    The wire's compaction item is sealed: its text is for its maker's models alone. Craton would
    write it by asking a model for a summary, which any program can do by itself, in words that it
    can read, at a price that it sees.
    """
    model = SERVER.read_compaction(exchange.request.body)
    raise NotBuilt(
        f"Craton has not built /v1/responses/compact. Ask {model} for a summary by POST "
        "/v1/responses, and begin a new conversation with it, without `previous_response_id`."
    )


def _account(exchange: Exchange) -> str:
    assert exchange.principal is not None, "a response was asked for before its reader was known"
    return exchange.principal.account


def _respond(exchange: Exchange, body: bytes) -> None:
    headers = (_JSON, (b"x-request-id", exchange.request_id.encode()))
    exchange.respond((200, headers, body))


def _id(exchange: Exchange) -> str:
    path = exchange.request.raw_path
    folder = path[: path.index(RESPONSES) + len(RESPONSES)]
    return name_in_path(path, folder).partition("/")[0]


def _query(exchange: Exchange) -> dict[str, list[str]]:
    return parse_qs(exchange.request.raw_query.decode("latin-1"), max_num_fields=100)


def _paging(exchange: Exchange) -> tuple[int, bool, str | None]:
    query = _query(exchange)
    text = query.get("limit", [str(ITEMS_DEFAULT)])[-1]
    if (
        not (text.isascii() and text.isdigit() and len(text) <= 3)
        or not 1 <= int(text) <= ITEMS_MAX
    ):
        raise BadRequest(f"`limit`: expected a number from 1 to {ITEMS_MAX}.")
    order = query.get("order", ["desc"])[-1]
    if order not in ("asc", "desc"):
        raise BadRequest("`order`: expected `asc` or `desc`.")
    return int(text), order == "asc", query.get("after", [None])[-1]
