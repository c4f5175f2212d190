"""In which protocol an upstream is asked: OpenAI's, Anthropic's, or Amazon Bedrock's Converse.

A wire knows where a request goes, what it carries for a credential, and which codec reads and
writes its bodies. It sends nothing itself.
"""

from collections.abc import Mapping
from typing import Protocol, assert_never
from urllib.parse import quote

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from craton.dialects import anthropic_messages, openai_chat
from craton.dialects.anthropic_messages_betas import HEADER, betas_of, write_header
from craton.dialects.converse import ConverseClient
from craton.dialects.dialect import StreamReader
from craton.http import Headers, HttpClient, Origin, Target
from craton.kernel.errors import BadRequest, CratonError
from craton.messages import Answer, Request
from craton.models.card import RemoteSource, RemoteWire
from craton.models.engines.upstream.credential import ApiKeyText, AwsKeyPair, Credential

ANTHROPIC_VERSION = b"2023-06-01"
_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Codec(Protocol):
    """The client's side of a dialect, as a remote engine needs it."""

    def write_request(self, request: Request) -> bytes:
        """The body of a request."""
        ...

    def read_answer(self, body: bytes) -> Answer:
        """Read the body of a whole answer."""
        ...

    def stream_reader(self) -> StreamReader:
        """A reader for one streamed answer."""
        ...


class UpstreamWire(Protocol):
    """One protocol towards one upstream, with its credential."""

    codec: Codec

    def target(self, client: HttpClient, request: Request, body: bytes) -> Target:
        """Where a request with this body goes."""
        ...

    def read_error(self, status: int, headers: Headers, body: bytes) -> CratonError:
        """The error that a refusal stands for."""
        ...


class OpenAIWire:
    """Chat completions: vLLM, SGLang, OpenAI's own API, another Craton."""

    codec: Codec = openai_chat.CLIENT

    def __init__(self, source: RemoteSource, credential: Credential | None) -> None:
        self._origin = Origin.parse(source.origin)
        self._path = source.path.rstrip("/") + "/chat/completions"
        self._headers = (_JSON, *_bearer(credential))
        self._target: Target | None = None

    def target(self, client: HttpClient, request: Request, body: bytes) -> Target:
        """The one path, worked out once."""
        del request, body
        if self._target is None:
            self._target = client.target("POST", self._origin, self._path, self._headers)
        return self._target

    def read_error(self, status: int, headers: Headers, body: bytes) -> CratonError:
        """The error that a refusal stands for."""
        del headers
        return openai_chat.CLIENT.read_error(status, body)


_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking")
"""Members of a request that count towards its prompt, and that `count_tokens` takes."""


class AnthropicWire:
    """Anthropic's messages."""

    codec: Codec = anthropic_messages.CLIENT

    def __init__(self, source: RemoteSource, credential: Credential | None) -> None:
        self._origin = Origin.parse(source.origin)
        self._path = source.path.rstrip("/") + "/messages"
        key = ((b"x-api-key", credential.text),) if isinstance(credential, ApiKeyText) else ()
        self._headers = (_JSON, (b"anthropic-version", ANTHROPIC_VERSION), *key)
        self._target: Target | None = None

    def target(self, client: HttpClient, request: Request, body: bytes) -> Target:
        """The one path, worked out once; a request with betas names them in a header."""
        del body
        if self._target is None:
            self._target = client.target("POST", self._origin, self._path, self._headers)
        if request.additional_fields is None:
            return self._target
        return _with_betas(self._target, request)

    def count_target(self, client: HttpClient, request: Request) -> tuple[Target, bytes]:
        """The endpoint that counts takes what makes the prompt, and no more."""
        members = _decode_members(self.codec.write_request(request))
        body = _encode({name: members[name] for name in _COUNTED if name in members})
        path = self._path + "/count_tokens"
        target = client.target("POST", self._origin, path, self._headers)
        return _with_betas(target, request), body

    def read_count(self, body: bytes) -> int:
        """`input_tokens` of the answer."""
        return _count_of(body, "input_tokens")

    def read_error(self, status: int, headers: Headers, body: bytes) -> CratonError:
        """The error that a refusal stands for."""
        del headers
        return anthropic_messages.CLIENT.read_error(status, body)


