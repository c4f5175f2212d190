"""Every AWS request: which operation it is, and what it does here.

The fallback of the whole server: a path that no other protocol has is asked of AWS's own service
models, and a path that these don't have is answered as AWS answers it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from craton.apis.app import Endpoint
from craton.apis.authenticator import header_texts
from craton.apis.aws.operations import BUILT
from craton.apis.aws.routes import Match
from craton.apis.aws.wire import AwsWire
from craton.apis.bedrock.models import get_foundation_model, list_foundation_models
from craton.apis.exchange import Exchange
from craton.apis.services import Services
from craton.dialects.converse import ConverseServer
from craton.dialects.dialect import Stamp, StreamWriter
from craton.http import HttpRequest, Reply
from craton.kernel.errors import CratonError
from craton.messages import Answer, Request

Document = dict[str, Any]
Operation = tuple[str, str]
Handler = Callable[[Exchange, "Call", Document], Awaitable[None]]

_DIALECT = ConverseServer()
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"application/vnd.amazon.eventstream")

ACTIONS: Mapping[Operation, str] = {
    ("bedrock-runtime", "Converse"): "bedrock:InvokeModel",
    ("bedrock-runtime", "ConverseStream"): "bedrock:InvokeModelWithResponseStream",
}
"""IAM names two operations differently from the API; all others are `service:Operation`."""


class Call:
    """One AWS request: the wire of its operation, and what its handler may use."""

    name = "aws"

    def __init__(self, aws: AwsWire, match: Match | None) -> None:
        self._aws = aws
        self.match = match

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the operation's own protocol."""
        return self._aws.error(error, self.match, request_id)

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of Converse's output."""
        del request, stamp
        return _DIALECT.write_answer_body(answer)

    def stream_writer(self, request: Request, stamp: Stamp) -> StreamWriter:
        """A writer of ConverseStream's frames."""
        del request, stamp
        return _DIALECT.stream_writer()

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a whole answer."""
        return [_JSON, (b"x-amzn-requestid", request_id.encode())]

    def stream_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a streamed answer."""
        return [_EVENTS, (b"x-amzn-requestid", request_id.encode())]


class AwsFallback:
    """Finds the endpoint of an AWS request; there always is one, if only to say no."""

    def __init__(self, services: Services, aws: AwsWire) -> None:
        self._services = services
        self._aws = aws
        self._handlers: dict[Operation, Handler] = {
            ("bedrock-runtime", "Converse"): self._converse,
            ("bedrock-runtime", "ConverseStream"): self._converse_stream,
            ("bedrock", "ListFoundationModels"): self._list_foundation_models,
            ("bedrock", "GetFoundationModel"): self._get_foundation_model,
            ("sts", "GetCallerIdentity"): self._get_caller_identity,
        }
        assert self._handlers.keys() == BUILT, "a built operation has no handler, or the reverse"

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

        async def run(exchange: Exchange) -> None:
            params = self._aws.parse(match, request.raw_query, headers, request.body)
            await self._handlers[match.entry.key](exchange, call, params)

        entry = match.entry
        action = ACTIONS.get(entry.key) or f"{entry.signing_name}:{entry.name}"
        return Endpoint(call, run, action)

    async def _converse(self, exchange: Exchange, call: Call, params: Document) -> None:
        request = _DIALECT.read_request(params, stream=False)
        await self._services.inference.run(exchange, call, request)

    async def _converse_stream(self, exchange: Exchange, call: Call, params: Document) -> None:
        request = _DIALECT.read_request(params, stream=True)
        await self._services.inference.run(exchange, call, request)

    async def _list_foundation_models(
        self, exchange: Exchange, call: Call, params: Document
    ) -> None:
        services = self._services
        self._respond(
            exchange, call, list_foundation_models(services.router, services.region, params)
        )

    async def _get_foundation_model(self, exchange: Exchange, call: Call, params: Document) -> None:
        services = self._services
        self._respond(
            exchange, call, get_foundation_model(services.router, services.region, params)
        )

    async def _get_caller_identity(self, exchange: Exchange, call: Call, params: Document) -> None:
        del params
        principal = exchange.principal
        assert principal is not None, "an identity was asked for before its caller was known"
        document = {
            "UserId": principal.key,
            "Account": principal.account,
            "Arn": f"arn:aws:iam::{principal.account}:user/{principal.project}/{principal.key}",
        }
        self._respond(exchange, call, document)

    def _respond(self, exchange: Exchange, call: Call, document: Document) -> None:
        assert call.match is not None, "a handler ran without an operation"
        exchange.respond(self._aws.render(call.match, document, exchange.request_id))


def _refusal(error: CratonError) -> Callable[[Exchange], Awaitable[None]]:
    async def refuse(exchange: Exchange) -> None:
        del exchange
        raise error

    return refuse
