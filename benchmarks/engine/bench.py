"""What Craton costs the engine: the bare library, its process, and the whole of Craton.

    python benchmarks/engine/bench.py [--model MODEL.gguf] [--rounds 3] [--tokens 48]

Each round runs all ways, one after the other, at 1, 8 and 32 concurrent requests; the medians and
their ratios to the bare library are printed, as a table and as JSON on the last line. All use the
same settings of the library, the same prompt and the same number of tokens, streamed. `bare` asks
the library directly, a thread a request, and throws away what it says; `process` goes through the
child process, the channel and the events; `craton` is `craton up` with everything on, asked over
HTTP as any client would.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
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

LEVELS = (1, 8, 32)
WAYS = ("bare", "process", "craton")
WEIGHTS = "smollm2-135m-instruct"
MODEL = "huggingfacetb.smollm2-135m-instruct"
QUESTION = "Write a long story about a lighthouse."
PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    f"<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
)
Rates = dict[int, float]


def bare(specification: Specification, tokens: int) -> Rates:
    """Tokens a second of the library alone, by concurrency."""
    library: Any = xllamacpp
    with tempfile.TemporaryDirectory() as folder:
        settings = parameters(specification, socket=Path(folder) / "l.sock", key="bench")
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

        def one(counts: list[int]) -> None:
            last: list[Any] = [None]
            server.handle_completions(body, lambda said: last.__setitem__(0, said))
            said = json.loads(last[0]) if isinstance(last[0], (str, bytes)) else last[0]
            counts.append(said["usage"]["completion_tokens"])

        one([])
        rates: Rates = {}
        for level in LEVELS:
            counts: list[int] = []
            threads = [threading.Thread(target=one, args=(counts,)) for _ in range(level)]
            begun = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates[level] = sum(counts) / (time.perf_counter() - begun)
        return rates


async def through_craton(specification: Specification, tokens: int) -> Rates:
    """Tokens a second through the child process and its channel, by concurrency."""
    child = subprocess.Popen(
        command(specification), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    engine = EmbeddedEngine(specification.socket, name="bench")
    messages = [Message(role=Role.USER, content=[Text(text=QUESTION)])]
    request = Request(model="bench", messages=messages, max_tokens=tokens, temperature=0)

    async def one(name: str) -> int:
        used = 0
        async for event in engine.generate(request, request_id=name, stop=Stop()):
            if isinstance(event, Metadata):
                used = event.usage.output_tokens
        return used

    await one("warm")
    rates: Rates = {}
    for level in LEVELS:
        begun = time.perf_counter()
        counts = await asyncio.gather(*(one(f"{level}-{n}") for n in range(level)))
        rates[level] = sum(counts) / (time.perf_counter() - begun)
    await engine.close()
    assert child.stdin is not None
    child.stdin.close()
    child.wait(timeout=20)
    return rates


async def through_gateway(data: Path, tokens: int) -> Rates:
    """Tokens a second through a whole Craton, by concurrency."""
    up = [sys.executable, "-c", "from craton.cli.main import run; run()", "up", "--quiet"]
    command_line = [*up, "--port", "0", "--data", str(data)]
    child = subprocess.Popen(command_line, stderr=subprocess.DEVNULL)
    client = HttpClient()
    origin = await ready(client, data)
    key = read_credentials(data / "credentials.json").keys["default"].api_key
    headers = [
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer " + key.encode()),
    ]
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

    async def one() -> int:
        response = await client.request("POST", origin, "/v1/chat/completions", headers, body)
        said = await response.read(1 << 20)
        assert said.endswith(b"data: [DONE]\n\n"), said[-300:]
        usage = said[said.rindex(b'"completion_tokens":') :].split(b":", 1)[1]
        return int(usage.split(b",", 1)[0])

    await one()
    rates: Rates = {}
    for level in LEVELS:
        begun = time.perf_counter()
        counts = await asyncio.gather(*(one() for _ in range(level)))
        rates[level] = sum(counts) / (time.perf_counter() - begun)
    client.close()
    child.terminate()
    child.wait(timeout=20)
    return rates


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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", type=Path, help="default: the bundled weights, fetched once")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--tokens", type=int, default=48)
    options.add_argument("--only-bare", action="store_true", help="one bare run, as JSON")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        model = chosen.model or weights.fetch(weights.find(WEIGHTS), data / "weights")
        specification = Specification(name="bench", model=model, socket=Path(folder) / "e.sock")
        if chosen.only_bare:
            sys.stdout.write(json.dumps(bare(specification, chosen.tokens)) + "\n")
            sys.stdout.flush()
            os._exit(0)  # the library's threads have no orderly end
        measured: dict[str, dict[int, list[float]]] = {
            way: {level: [] for level in LEVELS} for way in WAYS
        }
        settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        own = ["env", *settings, sys.executable, __file__, "--model", str(model), "--only-bare"]
        for _ in range(chosen.rounds):
            said = subprocess.run(
                [*own, f"--tokens={chosen.tokens}"], capture_output=True, check=True, text=True
            ).stdout
            for level, rate in json.loads(said.splitlines()[-1]).items():
                measured["bare"][int(level)].append(rate)
            for level, rate in asyncio.run(through_craton(specification, chosen.tokens)).items():
                measured["process"][level].append(rate)
            if chosen.model is None:
                for level, rate in asyncio.run(through_gateway(data, chosen.tokens)).items():
                    measured["craton"][level].append(rate)
    report(measured)


def report(measured: dict[str, dict[int, list[float]]]) -> None:
    middle = {
        way: {level: statistics.median(rates) for level, rates in levels.items() if rates}
        for way, levels in measured.items()
    }
    print("concurrent   bare tok/s" + "".join(f"   {way:>8} tok/s   ratio" for way in WAYS[1:]))
    for level in LEVELS:
        theirs = middle["bare"][level]
        line = f"{level:10}   {theirs:10.1f}"
        for way in WAYS[1:]:
            if level in middle[way]:
                line += f"   {middle[way][level]:14.1f}   {middle[way][level] / theirs:5.3f}"
        print(line)
    print(json.dumps({"median": middle, "all": measured}))


if __name__ == "__main__":
    main()
