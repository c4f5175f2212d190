"""One AWS request as its handler and the turn of a model see it: its wire."""

from typing import Any

import msgspec

from craton.apis.aws.wire import AwsWire, Match
from craton.apis.bedrock.response_fields import AdditionalFields, asked_fields
from craton.apis.exchange import Exchange
from craton.dialects.converse import ConverseServer
from craton.dialects.dialect import Stamp, StreamWriter
from craton.http import Reply
from craton.kernel.errors import CratonError
from craton.messages import Answer, Metadata, Request

Document = dict[str, Any]

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"application/vnd.amazon.eventstream")

CONVERSE = ConverseServer()


class Call:
    """One AWS request: how its operation says no, and how Converse's answers leave."""

    name = "aws"

    def __init__(self, aws: AwsWire, match: Match | None) -> None:
        self._aws = aws
        self.match = match

    def respond(self, exchange: Exchange, document: Document) -> None:
        """Answer with the operation's output."""
        assert self.match is not None, "a handler ran without an operation"
        exchange.respond(self._aws.render(self.match, document, exchange.request_id))

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the operation's own protocol."""
        return self._aws.error(error, self.match, request_id)

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of Converse's output."""
        del stamp
        if is_told_more(request):
            answer = msgspec.structs.replace(
                answer,
                stop=asked_fields(answer.stop, request.response_fields),
                metadata=as_served(answer.metadata, request),
            )
        return CONVERSE.write_answer_body(answer)

    def stream_writer(self, request: Request, stamp: Stamp) -> StreamWriter:
        """A writer of ConverseStream's frames."""
        del stamp
        writer = CONVERSE.stream_writer()
        if is_told_more(request):
            return AdditionalFields(
                writer, request.response_fields, lambda metadata: as_served(metadata, request)
            )
        return writer

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a whole answer."""
        return [JSON, (b"x-amzn-requestid", request_id.encode())]

    def stream_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of a streamed answer."""
        return [EVENTS, (b"x-amzn-requestid", request_id.encode())]


def is_told_more(request: Request) -> bool:
    """Whether the answer has to say what few requests ask for."""
    return bool(
        request.response_fields or request.service_tier is not None or request.latency is not None
    )


def as_served(metadata: Metadata, request: Request) -> Metadata:
    """The metadata, with the tier and latency that were served.

    Where the engine doesn't tell, it has one of each: the usual, told to whoever asked for that.
    """
    tier = "default" if request.service_tier == "default" else None
    latency = "standard" if request.latency == "standard" else None
    return msgspec.structs.replace(
        metadata,
        service_tier=metadata.service_tier or tier,
        latency=metadata.latency or latency,
    )
