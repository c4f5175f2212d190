"""OpenAI's Responses, a server's side.

Sources: https://platform.openai.com/docs/api-reference/responses and Open Responses 2026-04-24
(https://www.openresponses.org). Where they differ, what OpenAI's own SDK reads is written: raw
reasoning streams as `response.reasoning_text.*`, and usage has `cache_write_tokens`.

What isn't built is refused by name: tools that the server runs, background answers, conversations,
prompt templates, compaction, truncation.
"""

from craton.dialects import openai_chat_errors
from craton.dialects.dialect import ServerDialect, Stamp
from craton.dialects.openai_responses_answer import DEFAULTS, write_answer
from craton.dialects.openai_responses_request import Creation, read_creation
from craton.dialects.openai_responses_stream import EventWriter
from craton.kernel.errors import CratonError, Unsupported
from craton.messages import Answer, Request

__all__ = ["DEFAULTS", "SERVER", "Creation", "EventWriter", "OpenAIResponsesServer"]


class OpenAIResponsesServer:
    """Reads requests, writes answers."""

    def read_creation(self, body: bytes) -> Creation:
        """Read a request body that may rest on responses which are kept."""
        return read_creation(body)

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
        return openai_chat_errors.write_error(error)


SERVER = OpenAIResponsesServer()

# Checked by the type checker: it fits the seam.
_server: ServerDialect = SERVER
