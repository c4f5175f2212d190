"""OpenAI's chat completions, both sides.

Source: https://platform.openai.com/docs/api-reference/chat. A null member is an absent one, and
so is one that says its default (`"stream": false`). All else is carried exactly: from a body to a
`Request` and back to a body that says the same.
"""

from craton.dialects.dialect import ClientDialect, ServerDialect, Stamp
from craton.dialects.openai_chat_answer import read_answer, write_answer
from craton.dialects.openai_chat_errors import read_error, write_error
from craton.dialects.openai_chat_request import read_request, write_request
from craton.dialects.openai_chat_stream import ChunkReader, ChunkWriter
from craton.kernel.errors import CratonError
from craton.messages import Answer, Request


class OpenAIChatServer:
    """A server's side: reads requests, writes answers."""

    def read_request(self, body: bytes) -> Request:
        """Read a request body; BadRequest or Unsupported names the member that is wrong."""
        return read_request(body)

    def write_answer(self, answer: Answer, request: Request, stamp: Stamp) -> bytes:  # noqa: ARG002 - the seam's signature
        """The body of a whole answer."""
        return write_answer(answer, stamp)

    def stream_writer(self, request: Request, stamp: Stamp) -> ChunkWriter:
        """A writer for one streamed answer."""
        return ChunkWriter(request, stamp)

    def write_error(self, error: CratonError, request_id: str) -> tuple[int, bytes]:  # noqa: ARG002 - the wire names it in a header
        """HTTP status and body of an error."""
        return write_error(error)


class OpenAIChatClient:
    """A client's side: writes requests, reads answers."""

    def write_request(self, request: Request) -> bytes:
        """The body of a request; Unsupported names what this wire has no form for."""
        return write_request(request)

    def read_answer(self, body: bytes) -> Answer:
        """Read the body of a whole answer; EngineFailed where it isn't one."""
        return read_answer(body)

    def stream_reader(self) -> ChunkReader:
        """A reader for one streamed answer."""
        return ChunkReader()

    def read_error(self, status: int, body: bytes) -> CratonError:
        """The error that an upstream's refusal stands for."""
        return read_error(status, body)


SERVER = OpenAIChatServer()
CLIENT = OpenAIChatClient()

# Checked by the type checker: both fit the seam.
_server: ServerDialect = SERVER
_client: ClientDialect = CLIENT
