"""OpenAI's Responses, a server's side.

Sources: https://platform.openai.com/docs/api-reference/responses and Open Responses 2026-04-24
(https://www.openresponses.org). Where they differ, what OpenAI's own SDK reads is written: raw
reasoning streams as `response.reasoning_text.*`, and usage has `cache_write_tokens`.

What isn't built is refused by name: tools that the server runs, background answers, conversations,
prompt templates, compaction, truncation.
"""

import msgspec

from craton.dialects import openai_chat_errors
from craton.dialects.dialect import ServerDialect, Stamp
from craton.dialects.openai_responses_answer import DEFAULTS, write_answer
from craton.dialects.openai_responses_request import Creation, read_compaction, read_creation
from craton.dialects.openai_responses_stream import EventWriter
from craton.kernel.errors import CratonError, Unsupported
from craton.messages import Answer, Request

__all__ = [
    "CONNECTION_TOO_OLD",
    "DEFAULTS",
    "SERVER",
    "Creation",
    "EventWriter",
    "OpenAIResponsesServer",
]

CONNECTION_TOO_OLD = "websocket_connection_limit_reached"
"""The error code of a WebSocket that is as old as one may get, by OpenAI's own name."""


class OpenAIResponsesServer:
    """Reads requests, writes answers."""

    def read_creation(self, body: bytes, *, stores: bool = True) -> Creation:
        """Read a request body that may rest on responses which are kept.

        `stores` is whether an answer is kept where the body doesn't say.
        """
        return read_creation(body, stores=stores)

    def read_compaction(self, body: bytes) -> str:
        """Read the body of a compaction as far as the name of its model."""
        return read_compaction(body).model

    def read_request(self, body: bytes) -> Request:
        """Read a request body that stands by itself, as in a batch."""
        creation = read_creation(body)
        if creation.previous is not None or creation.references():
            raise Unsupported(
                "`previous_response_id`: and references to items are served only where responses "
                "are kept. Send the items themselves."
            )
        return creation.request([], creation.given("", {}), DEFAULTS)

    def write_answer(
        self,
        answer: Answer,
        request: Request,
        stamp: Stamp,
        *,
        document_bytes_max: int | None = None,
    ) -> bytes:
        """The document of a whole answer; over the limit it says that it isn't stored."""
        return write_answer(answer, request, stamp, document_bytes_max=document_bytes_max)

    def stream_writer(
        self, request: Request, stamp: Stamp, *, document_bytes_max: int | None = None
    ) -> EventWriter:
        """A writer for one streamed answer."""
        return EventWriter(request, stamp, document_bytes_max=document_bytes_max)

    def write_error(self, error: CratonError, request_id: str) -> tuple[int, bytes]:  # noqa: ARG002 - the wire names it in a header
        """HTTP status and body of an error."""
        if error.code != CONNECTION_TOO_OLD:
            return openai_chat_errors.write_error(error)
        body = openai_chat_errors.error_body(error)
        body["error"]["code"] = error.code
        return openai_chat_errors.write_error(error)[0], msgspec.json.encode(body)


SERVER = OpenAIResponsesServer()

# Checked by the type checker: it fits the seam.
_server: ServerDialect = SERVER
