"""InvokeModel's promises: what ends an answer leaves after the commit; errors have their names."""

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from craton.apis.aws.errors import name_error
from craton.apis.aws.model import Models
from craton.apis.aws.operations import entries
from craton.apis.aws.render import check
from craton.apis.aws.wire import AwsWire
from craton.apis.bedrock.endpoints import AwsFallback
from craton.apis.embedding import Embedding
from craton.apis.exchange import Exchange, Told
from craton.dialects.converse import ConverseServer
from craton.dialects.eventstream import FrameReader
from craton.dialects.invoke import TEXT_CODECS
from craton.dialects.invoke_stream import METRICS, ChunkWriter
from craton.http import Headers, HttpRequest
from craton.kernel.clock import ManualClock
from craton.kernel.errors import (
    BadRequest,
    ContextOverflow,
    CratonError,
    EngineFailed,
    Fault,
    Unavailable,
    Unsupported,
    raised,
)
from craton.messages import (
    BlockStart,
    BlockStop,
    Event,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    TextDelta,
    Usage,
)
from craton.models.engine import Embedded, Stop
from craton.models.engines.echo import DIMENSIONS, EchoEngine
from tests.fakes.turns import MODEL, PRINCIPAL, ScriptedEngine, Turn, permits

HELLO: list[Event] = [
    MessageStart(usage=Usage(input_tokens=7)),
    BlockStart(index=0),
    TextDelta(index=0, text="hello"),
]
END: list[Event] = [
    BlockStop(index=0),
    MessageStop(stop_reason=StopReason.END_TURN),
    Metadata(usage=Usage(input_tokens=7, output_tokens=5, cache_read_tokens=2), latency_ms=31),
]
BODIES: dict[str, dict[str, Any]] = {
    "anthropic-messages": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
    },
    "openai-chat": {"messages": [{"role": "user", "content": "x"}]},
    "nova-messages": {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
    "llama": {"prompt": "x"},
    "titan-text": {"inputText": "x"},
}
TERMINAL = {
    "anthropic-messages": (b"message_delta", b"message_stop"),
    "openai-chat": (b'"finish_reason":"stop"',),
    "nova-messages": (b'"metadata"',),
    "llama": (b'"stop_reason":"stop"',),
    "titan-text": (b'"completionReason":"FINISH"',),
}
EVERY = pytest.mark.parametrize("name", BODIES)


