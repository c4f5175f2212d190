"""The real boto3 client against signature, wire and dialect, joined without a socket.

botocore lets a handler answer in place of the network; everything else of the client is at work:
serializer, signer, retries, parsers, event stream.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from craton.access import sigv4
from craton.apis.aws.render import check
from craton.apis.aws.wire import AwsWire
from craton.dialects.converse import ConverseServer
from craton.kernel.errors import (
    CratonError,
    EngineFailed,
    NotBuilt,
    Throttled,
    Unauthenticated,
)
from craton.messages import (
    Answer,
    BlockStart,
    BlockStop,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    Request,
    StopReason,
    Text,
    TextDelta,
    Usage,
    fold,
)

SECRETS = {"AKIACRATON": "secret"}
WIRE, DIALECT = AwsWire(), ConverseServer()


class Body:
    """What botocore expects of an HTTP response's body."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield from (self._content[at : at + 100] for at in range(0, len(self._content), 100))

    def close(self) -> None:
        pass


def secret_for(access_key_id: str) -> str:
    if access_key_id not in SECRETS:
        raise Unauthenticated(
            "The security token included in the request is invalid.",
            code="UnrecognizedClientException",
        )
    return SECRETS[access_key_id]


def echo(request: Request) -> list[Event]:
    (block,) = request.messages[-1].content
    assert isinstance(block, Text)
    usage = Usage(input_tokens=len(block.text), output_tokens=2)
    return [
        MessageStart(),
        BlockStart(index=0),
        TextDelta(index=0, text=block.text),
        TextDelta(index=0, text="!"),
        BlockStop(index=0),
        MessageStop(stop_reason=StopReason.END_TURN),
        Metadata(usage=usage, latency_ms=1),
    ]


def whole(answer: Answer) -> dict[str, Any]:
    document = DIALECT.write_answer(answer)
    shape = WIRE._models.operation("bedrock-runtime", "Converse").output
    assert shape is not None
    assert check(shape, document) == []
    return document


class Server:
    """Answers botocore's requests; `trouble` is raised where an engine would run."""

    def __init__(self) -> None:
        self.calls = 0
        self.trouble: CratonError | None = None
        self.trouble_in_stream: CratonError | None = None

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        self.calls += 1
        parts = urlsplit(request.url)
        headers = {name.lower(): self._text(value) for name, value in request.headers.items()}
        headers.setdefault("host", parts.netloc)
        raw_path, raw_query = parts.path.encode(), parts.query.encode()
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        match = None
        try:
            match = WIRE.find(request.method, raw_path, raw_query, headers, body)
            sigv4.verify(
                request.method,
                raw_path,
                raw_query,
                headers,
                body,
                now_s=time.time(),
                secret_for=secret_for,
                services={"bedrock", "sts"},
            )
            if match is None:
                raise WIRE.unknown(request.method, raw_path)
            document = WIRE.parse(match, raw_query, headers, body)
            if self.trouble is not None:
                raise self.trouble
            reply = self._serve(match, document)
        except CratonError as error:
            reply = WIRE.error(error, match, "id-1")
        status, pairs, content = reply
        names = {name.decode(): value.decode() for name, value in pairs}
        return AWSResponse(request.url, status, names, Body(content))

    @staticmethod
    def _text(value: Any) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    def _serve(self, match: Any, document: dict[str, Any]) -> Any:
        match match.entry.name:
            case "GetCallerIdentity":
                arn = "arn:aws:iam::000000000001:user/me"
                identity = {"UserId": "me", "Account": "000000000001", "Arn": arn}
                return WIRE.render(match, identity, "id-1")
            case "Converse":
                answer = fold(echo(DIALECT.read_request(document, stream=False)))
                return WIRE.render(match, whole(answer), "id-1")
            case _:
                events = echo(DIALECT.read_request(document, stream=True))
                writer = DIALECT.stream_writer()
                content = b"".join(writer.write(event) for event in events[:-1])
                if self.trouble_in_stream is not None:
                    content += writer.write_error(self.trouble_in_stream)
                else:
                    content += writer.write(events[-1])
                kind = (b"content-type", b"application/vnd.amazon.eventstream")
                return 200, [kind], content


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Callable[..., Any]:
    def make(
        service: str = "bedrock-runtime", *, key: str = "AKIACRATON", secret: str = "secret"
    ) -> Any:
        made = boto3.session.Session().client(
            service,
            endpoint_url="http://127.0.0.1:8400",
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"mode": "standard", "total_max_attempts": 2}),
        )
        made.meta.events.register("before-send", server)
        return made

    return make


