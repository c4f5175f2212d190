"""What is known of a model: who made it, what it can do, and which engine runs it."""

from enum import StrEnum

import msgspec

from craton.dialects.invoke_format import BodyFormat
from craton.store.kind import Kind


class Modality(StrEnum):
    """What goes in or comes out."""

    TEXT = "TEXT"
    IMAGE = "IMAGE"
    EMBEDDING = "EMBEDDING"


class ModelState(StrEnum):
    """Whether a model takes new requests."""

    ACTIVE = "active"
    LEGACY = "legacy"


class EchoSource(msgspec.Struct, frozen=True, tag="echo"):
    """Runs on the echo engine: deterministic, for tests and benchmarks."""


class Runtime(StrEnum):
    """The library that runs a GGUF file."""

    LLAMA = "llama"
    """llama.cpp: starts in a second, reads every GGUF, serves tools and JSON."""
    OPENVINO = "openvino"
    """OpenVINO GenAI, an extra: more tokens a second where many ask at once."""


class EmbeddedSource(msgspec.Struct, frozen=True, tag="embedded"):
    """Runs on the embedded engine: a bundled weights entry, or a GGUF file of the operator's."""

    weights: str | None = None
    gguf: str | None = None
    runtime: Runtime = Runtime.LLAMA


class RemoteWire(StrEnum):
    """The protocol that a server elsewhere is asked in."""

    OPENAI = "openai"
    """Chat completions."""
    ANTHROPIC = "anthropic"
    """Messages."""
    BEDROCK = "bedrock"
    """Amazon Bedrock's Converse, signed or with an API key."""


class RemoteSource(msgspec.Struct, frozen=True, tag="remote"):
    """Runs behind a server elsewhere.

    `origin` is such as `http://127.0.0.1:8000`, `path` the folder of its API. The credential is a
    reference, never the secret itself: the path of a file that holds it.
    """

    origin: str
    model: str
    path: str = "/v1"
    credential_file: str | None = None
    wire: RemoteWire = RemoteWire.OPENAI
    region: str | None = None
    """Bedrock's region, where the origin's host doesn't tell it."""


Source = EchoSource | EmbeddedSource | RemoteSource


class ModelCard(msgspec.Struct, frozen=True):
    """One model of the catalogue. `id` is `lab.name`, as Bedrock writes it."""

    id: str
    name: str
    lab: str
    source: Source
    context_tokens: int
    output_tokens_default: int
    created_ms: int = 0
    input_modalities: tuple[Modality, ...] = (Modality.TEXT,)
    output_modalities: tuple[Modality, ...] = (Modality.TEXT,)
    state: ModelState = ModelState.ACTIVE
    licence: str | None = None
    formats: tuple[BodyFormat, ...] = ()
    """The body formats that it answers to in InvokeModel; none named: whichever the body is in."""


class Alias(msgspec.Struct, frozen=True):
    """Another name under which a model is asked for."""

    name: str
    model: str
    created_ms: int = 0


MODELS = Kind("model", "model", ModelCard)
ALIASES = Kind("alias", "alias", Alias)
