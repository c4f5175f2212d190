"""Microseconds an operation of the OpenAI and Anthropic dialects takes, on one core.

.venv/bin/python benchmarks/micro/dialects.py
"""

import time
from collections.abc import Callable

import msgspec

from craton.dialects import anthropic_messages, openai_chat
from craton.dialects.dialect import ClientDialect, ServerDialect, Stamp
from craton.messages import (
    Answer,
    BlockStart,
    MessageStart,
    MessageStop,
    Metadata,
    StopReason,
    Text,
    TextDelta,
    Usage,
)

ROUNDS = 150
CALLS = 200
STAMP = Stamp("01928d6e-5b1c-7000-8000-0123456789ab", "smollm2-135m-instruct", 1_800_000_000)
SYSTEM = "You are a helpful assistant that answers briefly and says when it does not know. " * 2
QUESTION = "What is a capacity block, and why would I rent one instead of buying a server? " * 2
ANSWER = "A capacity block is a number of accelerators, held for you from one hour to another. " * 8


def request_body(protocol: str) -> bytes:
    """A request of about 0.7 KB."""
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "It is a reservation of chips."},
        {"role": "user", "content": "And what does it cost? Give a number and its source. " * 2},
    ]
    body = {"model": STAMP.model, "max_tokens": 256, "temperature": 0.2, "stream": True}
    if protocol == "anthropic":
        body |= {"system": SYSTEM, "messages": turns}
    else:
        body |= {"messages": [{"role": "system", "content": SYSTEM}, *turns]}
    return msgspec.json.encode(body)


def microseconds(operation: Callable[[], object]) -> float:
    """The best of many short rounds: whatever else runs on the machine only adds to it."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(CALLS):
            operation()
        best = min(best, (time.perf_counter_ns() - start) / CALLS / 1000)
    return best


def measure(protocol: str, server: ServerDialect, client: ClientDialect) -> None:
    body = request_body(protocol)
    request = server.read_request(body)
    answer = Answer(
        start=MessageStart(id="upstream"),
        content=[Text(text=ANSWER)],
        stop=MessageStop(stop_reason=StopReason.END_TURN),
        metadata=Metadata(usage=Usage(input_tokens=120, output_tokens=140)),
    )
    written = server.write_answer(answer, request, STAMP)
    writer = server.stream_writer(request, STAMP)
    start = writer.write(MessageStart()) + writer.write(BlockStart(index=0))
    delta = TextDelta(index=0, text=" capacity")
    chunk = writer.write(delta)
    reader = client.stream_reader()
    reader.feed(start + chunk)
    for name, size, operation in (
        ("read request", len(body), lambda: server.read_request(body)),
        ("write request", len(body), lambda: client.write_request(request)),
        ("write answer", len(written), lambda: server.write_answer(answer, request, STAMP)),
        ("read answer", len(written), lambda: client.read_answer(written)),
        (
            "read and write answer",
            len(written),
            lambda: server.write_answer(client.read_answer(written), request, STAMP),
        ),
        ("write chunk", len(chunk), lambda: writer.write(delta)),
        ("read chunk", len(chunk), lambda: reader.feed(chunk)),
    ):
        print(f"{protocol:10} {name:24} {size:6} bytes {microseconds(operation):8.2f} us")


if __name__ == "__main__":
    measure("openai", openai_chat.SERVER, openai_chat.CLIENT)
    measure("anthropic", anthropic_messages.SERVER, anthropic_messages.CLIENT)
