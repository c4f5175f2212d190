"""Which operation of which wire a recorded request was for, and who sent it."""

from collections.abc import Mapping
from dataclasses import dataclass

from craton.apis.aws.operations import Entry, entries
from craton.apis.aws.routes import Routes
from craton.kernel.errors import BadRequest
from tests.conformance.recording import Record

OPENAI, ANTHROPIC = "openai", "anthropic"
RAW = "raw"
"""A client that isn't one: bytes of a test's own."""

ROUTES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    OPENAI: {
        "chat.completions.create": ("POST", "/v1/chat/completions"),
        "embeddings.create": ("POST", "/v1/embeddings"),
        "models.list": ("GET", "/v1/models"),
        "models.retrieve": ("GET", "/v1/models/{model}"),
        "responses.cancel": ("POST", "/v1/responses/{id}/cancel"),
        "responses.create": ("POST", "/v1/responses"),
        "responses.delete": ("DELETE", "/v1/responses/{id}"),
        "responses.input_items.list": ("GET", "/v1/responses/{id}/input_items"),
        "responses.input_tokens.count": ("POST", "/v1/responses/input_tokens"),
        "responses.retrieve": ("GET", "/v1/responses/{id}"),
    },
    ANTHROPIC: {
        "messages.count_tokens": ("POST", "/v1/messages/count_tokens"),
        "messages.create": ("POST", "/v1/messages"),
        "models.list": ("GET", "/v1/models"),
        "models.retrieve": ("GET", "/v1/models/{model}"),
    },
}
"""The operations that are built, by the names that the SDKs give them, and where they are."""

STREAMED = frozenset(
    {
        (OPENAI, "chat.completions.create"),
        (OPENAI, "responses.create"),
        (ANTHROPIC, "messages.create"),
        ("bedrock-runtime", "ConverseStream"),
        ("bedrock-runtime", "InvokeModelWithResponseStream"),
    }
)
"""Operations whose answer can be a stream, so that one has to be seen."""

_NO_INSTANCES = "what runs here holds a lease, and is no instance"
ONLY_REFUSE = {
    ("ec2", "ModifyInstanceCapacityReservationAttributes"): _NO_INSTANCES,
    ("ec2", "RunInstances"): _NO_INSTANCES,
    (OPENAI, "responses.cancel"): "only a response made in the background can be cancelled",
}
"""Operations that are there and can't succeed, or not yet, with the reason that they give."""

_CLIENTS = (
    ("claude-cli", "Claude Code"),
    ("ai-sdk", "Vercel AI SDK"),
    (" ai/", "Vercel AI SDK"),
    ("pydantic-ai", "Pydantic AI"),
    ("litellm", "LiteLLM"),
    ("strands", "Strands"),
    ("langchain", "LangChain"),
    ("aws-sdk-js", "AWS SDK for JavaScript"),
    ("aws-cli", "AWS CLI"),
    ("boto3", "boto3"),
    ("botocore", "botocore"),
    ("anthropicbedrock", "anthropic (Bedrock)"),
    ("anthropic/python", "anthropic"),
    ("openai/python", "openai"),
)
"""What a `User-Agent` holds, in lower case, and whose it then is; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation of a wire; `entry` is there for AWS's."""

    wire: str
    operation: str
    entry: Entry | None = None


_AWS = Routes(entries())


def client_of(record: Record) -> str:
    """The client by its own word, without its version."""
    agent = " " + dict(record.headers).get(b"user-agent", b"").decode("latin-1").lower()
    return next((name for mark, name in _CLIENTS if mark in agent), RAW)


def asked(record: Record) -> Asked | None:
    """The operation of a request; None for one to no operation, or to Craton's own API."""
    path = record.path.decode("latin-1")
    headers = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in record.headers
    }  # a repeated header is refused before anything is asked
    if path.startswith("/craton") or path in ("/healthz", "/readyz", "/metrics"):
        return None
    for prefix, wire in (("/openai", OPENAI), ("/anthropic", ANTHROPIC)):
        if path.startswith(prefix + "/"):
            return _by_route(wire, record.method, path.removeprefix(prefix))
    if path.startswith("/v1/"):
        is_anthropic = path.startswith("/v1/messages") or "anthropic-version" in headers
        return _by_route(ANTHROPIC if is_anthropic else OPENAI, record.method, path)
    try:
        match = _AWS.find(record.method, record.path, record.query, headers, record.form)
    except BadRequest:
        return None
    if match is None or not match.entry.name:
        return None
    return Asked(match.entry.service, match.entry.name, match.entry)


def _by_route(wire: str, method: str, path: str) -> Asked | None:
    """Literal paths go before those with a name in them; a model's name may hold slashes."""
    found = ""
    for operation, (its_method, route) in ROUTES[wire].items():
        if its_method != method:
            continue
        if route == path:
            return Asked(wire, operation)
        folder, brace, rest = route.partition("{")
        ending = rest.partition("}")[2]
        named = path[len(folder) : len(path) - len(ending)]
        fits = brace and path.startswith(folder) and path.endswith(ending) and named
        if fits and (ending or route.startswith("/v1/models") or "/" not in named):
            found = operation
    return Asked(wire, found) if found else None