class BedrockWire:
    """Amazon Bedrock's Converse: signed, or with a Bedrock API key."""

    codec: Codec = ConverseClient()

    def __init__(self, source: RemoteSource, credential: Credential | None) -> None:
        self._origin = Origin.parse(source.origin)
        self._folder = source.path.rstrip("/") + "/model/"
        self._region = source.region or region_of(self._origin.host)
        self._pair = credential if isinstance(credential, AwsKeyPair) else None
        self._headers = (_JSON, *_bearer(credential))

    def target(self, client: HttpClient, request: Request, body: bytes) -> Target:
        """The path names model and operation; the signature is over the body."""
        return self._to(client, request, "converse-stream" if request.stream else "converse", body)

    def count_target(self, client: HttpClient, request: Request) -> tuple[Target, bytes]:
        """CountTokens takes the messages, the system prompt and the tools."""
        members = _decode_members(self.codec.write_request(request))
        counted = {
            name: members[name] for name in ("messages", "system", "toolConfig") if name in members
        }
        body = _encode({"input": {"converse": counted}})
        return self._to(client, request, "count-tokens", body), body

    def read_count(self, body: bytes) -> int:
        """`inputTokens` of the answer."""
        return _count_of(body, "inputTokens")

    def read_error(self, status: int, headers: Headers, body: bytes) -> CratonError:
        """The error that a refusal stands for; its type comes in a header."""
        code = headers.get(b"x-amzn-errortype")
        return ConverseClient().read_error(status, body, code.decode("latin-1") if code else None)

    def _to(self, client: HttpClient, request: Request, operation: str, body: bytes) -> Target:
        path = f"{self._folder}{quote(request.model, safe='')}/{operation}"
        headers = self._headers
        if self._pair is not None:
            headers += signature(self._pair, self._region, f"{self._origin}{path}", body)
        return client.target("POST", self._origin, path, headers)


def signature(
    pair: AwsKeyPair, region: str, url: str, body: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that sign a POST to Bedrock, by botocore's own signer."""
    request = AWSRequest("POST", url, headers={"content-type": "application/json"}, data=body)
    credentials = Credentials(pair.access_key_id, pair.secret_access_key, pair.session_token)
    signer = SigV4Auth(credentials, "bedrock", region)
    signer.add_auth(request)  # pyright: ignore[reportUnknownMemberType] - botocore has no types
    made: Mapping[str, str] = dict(request.headers.items())
    return tuple(
        (name.lower().encode(), value.encode())
        for name, value in made.items()
        if name.lower() in {"authorization", "x-amz-date", "x-amz-security-token"}
    )


def region_of(host: str) -> str:
    """The region in a host of Bedrock's, such as `bedrock-runtime.eu-west-1.amazonaws.com`."""
    parts = host.split(".")
    is_aws = len(parts) > 2 and parts[0].startswith("bedrock-runtime") and "amazonaws" in parts
    return parts[1] if is_aws else "us-east-1"


CountingWire = AnthropicWire | BedrockWire
"""Wires whose protocols can count a prompt's tokens before it is answered."""


def open_wire(source: RemoteSource, credential: Credential | None) -> UpstreamWire:
    """The wire that a source names; BadRequest where its credential doesn't fit."""
    if isinstance(credential, AwsKeyPair) and source.wire is not RemoteWire.BEDROCK:
        raise BadRequest(
            f"{source.wire} takes one key, and the credential file holds AWS credentials. Give a "
            "file with the key alone."
        )
    match source.wire:
        case RemoteWire.OPENAI:
            return OpenAIWire(source, credential)
        case RemoteWire.ANTHROPIC:
            return AnthropicWire(source, credential)
        case RemoteWire.BEDROCK:
            return BedrockWire(source, credential)
        case _:
            assert_never(source.wire)


def _with_betas(target: Target, request: Request) -> Target:
    betas = betas_of(request)
    return target.with_headers(((HEADER, write_header(betas)),)) if betas else target


def _bearer(credential: Credential | None) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(credential, ApiKeyText):
        return ((b"authorization", b"Bearer " + credential.text),)
    return ()


def _count_of(body: bytes, member: str) -> int:
    return msgspec.json.decode(_decode_members(body)[member], type=int)
