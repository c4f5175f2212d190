"""Amazon Bedrock's Converse as a dialect: pure codecs for a server and for a client.

The server's side starts from a document rather than from bytes: the wire under `apis/aws` reads
and checks path, query, headers and body against the service model first.
"""

from typing import Any

import msgspec

from craton.dialects import converse_answer, converse_errors, converse_request
from craton.dialects.converse_members import NOT_CONVERSE, Members
from craton.dialects.converse_stream import ConverseStreamReader, ConverseStreamWriter
from craton.kernel.errors import CratonError, EngineFailed
from craton.messages import Answer, Request

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class ConverseServer:
    """A server's side: checked documents in, documents and frames out."""

    def read_request(self, document: Members, *, stream: bool) -> Request:
        """Read the input of Converse or ConverseStream, as `apis.aws.parse` returns it.

        `modelId` is among the members; blobs are bytes. BadRequest or Unsupported names the
        member that is wrong.
        """
        return converse_request.read_request(document, stream=stream)

    def write_answer(self, answer: Answer) -> Members:
        """The output of Converse as a document; blobs are bytes."""
        return converse_answer.write_answer(answer)

    def write_answer_body(self, answer: Answer) -> bytes:
        """The output of Converse as its JSON body."""
        return _encode(converse_answer.write_answer(answer))

    def stream_writer(self) -> ConverseStreamWriter:
        """A writer for one streamed answer."""
        return ConverseStreamWriter()


class ConverseClient:
    """A client's side, for engines that talk to Bedrock or to another Craton."""

    def write_request(self, request: Request) -> bytes:
        """The body of a request; the model's id belongs into the path."""
        return _encode(converse_request.write_request(request))

    def read_answer(self, body: bytes) -> Answer:
        """Read the body of a whole answer; EngineFailed if it isn't one."""
        try:
            return converse_answer.checked(converse_answer.read_answer(_decode(body)))
        except NOT_CONVERSE as error:
            raise _not_converse(error) from error

    def stream_reader(self) -> ConverseStreamReader:
        """A reader for one streamed answer."""
        return ConverseStreamReader()

    def read_error(self, status: int, body: bytes, code: str | None = None) -> CratonError:
        """The error that an upstream's refusal stands for; `code` is its `x-amzn-errortype`."""
        try:
            document = _decode(body)
        except (msgspec.MsgspecError, RecursionError):
            document = {}
        return converse_errors.read_error(status, document, code=code)


def _not_converse(error: BaseException) -> EngineFailed:
    return EngineFailed(f"The model's server sent an answer that is not Converse's: {error}")