ASK: dict[str, Any] = {
    "modelId": "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b-instruct-v1:0",
    "messages": [{"role": "user", "content": [{"text": "grüß Gott"}]}],
}


def test_converse_answers(client: Callable[..., Any]) -> None:
    answer = client().converse(**ASK)
    assert answer["output"]["message"]["content"] == [{"text": "grüß Gott!"}]
    assert answer["usage"] == {"inputTokens": 9, "outputTokens": 2, "totalTokens": 11}
    assert answer["ResponseMetadata"]["RequestId"] == "id-1"


def test_converse_stream_answers(client: Callable[..., Any]) -> None:
    events = list(client().converse_stream(**ASK)["stream"])
    texts = [e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e]
    assert "".join(texts) == "grüß Gott!"
    assert events[-2] == {"messageStop": {"stopReason": "end_turn"}}
    assert events[-1]["metadata"]["usage"]["totalTokens"] == 11


def test_get_caller_identity_answers(client: Callable[..., Any]) -> None:
    assert client("sts").get_caller_identity()["Account"] == "000000000001"


@pytest.mark.parametrize(("key", "secret"), [("AKIAFORGED", "secret"), ("AKIACRATON", "forged")])
def test_a_forged_key_is_refused(
    client: Callable[..., Any], server: Server, key: str, secret: str
) -> None:
    with pytest.raises(ClientError) as caught:
        client(key=key, secret=secret).converse(**ASK)
    assert caught.value.response["Error"]["Code"] in (
        "UnrecognizedClientException",
        "InvalidSignatureException",
    )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert server.calls == 1


def test_a_presigned_identity_is_verified(client: Callable[..., Any]) -> None:
    url = client("sts").generate_presigned_url(
        "get_caller_identity", ExpiresIn=60, HttpMethod="GET"
    )
    parts = urlsplit(url)
    arguments: Any = ("GET", parts.path.encode(), parts.query.encode(), {"host": parts.netloc}, b"")
    verified = sigv4.verify(*arguments, now_s=time.time(), secret_for=secret_for, services={"sts"})
    assert verified.access_key_id == "AKIACRATON"


def test_errors_are_the_clients_own_classes(client: Callable[..., Any], server: Server) -> None:
    made = client()
    server.trouble = EngineFailed("the engine broke")
    with pytest.raises(made.exceptions.ModelErrorException, match="the engine broke"):
        made.converse(**ASK)
    server.trouble = Throttled("slow down")
    with pytest.raises(made.exceptions.ThrottlingException):
        made.converse_stream(**ASK)


def test_an_error_in_the_stream_is_raised_from_it(
    client: Callable[..., Any], server: Server
) -> None:
    server.trouble_in_stream = EngineFailed("the engine broke")
    stream = client().converse_stream(**ASK)["stream"]
    with pytest.raises(EventStreamError, match=r"modelStreamErrorException.*the engine broke"):
        list(stream)


def test_an_operation_that_is_not_built_is_asked_for_once(
    client: Callable[..., Any], server: Server
) -> None:
    with pytest.raises(ClientError) as caught:
        client("bedrock").list_guardrails()
    error = caught.value.response["Error"]
    assert error["Code"] == "UnsupportedOperationException"
    assert "not built yet" in error["Message"]
    assert server.calls == 1


def test_what_passes_is_tried_again(client: Callable[..., Any], server: Server) -> None:
    server.trouble = Throttled("slow down")
    with pytest.raises(ClientError):
        client().converse(**ASK)
    assert server.calls == 2


def test_a_not_built_error_names_the_operation(client: Callable[..., Any], server: Server) -> None:
    server.trouble = NotBuilt("x is not built")
    with pytest.raises(ClientError, match="x is not built"):
        client().converse(**ASK)


def test_a_value_out_of_range_is_told_by_its_name(client: Callable[..., Any]) -> None:
    made = client()
    with pytest.raises(made.exceptions.ValidationException, match=r"inferenceConfig\.temperature"):
        made.converse(**ASK, inferenceConfig={"temperature": 7})