class Asked:
    """One AWS request on its way through the real routes, with the engine and state in hand."""

    def __init__(self, engine: Any, operation: str, body: dict[str, Any]) -> None:
        self.turn = Turn(engine, stream=False)
        inference = self.turn.inference
        router, clock = inference._router, self.turn.clock
        services: Any = SimpleNamespace(
            router=router,
            inference=inference,
            embedding=Embedding(router=router, inference=inference, clock=clock),
            log=inference._log,
            region="us-east-1",
        )
        http = HttpRequest(
            "POST",
            f"/model/{MODEL}/{operation}".encode(),
            b"",
            Headers(),
            msgspec.json.encode(body),
            "127.0.0.1",
        )
        self.endpoint = AwsFallback(services, AwsWire())(http)
        old = self.turn.exchange
        self.exchange = Exchange(
            http,
            old.responder,
            old.request_id,
            old.started_ns,
            self.endpoint.wire,
            principal=PRINCIPAL,
            permit=permits(clock).of(PRINCIPAL, http),
        )
        self.state, self.responder = self.turn.state, self.turn.responder

    async def run(self) -> None:
        await self.endpoint.run(self.exchange)

    async def run_to_the_post(self) -> "asyncio.Task[None]":
        """Start, and stop where the post waits for its answer."""
        self.state.gates["post"] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self.run())
        arrived = asyncio.get_running_loop().create_task(self.state.arrived["post"].wait())
        await asyncio.wait((task, arrived), return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task.exception()
        for _ in range(10):
            await asyncio.sleep(0)
        return task

    def parts(self) -> bytes:
        """The JSON of all chunks that left, and the exceptions between braces of their own."""
        said: list[bytes] = []
        for frame in FrameReader().feed(self.responder.body):
            if ":exception-type" in frame.headers:
                said.append(b"{%b}" % str(frame.headers[":exception-type"]).encode())
            else:
                assert frame.headers[":event-type"] == "chunk"
                said.append(base64.b64decode(msgspec.json.decode(frame.payload)["bytes"]))
        return b"\n".join(said)


STREAM = "invoke-with-response-stream"


@EVERY
async def test_no_last_chunk_leaves_before_the_post_is_acknowledged(name: str) -> None:
    asked = Asked(ScriptedEngine([*HELLO, *END]), STREAM, BODIES[name])
    task = await asked.run_to_the_post()
    assert b"hello" in asked.parts()
    for terminal in (*TERMINAL[name], METRICS.encode()):
        assert terminal not in asked.parts()
    assert not asked.responder.is_finished
    asked.state.gates["post"].set()
    await task
    for terminal in (*TERMINAL[name], METRICS.encode()):
        assert terminal in asked.parts()
    assert asked.responder.is_finished


@EVERY
async def test_a_refused_post_ends_the_stream_with_an_exception_and_no_last_chunk(
    name: str,
) -> None:
    asked = Asked(ScriptedEngine([*HELLO, *END]), STREAM, BODIES[name])
    asked.state.refuse["post"] = Unavailable("The ledger could not be written.")
    with pytest.raises(Told):
        await asked.run()
    assert asked.parts().endswith(b"{serviceUnavailableException}")
    for terminal in (*TERMINAL[name], METRICS.encode()):
        assert terminal not in asked.parts()


@EVERY
async def test_no_whole_body_leaves_before_the_post_is_acknowledged(name: str) -> None:
    asked = Asked(ScriptedEngine([*HELLO, *END]), "invoke", BODIES[name])
    task = await asked.run_to_the_post()
    assert not asked.responder.is_started
    asked.state.gates["post"].set()
    await task
    headers = asked.responder.headers
    assert headers[b"x-amzn-bedrock-input-token-count"] == b"7"
    assert headers[b"x-amzn-bedrock-output-token-count"] == b"5"
    assert headers[b"x-amzn-bedrock-cache-read-input-token-count"] == b"2"
    assert headers[b"x-amzn-bedrock-invocation-latency"] == b"31"
    assert b"hello" in asked.responder.body


async def test_the_last_chunk_tells_the_counts_and_both_latencies() -> None:
    asked = Asked(ScriptedEngine([*HELLO, *END]), STREAM, BODIES["llama"])
    asked.exchange.started_ns -= 12_000_000
    await asked.run()
    last = msgspec.json.decode(asked.parts().split(b"\n")[-1])
    assert last[METRICS] == {
        "inputTokenCount": 7,
        "outputTokenCount": 5,
        "cacheReadInputTokenCount": 2,
        "invocationLatency": 31,
        "firstByteLatency": 12,
    }


async def test_an_engine_hears_nothing_of_prompt_variables_which_only_prompts_have() -> None:
    engine = ScriptedEngine([*HELLO, *END])
    body = {
        "messages": [{"role": "user", "content": [{"text": "x"}]}],
        "promptVariables": {"city": {"text": "Rome"}},
    }
    asked = Asked(engine, "converse", body)
    await asked.run()
    assert b"hello" in asked.responder.body
    assert engine.requests[0].prompt_variables == {}


# --- embeddings ---------------------------------------------------------------------------------

TITAN = {"inputText": "one two three", "dimensions": 8}


def echo() -> EchoEngine:
    return EchoEngine(ManualClock(), context_tokens=4, output_tokens_default=100)


async def test_no_vector_leaves_before_the_post_is_acknowledged() -> None:
    asked = Asked(echo(), "invoke", TITAN)
    task = await asked.run_to_the_post()
    assert not asked.responder.is_started
    asked.state.gates["post"].set()
    await task
    assert len(msgspec.json.decode(asked.responder.body)["embedding"]) == 8
    assert asked.state.record.quantities == {"input_tokens": 3}
    (hold,) = asked.state.made("hold")
    assert hold.quantities["input_tokens"] >= 3
    assert hold.quantities["output_tokens"] <= 1


async def test_vectors_whose_post_is_refused_are_not_sent() -> None:
    asked = Asked(echo(), "invoke", TITAN)
    asked.state.refuse["post"] = Unavailable("The ledger could not be written.")
    with pytest.raises(Unavailable):
        await asked.run()
    assert not asked.responder.is_started


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"inputText": "a b c d e", "dimensions": 8}, ContextOverflow),
        ({"inputText": "a", "dimensions": DIMENSIONS + 1}, BadRequest),
    ],
)
async def test_a_refused_embedding_is_voided(
    body: dict[str, Any], error: type[CratonError]
) -> None:
    asked = Asked(echo(), "invoke", body)
    with pytest.raises(error):
        await asked.run()
    assert len(asked.state.made("void")) == 1
    assert not asked.state.made("post")


async def test_an_engine_that_can_not_embed_is_told_before_anything_is_held() -> None:
    asked = Asked(ScriptedEngine([]), "invoke", TITAN)
    with pytest.raises(Unsupported, match="no embeddings"):
        await asked.run()
    assert not asked.state.calls


async def test_an_engine_that_loses_a_vector_is_not_billed() -> None:
    class Forgetful(EchoEngine):
        async def embed(self, texts: list[str], **asked: Any) -> Embedded:
            made = await super().embed(texts, **asked)
            return msgspec.structs.replace(made, vectors=made.vectors[1:])

    engine = Forgetful(ManualClock(), context_tokens=9, output_tokens_default=1)
    body = {"texts": ["a", "b"], "input_type": "search_query"}
    asked = Asked(engine, "invoke", body)
    with pytest.raises(EngineFailed, match="1 vectors for 2 texts"):
        await asked.run()
    assert not asked.state.made("post")


