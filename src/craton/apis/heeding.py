"""Which engines can heed what only OpenAI's chat completions carry."""

from craton.dialects.openai_chat_settings import without_own
from craton.messages import Request
from craton.models.card import ModelCard, RemoteSource, RemoteWire


def heeded(request: Request, card: ModelCard) -> Request:
    """The request as a model's engine can heed all of it; Unsupported names what it can't."""
    source = card.source
    if isinstance(source, RemoteSource) and source.wire is RemoteWire.OPENAI:
        return request
    return without_own(request)
