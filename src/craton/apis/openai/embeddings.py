"""OpenAI's embeddings. The request and the answer are the dialect's; nothing here knows a body."""

from craton.apis.app import Endpoint
from craton.apis.dialect_wire import DialectWire
from craton.apis.exchange import Exchange
from craton.apis.permit import INVOKE
from craton.apis.services import Services
from craton.dialects.dialect import Stamp
from craton.dialects.embedding import EmbeddingRequest, Embeddings
from craton.dialects.openai_chat import SERVER
from craton.dialects.openai_embeddings import Encoding, read_request, write_answer
from craton.http import Reply
from craton.kernel.errors import CratonError

EMBEDDINGS = b"/v1/embeddings"
WIRE = DialectWire("openai", SERVER, request_id_header=b"x-request-id")


class VectorWire:
    """Carries the vectors of one request in the encoding that it asked for."""

    name = WIRE.name

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def error(self, error: CratonError, request_id: str) -> Reply:
        """An error in the dialect's own form."""
        return WIRE.error(error, request_id)

    def embeddings(self, embeddings: Embeddings, request: EmbeddingRequest, stamp: Stamp) -> bytes:  # noqa: ARG002 - the seam's signature
        """The body of the answer."""
        return write_answer(embeddings, self._encoding, stamp)

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Headers of the answer."""
        return WIRE.answer_headers(request_id)


def embedding_endpoint(services: Services) -> Endpoint:
    """The endpoint for vectors."""

    async def embed(exchange: Exchange) -> None:
        request, encoding = read_request(exchange.request.body)
        await services.embedding.run(exchange, VectorWire(encoding), request)

    return Endpoint(WIRE, embed, INVOKE, resource=None)