@pytest.mark.parametrize("body", [TITAN, {"texts": ["a", "b"], "input_type": "clustering"}])
async def test_who_leaves_while_it_embeds_pays_for_what_was_done(body: dict[str, Any]) -> None:
    class Left(EchoEngine):
        async def embed(self, texts: list[str], *, stop: Stop, **asked: Any) -> Embedded:
            leave()
            assert stop.requested
            return Embedded(vectors=[], input_tokens=2, chip_us=7)

    asked = Asked(Left(ManualClock(), context_tokens=9, output_tokens_default=1), "invoke", body)
    leave = asked.responder.leave
    await asked.run()
    assert asked.state.record.quantities == {"input_tokens": 2, "chip_us": 7}
    assert asked.state.record.outcome == "client_gone"


@pytest.mark.parametrize(
    ("body", "may_cut"),
    [
        (TITAN, True),
        ({"texts": ["a"], "input_type": "clustering"}, False),
        ({"texts": ["a"], "input_type": "clustering", "truncate": "START"}, False),
        ({"texts": ["a"], "input_type": "clustering", "truncate": "END"}, True),
    ],
)
async def test_a_text_is_cut_only_where_its_wire_allows_and_the_answer_says_so(
    body: dict[str, Any], may_cut: bool
) -> None:
    told: list[bool] = []

    class Cutting(EchoEngine):
        async def embed(self, texts: list[str], *, may_cut: bool, **asked: Any) -> Embedded:
            told.append(may_cut)
            made = await super().embed(texts, may_cut=may_cut, **asked)
            return msgspec.structs.replace(made, texts_cut=int(may_cut))

    asked = Asked(Cutting(ManualClock(), context_tokens=9, output_tokens_default=1), "invoke", body)
    await asked.run()
    assert told == [may_cut]
    assert asked.responder.headers.get(b"x-craton-texts-cut") == (b"1" if may_cut else None)


# --- errors -------------------------------------------------------------------------------------

RUNTIME = [
    entry
    for entry in entries()
    if entry.service == "bedrock-runtime"
    and entry.name
    in {"Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream", "CountTokens"}
]
EXPECTED = {
    Fault.BAD_REQUEST: ("ValidationException", 400),
    Fault.UNSUPPORTED: ("ValidationException", 400),
    Fault.CONTEXT_OVERFLOW: ("ValidationException", 400),
    Fault.TOO_LARGE: ("ValidationException", 400),
    Fault.ACCESS_DENIED: ("AccessDeniedException", 403),
    Fault.NOT_FOUND: ("ResourceNotFoundException", 404),
    Fault.THROTTLED: ("ThrottlingException", 429),
    Fault.BUDGET_EXCEEDED: ("ServiceQuotaExceededException", 400),
    Fault.ENGINE_FAILED: ("ModelErrorException", 424),
    Fault.ENGINE_TIMEOUT: ("ModelTimeoutException", 408),
    Fault.ENGINE_NOT_READY: ("ModelNotReadyException", 429),
    Fault.UNAVAILABLE: ("ServiceUnavailableException", 503),
    Fault.INTERNAL: ("InternalServerException", 500),
}


@pytest.mark.parametrize("fault", EXPECTED)
@pytest.mark.parametrize("entry", RUNTIME, ids=lambda entry: entry.name)
def test_every_fault_has_its_modelled_name_in_every_operation(entry: Any, fault: Fault) -> None:
    code, status = name_error(raised(fault, "why"), entry)
    expected = EXPECTED[fault]
    # CountTokens runs no model, and its model declares no trouble of one.
    if entry.name != "CountTokens" or expected[0] in entry.errors:
        assert (code, status) == expected
    assert status == entry.errors.get(code, status)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("operation", ["ConverseStream", "InvokeModelWithResponseStream"])
def test_every_fault_in_a_stream_is_an_exception_of_that_stream(
    operation: str, fault: Fault
) -> None:
    if operation == "ConverseStream":
        frame = ConverseServer().stream_writer().write_error(raised(fault, "why"))
    else:
        codec = TEXT_CODECS[next(iter(TEXT_CODECS))]
        writer = ChunkWriter(codec.part_writer(None, None), lambda: None)  # type: ignore[arg-type]
        frame = writer.write_error(raised(fault, "why"))
    output = Models().operation("bedrock-runtime", operation).output
    assert output is not None
    stream = next(m.shape for m in output.members.values() if m.shape.is_event_stream)
    (read,) = FrameReader().feed(frame)
    name = str(read.headers[":exception-type"])
    document = msgspec.json.decode(read.payload)
    assert check(stream.members[name].shape, document) == []
    assert document["message"] == "why"
    if fault is Fault.ENGINE_TIMEOUT:
        timeout = "modelTimeoutException" in stream.members
        assert name == ("modelTimeoutException" if timeout else "modelStreamErrorException")
    if fault is Fault.ENGINE_FAILED:
        assert name == "modelStreamErrorException"
