"""Anthropic's messages, both sides.

Source: https://platform.claude.com/docs/en/api/messages. A null member is an absent one, and so is
one that says its default (`"stream": false`). All else is carried exactly: from a body to a
`Request` and back to a body that says the same.
"""

from craton.dialects.anthropic_messages_answer import read_answer, write_answer
from craton.dialects.anthropic_messages_errors import read_error, write_error
from craton.dialects.anthropic_messages_request import (
    read_count_request,
    read_request,
    write_request,
)
from craton.dialects.anthropic_messages_stream import FrameReader, FrameWriter
from craton.dialects.dialect import ClientDialect, ServerDialect, Stamp
from craton.kernel.errors import CratonError
from craton.messages import Answer, Request


class AnthropicMessagesServer:
    """A server's side: reads requests, writes answers."""

    def read_request(self, body: bytes) -> Request:
        """Read a request body; BadRequest or Unsupported names the member that is wrong."""
        return read_request(body)

    def read_count_request(self, body: bytes) -> Request:
        """Read the body of `count_tokens`, which needs no `max_tokens`."""
        return read_count_request(body)

    def write_answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:  # noqa: ARG002 - the seam's signature
        """The body of a whole answer."""
        return write_answer(answer, stamp)

    def stream_writer(self, request: Request, stamp: Stamp) -> FrameWriter:  # noqa: ARG002 - the seam's signature
        """A writer for one streamed answer."""
        return FrameWriter(stamp)

    def write_error(self, error: CratonError, request_id: str) -> tuple[int, bytes]:
        """HTTP status and body of an error."""
        return write_error(error, request_id)


class AnthropicMessagesClient:
    """A client's side: writes requests, reads answers."""

    def write_request(self, request: Request) -> bytes:
        """The body of a request; Unsupported names what this wire has no form for."""
        return write_request(request)

    def read_answer(self, body: bytes) -> Answer:
        """Read the body of a whole answer; EngineFailed where it isn't one."""
        return read_answer(body)

    def stream_reader(self) -> FrameReader:
        """A reader for one streamed answer."""
        return FrameReader()

    def read_error(self, status: int, body: bytes) -> CratonError:
        """The error that an upstream's refusal stands for."""
        return read_error(status, body)


SERVER = AnthropicMessagesServer()
CLIENT = AnthropicMessagesClient()

# Checked by the type checker: both fit the seam.
_server: ServerDialect = SERVER
_client: ClientDialect = CLIENT
