"""The requests that are sent, in each protocol that is measured."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SYSTEM = "You are a helpful assistant."
QUESTION = (
    "Explain in a few plain sentences how a gateway in front of many language models should meter "
    "its traffic. "
) * 5
TOKENS_MAX = 256
INPUT_TOKENS = 123
"""What the upstream says a prompt counts."""
PLAIN_OUTPUT_TOKENS = 128
"""What the upstream says a plain answer counts; a streamed one counts its chunks."""
WORD = "word"
"""Stands once in each content chunk that the upstream streams, and so in each protocol's chunk."""


@dataclass(frozen=True, slots=True)
class Load:
    """One way of asking: how many at once, for how long, and what comes back."""

    name: str
    connections: int
    measure_s: float
    warm_s: float
    chunks: int = 0
    """Content chunks of a streamed answer; 0 asks for a plain one."""
    pace_ms: int = 0
    """Milliseconds between chunks; 0 sends all at once."""

    @property
    def question(self) -> str:
        """The prompt, with the words that steer the upstream."""
        if not self.chunks:
            return QUESTION
        return f"{QUESTION} chunks={self.chunks} pace={self.pace_ms}"

    @property
    def output_tokens(self) -> int:
        """What the upstream says one answer counts."""
        return self.chunks or PLAIN_OUTPUT_TOKENS


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request as the load driver sends it."""

    path: str
    headers: tuple[str, ...]
    body: bytes


class Wire(Protocol):
    """A protocol, with the keys to use it."""

    @property
    def mark(self) -> str:
        """What stands once in each content chunk, as the load driver sees its bytes."""
        ...

    def text(self, body: bytes) -> bytes:
        """The body of a streamed answer, readable."""
        ...

    def request(self, load: Load, port: int) -> WireRequest:
        """The request of a load, to be sent to a port of this machine within five minutes."""
        ...


@dataclass(frozen=True, slots=True)
class OpenAIWire:
    """OpenAI chat completions."""

    model: str = "mock"
    headers: tuple[str, ...] = ()
    mark: str = WORD

    def text(self, body: bytes) -> bytes:
        """The words stand in it as they are."""
        return body

    def request(self, load: Load, port: int) -> WireRequest:
        """The request of a load."""
        del port
        body: dict[str, object] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": load.question},
            ],
            "max_tokens": TOKENS_MAX,
            "temperature": 0.7,
        }
        if load.chunks:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return WireRequest("/v1/chat/completions", self.headers, json.dumps(body).encode())


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """What requests are signed with."""

    access_key_id: str
    secret_access_key: str
    region: str

    def sign(self, path: str, body: bytes, port: int) -> WireRequest:
        """A request to Bedrock, signed now by Signature Version 4: good for five minutes."""
        host = f"127.0.0.1:{port}"
        signed = AWSRequest(
            method="POST",
            url=f"http://{host}{path}",
            data=body,
            headers={"Content-Type": "application/json", "Host": host},
        )
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        signer: Any = SigV4Auth(credentials, "bedrock", self.region)  # botocore has no types
        signer.add_auth(signed)
        sent = tuple(
            f"{name}: {value}"
            for name, value in signed.headers.items()
            if name in ("Authorization", "X-Amz-Date")
        )
        return WireRequest(path, sent, body)


@dataclass(frozen=True, slots=True)
class ConverseWire:
    """Amazon Bedrock's Converse and ConverseStream, signed."""

    model: str
    keys: AwsKeys
    mark: str = WORD

    def text(self, body: bytes) -> bytes:
        """The words stand in it as they are."""
        return body

    def request(self, load: Load, port: int) -> WireRequest:
        """The request of a load."""
        body = {
            "system": [{"text": SYSTEM}],
            "messages": [{"role": "user", "content": [{"text": load.question}]}],
            "inferenceConfig": {"maxTokens": TOKENS_MAX, "temperature": 0.7},
        }
        path = f"/model/{self.model}/converse" + ("-stream" if load.chunks else "")
        return self.keys.sign(path, json.dumps(body).encode(), port)


INVOKE_MARK = base64.b64encode(b"content_block_delt").decode()
"""`content_block_delta`, but for its last letter, as base64 has it after `{"type":"`.

A chunk of a streamed InvokeModel carries the model's own event in base64, where the text of the
event has no one spelling. Its type has: it begins at the tenth byte, where base64 begins anew.
"""
INVOKE_BYTES = re.compile(rb'"bytes":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class InvokeWire:
    """Amazon Bedrock's InvokeModel and its streamed form with Anthropic's body, signed."""

    model: str
    keys: AwsKeys
    mark: str = INVOKE_MARK

    def text(self, body: bytes) -> bytes:
        """The events that the chunks carry."""
        return b"".join(base64.b64decode(each) for each in INVOKE_BYTES.findall(body))

    def request(self, load: Load, port: int) -> WireRequest:
        """The request of a load."""
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "system": SYSTEM,
            "messages": [{"role": "user", "content": load.question}],
            "max_tokens": TOKENS_MAX,
            "temperature": 0.7,
        }
        operation = "invoke-with-response-stream" if load.chunks else "invoke"
        path = f"/model/{self.model}/{operation}"
        return self.keys.sign(path, json.dumps(body).encode(), port)
