"""InvokeModel's wire: the body in its own format, the counts in headers."""

from typing import Any

import msgspec

from craton.apis.bedrock.call import EVENTS, JSON, Call, as_served
from craton.apis.bedrock.settings import read_metadata
from craton.apis.exchange import Exchange
from craton.dialects.dialect import Stamp, StreamWriter
from craton.dialects.embedding import EmbeddingRequest, Embeddings
from craton.dialects.invoke import EmbeddingCodec, TextCodec
from craton.dialects.invoke_stream import ChunkWriter
from craton.http import Reply
from craton.kernel.errors import CratonError
from craton.messages import Answer, Metadata, Request, Usage
from craton.messages.request import Guardrail

Headers = list[tuple[bytes, bytes]]

_LATENCY = b"x-amzn-bedrock-invocation-latency"
_INPUT = b"x-amzn-bedrock-input-token-count"
_OUTPUT = b"x-amzn-bedrock-output-token-count"
_CACHE_READ = b"x-amzn-bedrock-cache-read-input-token-count"
_CACHE_WRITE = b"x-amzn-bedrock-cache-write-input-token-count"
_TIER = b"x-amzn-bedrock-service-tier"
_PERFORMANCE = b"x-amzn-bedrock-performanceconfig-latency"


def read_settings(request: Request, params: dict[str, Any]) -> Request:
    """The request with what InvokeModel's headers ask for; they go before the body's own."""
    found: dict[str, Any] = {}
    if "serviceTier" in params:
        found["service_tier"] = params["serviceTier"]
    if "performanceConfigLatency" in params:
        found["latency"] = params["performanceConfigLatency"]
    if params.get("guardrailIdentifier"):
        trace = params.get("trace")
        found["guardrail"] = Guardrail(
            identifier=params["guardrailIdentifier"],
            version=params.get("guardrailVersion"),
            trace=None if trace is None else trace.lower(),
        )
    if "requestMetadata" in params:
        found["metadata"] = read_metadata(params["requestMetadata"])
    return msgspec.structs.replace(request, **found) if found else request


class InvokeCall:
    """One InvokeModel or InvokeModelWithResponseStream that generates."""

    name = Call.name

    def __init__(self, call: Call, codec: TextCodec, exchange: Exchange, request: Request) -> None:
        self._call = call
        self._codec = codec
        self._exchange = exchange
        self._request = request
        self._metadata: Metadata | None = None

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the operation's own protocol."""
        return self._call.error(error, request_id)

    def answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:
        """The body of a whole answer."""
        self._metadata = as_served(answer.metadata, request)
        return self._codec.write_answer(answer, request, stamp)

    def stream_writer(self, request: Request, stamp: Stamp) -> StreamWriter:
        """A writer of `chunk` frames."""
        return ChunkWriter(self._codec.part_writer(request, stamp), self._first_ms)

    def _first_ms(self) -> int | None:
        exchange = self._exchange
        if not exchange.first_ns:
            return None
        return (exchange.first_ns - exchange.started_ns) // 1_000_000

    def answer_headers(self, request_id: str) -> Headers:
        """Headers of a whole answer: what it counted, and how long it took in milliseconds."""
        metadata = self._metadata
        assert metadata is not None, "the headers were asked for before the answer"
        usage = metadata.usage
        headers: Headers = [
            JSON,
            (b"x-amzn-requestid", request_id.encode()),
            (_LATENCY, b"%d" % metadata.latency_ms),
            (_INPUT, b"%d" % usage.input_tokens),
            (_OUTPUT, b"%d" % usage.output_tokens),
        ]
        if usage.cache_read_tokens:
            headers.append((_CACHE_READ, b"%d" % usage.cache_read_tokens))
        if usage.cache_write_tokens:
            headers.append((_CACHE_WRITE, b"%d" % usage.cache_write_tokens))
        return headers + _served(metadata.service_tier, metadata.latency)

    def stream_headers(self, request_id: str) -> Headers:
        """Headers of a streamed answer; the counts come in its last chunk."""
        usual = as_served(_NOTHING, self._request)
        return [
            EVENTS,
            (b"x-amzn-requestid", request_id.encode()),
            (b"x-amzn-bedrock-content-type", b"application/json"),
            *_served(usual.service_tier, usual.latency),
        ]


_NOTHING = Metadata(usage=Usage())
_TIERS = {"default", "priority", "flex", "reserved"}


def _served(tier: str | None, latency: str | None) -> Headers:
    headers: Headers = []
    if tier in _TIERS:  # other wires' bodies know tiers that Bedrock has no name for
        headers.append((_TIER, tier.encode()))
    if latency is not None:
        headers.append((_PERFORMANCE, latency.encode()))
    return headers


class EmbeddingCall:
    """One InvokeModel that embeds."""

    name = Call.name

    def __init__(self, call: Call, codec: EmbeddingCodec) -> None:
        self._call = call
        self._codec = codec
        self._made: Embeddings | None = None

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the operation's own protocol."""
        return self._call.error(error, request_id)

    def embeddings(self, embeddings: Embeddings, request: EmbeddingRequest, stamp: Stamp) -> bytes:
        """The body of the answer."""
        self._made = embeddings
        return self._codec.write_embeddings(embeddings, request, stamp)

    def answer_headers(self, request_id: str) -> Headers:
        """Headers of the answer: what it counted, and how long it took in milliseconds."""
        made = self._made
        assert made is not None, "the headers were asked for before the answer"
        return [
            JSON,
            (b"x-amzn-requestid", request_id.encode()),
            (_LATENCY, b"%d" % made.latency_ms),
            (_INPUT, b"%d" % made.input_tokens),
        ]
