"""InvokeModelWithResponseStream's frames: each part of a format's own stream, in a `chunk` event.

The last part tells what the whole call counted, under `amazon-bedrock-invocationMetrics`. It is
written only when `Metadata` comes, as all that ends an answer is.
"""

import base64
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from craton.dialects.converse_errors import stream_error
from craton.dialects.dialect import StreamWriter
from craton.dialects.eventstream import write_event, write_exception
from craton.kernel.errors import CratonError, Fault
from craton.messages import Event, Metadata

METRICS = "amazon-bedrock-invocationMetrics"

_encode = msgspec.json.Encoder().encode
_DATA = b"data: "
_DONE = b"[DONE]"


class PartWriter(Protocol):
    """Writes one answer's events as a format's own JSON objects."""

    def write(self, event: Event) -> list[bytes]:
        """The parts of one event; may be none. `Metadata` gives at least one: the last."""
        ...


class EventParts:
    """The data of the server-sent events that a dialect streams, without the mark of the end."""

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer

    def write(self, event: Event) -> list[bytes]:
        """The parts of one event; may be none."""
        frames = self._writer.write(event)
        if not frames:
            return []
        # JSON on one line holds no line break, so a blank line always ends a frame.
        parts = [frame[frame.index(_DATA) + 6 :] for frame in frames.split(b"\n\n")[:-1]]
        return [part for part in parts if part != _DONE]


class ChunkWriter:
    """Writes one answer's events as `chunk` frames.

    `first_ms` tells, when the answer ends, how long after the call its first piece left; None where
    there was none.
    """

    def __init__(self, parts: PartWriter, first_ms: Callable[[], int | None]) -> None:
        self._parts = parts
        self._first_ms = first_ms

    def write(self, event: Event) -> bytes:
        """The frames of one event; may be empty."""
        parts = self._parts.write(event)
        if type(event) is Metadata:
            metrics = _encode({METRICS: invocation_metrics(event, self._first_ms())})
            parts[-1] = parts[-1][:-1] + b"," + metrics[1:]
        return b"".join([_chunk(part) for part in parts])

    def write_error(self, error: CratonError) -> bytes:
        """The exception frame that ends a stream which had begun and then failed."""
        # This stream has a name for a timeout; Converse's has none.
        if error.fault is Fault.ENGINE_TIMEOUT:
            return write_exception("modelTimeoutException", _encode({"message": error.message}))
        exception_type, document = stream_error(error)
        return write_exception(exception_type, _encode(document))


def _chunk(part: bytes) -> bytes:
    return write_event("chunk", b'{"bytes":"%b"}' % base64.b64encode(part))


def invocation_metrics(metadata: Metadata, first_ms: int | None) -> dict[str, Any]:
    """What a call counted and how long it took, in Bedrock's words; times in milliseconds."""
    usage = metadata.usage
    metrics: dict[str, Any] = {
        "inputTokenCount": usage.input_tokens,
        "outputTokenCount": usage.output_tokens,
        "invocationLatency": metadata.latency_ms,
    }
    if first_ms is not None:
        metrics["firstByteLatency"] = first_ms
    if usage.cache_read_tokens:
        metrics["cacheReadInputTokenCount"] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        metrics["cacheWriteInputTokenCount"] = usage.cache_write_tokens
    return metrics
