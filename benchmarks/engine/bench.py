"""What Craton costs the engine: the bare library, its process, and the whole of Craton.

    python benchmarks/engine/bench.py [--model MODEL.gguf] [--rounds 1] [--tokens 48]

All three are up at once and are asked in turn, a second or so each, first with 1 request at a time,
then with 8 and with 32: a host on which others work is as slow for the one as for the others. What
counts is the ratio within a turn; its median is printed with its quartiles, as a table and as JSON
on the last line. All use the same settings of the library, the same prompt and the same number of
tokens, streamed. `bare` asks the library directly, a thread a request, and throws away what it
says; `process` goes through the child process, the channel and the events; `craton` is `craton up`
with everything on, asked over HTTP by a client that only looks for the end: what a client does with
the words is its own.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import xllamacpp

from craton.access.credentials import read_credentials
from craton.http import HttpClient, Origin
from craton.kernel.errors import CratonError
from craton.messages import Message, Metadata, Request, Role, Text
from craton.models import weights
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.models.engines.embedded.llama import parameters
from craton.models.engines.embedded.specification import ENVIRONMENT, Specification, command

TURNS = {1: 100, 8: 14, 32: 8}
"""By how many requests at a time: how often each way is asked, in turn."""
WAYS = ("process", "craton")
WEIGHTS = "smollm2-135m-instruct"
LAST = b"0\r\n\r\n"
"""The end of a chunked answer."""
MODEL = "huggingfacetb.smollm2-135m-instruct"
QUESTION = "Write a long story about a lighthouse."
PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    f"<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
)
Ask = Callable[[int], Awaitable[float]]
"""So many requests at a time; tokens a second of all of them."""


def serve_bare(specification: Specification, tokens: int) -> None:
    """The library alone: for each level that is written here, the rate is written back."""
    library: Any = xllamacpp
    settings = parameters(specification, socket=specification.socket, key="bench")
    server = library.Server(settings)
    body = json.dumps(
        {
            "prompt": PROMPT,
            "max_tokens": tokens,
            "stream": True,
            "temperature": 0,
            "cache_prompt": False,
        }
    )

    def one() -> int:
        last: list[Any] = [None]
        server.handle_completions(body, lambda said: last.__setitem__(0, said))
        said = json.loads(last[0]) if isinstance(last[0], (str, bytes)) else last[0]
        return int(said["usage"]["completion_tokens"])

    for line in sys.stdin:
        sys.stdout.write(f"{together([one] * int(line))}\n")
        sys.stdout.flush()
    os._exit(0)  # the library's threads have no orderly end


@asynccontextmanager
async def bare(model: Path, tokens: int) -> AsyncGenerator[Ask]:
    """The library in a process of its own, set up as Craton's engine process is."""
    settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    own = ["env", *settings, sys.executable, __file__, "--model", str(model), "--only-bare"]
    child = await asyncio.create_subprocess_exec(
        *own,
        f"--tokens={tokens}",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    told, said = child.stdin, child.stdout

    async def ask(level: int) -> float:
        told.write(b"%d\n" % level)
        return float(await said.readline())

    yield ask
    told.close()
    await child.wait()


@asynccontextmanager
async def process(specification: Specification, tokens: int) -> AsyncGenerator[Ask]:
    """The child process and its channel."""
    child = subprocess.Popen(
        command(specification), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    engine = EmbeddedEngine(specification.socket, name="bench")
    messages = [Message(role=Role.USER, content=[Text(text=QUESTION)])]
    request = Request(model="bench", messages=messages, max_tokens=tokens, temperature=0)
    ids = count()

    async def one() -> int:
        used = 0
        async for event in engine.generate(request, request_id=f"{next(ids)}", stop=Stop()):
            if isinstance(event, Metadata):
                used = event.usage.output_tokens
        return used

    yield partial(rate, one)
    await engine.close()
    assert child.stdin is not None
    child.stdin.close()
    child.wait(timeout=20)


@asynccontextmanager
async def craton(data: Path, tokens: int) -> AsyncGenerator[Ask]:
    """A whole Craton."""
    up = [sys.executable, "-c", "from craton.cli.main import run; run()", "up", "--quiet"]
    command_line = [*up, "--port", "0", "--data", str(data)]
    child = subprocess.Popen(command_line, stderr=subprocess.DEVNULL)
    client = HttpClient()
    origin = await ready(client, data)
    client.close()
    key = read_credentials(data / "credentials.json").keys["default"].api_key
    body = json.dumps(
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()

    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {origin.host}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    callers = [Caller(origin, head.encode() + body) for _ in range(max(TURNS))]

    async def ask(level: int) -> float:
        return await asyncio.to_thread(together, [caller.ask for caller in callers[:level]])

    yield ask
    child.terminate()
    child.wait(timeout=20)


class Caller:
    """A client that takes next to nothing of the processors: it reads and looks for the end."""

    def __init__(self, origin: Origin, request: bytes) -> None:
        self._origin = origin
        self._request = request
        self._socket: socket.socket | None = None

    def ask(self) -> int:
        """Ask, read the whole stream, and say how many tokens it had."""
        if self._socket is None:
            self._socket = socket.create_connection((self._origin.host, self._origin.port))
        self._socket.sendall(self._request)
        said = bytearray()
        while not said.endswith(LAST):
            piece = self._socket.recv(65536)
            assert piece, said[-300:]
            said += piece
        assert b"data: [DONE]" in said[-100:], said[-300:]
        usage = said[said.rindex(b'"completion_tokens":') :].split(b":", 1)[1]
        return int(usage.split(b",", 1)[0])


def together(each: Sequence[Callable[[], int]]) -> float:
    """Tokens a second of all of them, a thread each."""
    counts: list[int] = []

    def one(ask: Callable[[], int]) -> None:
        counts.append(ask())

    threads = [Thread(target=one, args=(ask,)) for ask in each]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == len(each), "a request failed"
    return sum(counts) / (time.perf_counter() - begun)


async def rate(one: Callable[[], Awaitable[int]], level: int) -> float:
    """Tokens a second of so many requests at once."""
    begun = time.perf_counter()
    counts = await asyncio.gather(*(one() for _ in range(level)))
    return sum(counts) / (time.perf_counter() - begun)


async def ready(client: HttpClient, data: Path) -> Origin:
    """The address of a Craton, once it answers."""
    told = data / "endpoint.json"
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.05)
            try:
                origin = Origin.parse(json.loads(told.read_bytes())["url"])
                response = await client.request("GET", origin, "/readyz")
                await response.read(10_000)
            except (OSError, ValueError, CratonError):
                continue
            if response.status == 200:
                return origin


async def measure(
    model: Path, folder: Path, chosen: argparse.Namespace
) -> dict[int, list[dict[str, float]]]:
    """By level: what each way came to, turn by turn."""
    specification = Specification(name="bench", model=model, socket=folder / "e.sock")
    async with AsyncExitStack() as stack:
        ways: dict[str, Ask] = {
            "bare": await stack.enter_async_context(bare(model, chosen.tokens)),
            "process": await stack.enter_async_context(process(specification, chosen.tokens)),
        }
        if chosen.model is None:
            ways["craton"] = await stack.enter_async_context(craton(folder / "data", chosen.tokens))
        for ask in ways.values():
            await ask(1)
        return {
            level: [
                {way: await ask(level) for way, ask in ways.items()}
                for _ in range(turns * chosen.rounds)
            ]
            for level, turns in TURNS.items()
        }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", type=Path, help="default: the bundled weights, fetched once")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--tokens", type=int, default=48)
    options.add_argument("--only-bare", action="store_true", help="serve the bare library")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetched = folder / "data" / "weights"
        model = chosen.model or weights.fetch(weights.find(WEIGHTS), fetched)
        if chosen.only_bare:
            specification = Specification(name="bench", model=model, socket=folder / "l.sock")
            serve_bare(specification, chosen.tokens)
        report(asyncio.run(measure(model, folder, chosen)))


def report(measured: dict[int, list[dict[str, float]]]) -> None:
    print(
        "concurrent   bare tok/s"
        + "".join(f"   {way:>8} tok/s  ratio (quartiles)   " for way in WAYS)
    )
    for level, turns in measured.items():
        middle = {way: statistics.median(turn[way] for turn in turns) for way in turns[0]}
        line = f"{level:10}   {middle['bare']:10.1f}"
        for way in WAYS:
            if way in middle:
                ratios = [turn[way] / turn["bare"] for turn in turns]
                low, half, high = statistics.quantiles(ratios, n=4)
                line += f"   {middle[way]:14.1f}  {half:5.3f} ({low:.3f} to {high:.3f})"
        print(line)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
