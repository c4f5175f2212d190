"""A remote engine against an upstream whose every answer the test wrote down."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from craton.access.sigv4 import verify
from craton.dialects import anthropic_messages, openai_chat
from craton.http import HttpRequest, HttpResponder, HttpServer
from craton.kernel.clock import SystemClock
from craton.kernel.errors import (
    BadRequest,
    EngineFailed,
    EngineNotReady,
    Throttled,
)
from craton.messages import Message, Metadata, Request, Role, Text
from craton.models.card import RemoteSource, RemoteWire
from craton.models.engine import Onward, Stop
from craton.models.engines.remote import CountingRemoteEngine, RemoteEngine
from craton.models.engines.upstream.credential import read_credential
from craton.models.engines.upstream.retry import RETRIES_SAVED, RetryBudget
from craton.models.engines.upstream.wires import region_of

ID = "0190"
OPENAI_ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)
OPENAI_STREAM = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}\n\n'
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    b"data: [DONE]\n\n"
)
ANTHROPIC_ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text",'
    b'"text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":3,"output_tokens":2}}'
)
CONVERSE_ANSWER = (
    b'{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},'
    b'"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},'
    b'"metrics":{"latencyMs":7}}'
)
LATER = (429, b'{"error":{"message":"slow down","type":"rate_limit_error"}}')
Reply = tuple[int, bytes] | tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]


@dataclass
class Upstream:
    """A server that gives its replies in turn, the last one for ever."""

    replies: list[Reply]
    requests: list[HttpRequest] = field(default_factory=list)
    origin: str = ""

    async def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        responder.respond(reply[0], reply[2] if len(reply) == 3 else (), reply[1])


@asynccontextmanager
async def serving(*replies: Reply) -> AsyncIterator[Upstream]:
    upstream = Upstream(list(replies))
    listening = socket.create_server(("127.0.0.1", 0))
    upstream.origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = HttpServer(upstream)
    await server.start(listening)
    try:
        yield upstream
    finally:
        await server.close(0)


@dataclass
class Naps:
    """Waits for nothing, and remembers how long it was to."""

    waited_s: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.waited_s.append(seconds)


def engine(
    origin: str,
    wire: RemoteWire = RemoteWire.OPENAI,
    *,
    naps: Naps | None = None,
    credential_file: Path | None = None,
    kind: type[RemoteEngine] = RemoteEngine,
    onward: Onward | None = None,
) -> RemoteEngine:
    path = "" if wire is RemoteWire.BEDROCK else "/v1"
    credential = str(credential_file) if credential_file else None
    source = RemoteSource(origin, "m:0", path, credential, wire, "eu-west-1")
    return kind(
        source,
        name="lab.m",
        output_tokens_default=77,
        clock=SystemClock(),
        random_source=random.Random(1),
        sleep=naps or Naps(),
        onward=onward,
    )


def request(**members: object) -> Request:
    asked = Request(model="lab.m", messages=[Message(role=Role.USER, content=[Text(text="hello")])])
    return msgspec.structs.replace(asked, **members)


async def ask(remote: RemoteEngine, **members: object) -> str:
    try:
        answer = await remote.answer(request(**members), request_id=ID, stop=Stop())
    finally:
        await remote.close()
    assert (answer.metadata.usage.input_tokens, answer.metadata.usage.output_tokens) == (3, 2)
    (block,) = answer.content
    return block.text


@pytest.mark.parametrize(
    ("wire", "body", "path"),
    [
        (RemoteWire.OPENAI, OPENAI_ANSWER, b"/v1/chat/completions"),
        (RemoteWire.ANTHROPIC, ANTHROPIC_ANSWER, b"/v1/messages"),
        (RemoteWire.BEDROCK, CONVERSE_ANSWER, b"/model/m%3A0/converse"),
    ],
)
async def test_an_upstream_is_asked_in_its_own_protocol(
    wire: RemoteWire, body: bytes, path: bytes
) -> None:
    async with serving((200, body)) as upstream:
        assert await ask(engine(upstream.origin, wire)) == "hi"
    assert upstream.requests[0].raw_path == path


async def test_a_request_without_a_limit_gets_the_cards_own() -> None:
    async with serving((200, OPENAI_ANSWER)) as upstream:
        await ask(engine(upstream.origin))
        await ask(engine(upstream.origin), max_tokens=5)
    read = openai_chat.SERVER.read_request
    assert [read(each.body).max_tokens for each in upstream.requests] == [77, 5]


async def test_an_api_key_goes_where_its_protocol_has_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret-1\n")
    async with serving((200, OPENAI_ANSWER)) as upstream:
        await ask(engine(upstream.origin, credential_file=key))
    assert upstream.requests[0].headers.get(b"authorization") == b"Bearer secret-1"
    async with serving((200, ANTHROPIC_ANSWER)) as upstream:
        await ask(engine(upstream.origin, RemoteWire.ANTHROPIC, credential_file=key))
    assert upstream.requests[0].headers.get(b"x-api-key") == b"secret-1"
    assert upstream.requests[0].headers.get(b"anthropic-version") == b"2023-06-01"


async def test_a_request_to_bedrock_is_signed_for_its_region(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s/+x\n")
    async with serving((200, CONVERSE_ANSWER)) as upstream:
        await ask(engine(upstream.origin, RemoteWire.BEDROCK, credential_file=credentials))
    sent = upstream.requests[0]
    verified = verify(
        sent.method,
        sent.raw_path,
        sent.raw_query,
        {name.decode(): value.decode() for name, value in sent.headers},
        sent.body,
        now_s=time.time(),
        secret_for={"AKIA1": "s/+x"}.__getitem__,
        services=("bedrock",),
    )
    assert (verified.access_key_id, verified.region) == ("AKIA1", "eu-west-1")


def traceparent(request_id: str) -> list[tuple[bytes, bytes]]:
    return [(b"traceparent", b"00-%032d-%016d-01" % (7, int(request_id)))]


async def told_of_traces(
    onward: Onward | None, wire: RemoteWire, reply: bytes, **members: object
) -> list[bytes | None]:
    """What an upstream that puts its answer off once gets for `traceparent`, of two requests."""
    async with serving(LATER, (200, reply)) as upstream:
        remote = engine(upstream.origin, wire, onward=onward)
        for request_id in (ID, "0191"):
            asked = request(**members)
            async for _ in remote.generate(asked, request_id=request_id, stop=Stop()):
                pass
        await remote.close()
    return [each.headers.get(b"traceparent") for each in upstream.requests]


@pytest.mark.parametrize(
    ("wire", "reply", "members"),
    [
        (RemoteWire.OPENAI, OPENAI_ANSWER, {}),
        (RemoteWire.OPENAI, OPENAI_STREAM, {"stream": True}),
        (RemoteWire.ANTHROPIC, ANTHROPIC_ANSWER, {}),
        (RemoteWire.BEDROCK, CONVERSE_ANSWER, {}),
    ],
)
async def test_each_request_takes_its_own_trace_to_the_upstream(
    wire: RemoteWire, reply: bytes, members: dict[str, object]
) -> None:
    first, second = (dict(traceparent(each))[b"traceparent"] for each in (ID, "0191"))
    assert await told_of_traces(traceparent, wire, reply, **members) == [first, first, second]


async def test_an_upstream_hears_of_no_trace_where_none_are_made() -> None:
    assert await told_of_traces(None, RemoteWire.OPENAI, OPENAI_ANSWER) == [None] * 3


async def test_a_session_token_goes_along(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[x]\naws_access_key_id=A\naws_secret_access_key=s\naws_session_token=t0k\n"
    )
    async with serving((200, CONVERSE_ANSWER)) as upstream:
        await ask(engine(upstream.origin, RemoteWire.BEDROCK, credential_file=credentials))
    assert upstream.requests[0].headers.get(b"x-amz-security-token") == b"t0k"


def test_the_region_is_in_the_host_of_bedrock() -> None:
    assert region_of("bedrock-runtime.eu-central-1.amazonaws.com") == "eu-central-1"
    assert region_of("127.0.0.1") == "us-east-1"


async def test_what_the_upstream_puts_off_is_asked_again_after_a_wait() -> None:
    naps = Naps()
    async with serving(LATER, (503, b"{}"), (200, OPENAI_ANSWER)) as upstream:
        assert await ask(engine(upstream.origin, naps=naps)) == "hi"
    assert len(upstream.requests) == 3
    first, second = naps.waited_s
    assert 0.125 <= first <= 0.25 <= second <= 0.5


async def test_the_wait_is_what_the_upstream_says() -> None:
    naps = Naps()
    async with serving((*LATER, ((b"retry-after", b"3"),)), (200, OPENAI_ANSWER)) as upstream:
        await ask(engine(upstream.origin, naps=naps))
    assert naps.waited_s == [3.0]


@pytest.mark.parametrize("reply", [(*LATER, ((b"retry-after", b"60"),)), LATER])
async def test_a_caller_hears_it_in_time_where_waiting_does_not_help(reply: Reply) -> None:
    async with serving(reply) as upstream:
        with pytest.raises(Throttled, match="slow down"):
            await ask(engine(upstream.origin))
    assert len(upstream.requests) == (1 if len(reply) == 3 else 3)


@pytest.mark.parametrize(("status", "error"), [(400, BadRequest), (500, EngineFailed)])
async def test_what_may_have_been_served_is_never_asked_again(
    status: int, error: type[Exception]
) -> None:
    async with serving((status, b'{"error":{"message":"no"}}')) as upstream:
        with pytest.raises(error, match="no"):
            await ask(engine(upstream.origin))
    assert len(upstream.requests) == 1


async def test_a_server_that_is_not_there_is_tried_again_and_then_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    naps = Naps()
    with pytest.raises(EngineNotReady, match=r"lab\.m"):
        await ask(engine(f"http://127.0.0.1:{port}", naps=naps))
    assert len(naps.waited_s) == 2


async def test_retries_never_flood_an_upstream_that_is_down() -> None:
    asked = 60
    async with serving(LATER) as upstream:
        remote = engine(upstream.origin)
        for _ in range(asked):
            with pytest.raises(Throttled):
                await remote.answer(request(), request_id=ID, stop=Stop())
        await remote.close()
    assert len(upstream.requests) <= asked * 1.1 + RETRIES_SAVED


def test_a_budget_is_earned_back_by_requests() -> None:
    budget = RetryBudget(random.Random(1))
    while budget.spend():
        pass
    for _ in range(11):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


async def test_a_key_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("old")
    refused = (401, b'{"error":{"message":"bad key"}}')
    async with serving((200, OPENAI_ANSWER), refused, (200, OPENAI_ANSWER)) as upstream:
        remote = engine(upstream.origin, credential_file=key)
        await remote.answer(request(), request_id=ID, stop=Stop())
        key.write_text("new")
        assert await ask(remote) == "hi"
    sent = [each.headers.get(b"authorization") for each in upstream.requests]
    assert sent == [b"Bearer old", b"Bearer old", b"Bearer new"]


async def test_a_refused_key_is_our_trouble_and_not_the_callers(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret-1")
    async with serving((401, b'{"error":{"message":"bad key"}}')) as upstream:
        with pytest.raises(EngineFailed, match="bad key") as told:
            await ask(engine(upstream.origin, credential_file=key))
    assert len(upstream.requests) == 1
    assert "secret-1" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    ["", "one\ntwo", "[default]\nregion = x", "[default\nsecret = y", "[a]\naws_access_key_id=A"],
)
def test_a_credential_file_that_is_none_is_refused_without_its_text(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(BadRequest, match=r"lab\.m") as refused:
        read_credential(str(path), "lab.m")
    assert "secret = y" not in str(refused.value)
    assert "two" not in str(refused.value)


def test_credentials_are_never_in_a_representation(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("[x]\naws_access_key_id=A\naws_secret_access_key=hush\naws_session_token=tush")
    assert "ush" not in repr(read_credential(str(path), "lab.m"))
    path.write_text("hush")
    assert "hush" not in repr(read_credential(str(path), "lab.m"))


def test_aws_credentials_fit_bedrock_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("[x]\naws_access_key_id=A\naws_secret_access_key=s\n")
    with pytest.raises(BadRequest, match="the key alone"):
        engine("http://127.0.0.1:1", credential_file=path)


async def test_anthropic_counts_what_makes_the_prompt_and_nothing_else() -> None:
    async with serving((200, b'{"input_tokens":12}')) as upstream:
        remote = engine(upstream.origin, RemoteWire.ANTHROPIC, kind=CountingRemoteEngine)
        assert isinstance(remote, CountingRemoteEngine)
        assert await remote.count(request(temperature=0.5)) == 12
        await remote.close()
    sent = upstream.requests[0]
    assert sent.raw_path == b"/v1/messages/count_tokens"
    assert msgspec.json.decode(sent.body).keys() == {"model", "messages"}
    anthropic_messages.SERVER.read_count_request(sent.body)


async def test_bedrock_counts_a_conversation() -> None:
    async with serving((200, b'{"inputTokens":12}')) as upstream:
        remote = engine(upstream.origin, RemoteWire.BEDROCK, kind=CountingRemoteEngine)
        assert isinstance(remote, CountingRemoteEngine)
        assert await remote.count(request()) == 12
        await remote.close()
    sent = upstream.requests[0]
    assert sent.raw_path == b"/model/m%3A0/count-tokens"
    assert msgspec.json.decode(sent.body)["input"]["converse"].keys() == {"messages"}


async def test_a_stream_is_read_to_its_end_after_the_client_left() -> None:
    left = asyncio.Event()
    chunk = b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",%b}\n\n'
    delta = chunk % b'"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]'
    end = chunk % b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'
    usage = chunk % (
        b'"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
    )

    async def serve(request: HttpRequest, responder: HttpResponder) -> None:
        del request
        responder.start(200, ((b"content-type", b"text/event-stream"),))
        responder.write(delta)
        await left.wait()
        responder.write(end + usage + b"data: [DONE]\n\n")
        responder.finish()

    async with serving_by(serve) as origin:
        remote, stop = engine(origin), Stop()
        used: list[Metadata] = []
        async for event in remote.generate(request(stream=True), request_id=ID, stop=stop):
            if not left.is_set():
                stop.request()
                left.set()
            if isinstance(event, Metadata):
                used.append(event)
        await remote.close()
    assert [each.usage.output_tokens for each in used] == [2]


@asynccontextmanager
async def serving_by(
    handler: Callable[[HttpRequest, HttpResponder], "asyncio.Future[None]"],
) -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(handler)
    await server.start(listening)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.close(0)
