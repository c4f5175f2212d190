"""What the process and the channel cost: the bare library against the engine that uses it.

    python benchmarks/engine/bench.py MODEL.gguf [--rounds 3] [--tokens 48]

Each round runs both ways, one after the other, at 1, 8 and 32 concurrent requests; the median of
each and their ratio are printed, as a table and as JSON on the last line. Both use the same
settings of the library, the same rendered prompt and the same number of tokens. `bare` asks the
library directly, a thread a request, and throws away what it says; `craton` goes through the child
process, the channel and the events.
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

from craton.messages import Message, Metadata, Request, Role, Text
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.models.engines.embedded.llama import parameters
from craton.models.engines.embedded.specification import ENVIRONMENT, Specification, command

LEVELS = (1, 8, 32)
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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("model", type=Path)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--tokens", type=int, default=48)
    options.add_argument("--only-bare", action="store_true", help="one bare run, as JSON")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        specification = Specification(
            name="bench", model=chosen.model, socket=Path(folder) / "e.sock"
        )
        if chosen.only_bare:
            sys.stdout.write(json.dumps(bare(specification, chosen.tokens)) + "\n")
            sys.stdout.flush()
            os._exit(0)  # the library's threads have no orderly end
        measured: dict[str, dict[int, list[float]]] = {
            way: {level: [] for level in LEVELS} for way in ("bare", "craton")
        }
        settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        own = ["env", *settings, sys.executable, __file__, str(chosen.model), "--only-bare"]
        for _ in range(chosen.rounds):
            said = subprocess.run(
                [*own, f"--tokens={chosen.tokens}"], capture_output=True, check=True, text=True
            ).stdout
            for level, rate in json.loads(said.splitlines()[-1]).items():
                measured["bare"][int(level)].append(rate)
            for level, rate in asyncio.run(through_craton(specification, chosen.tokens)).items():
                measured["craton"][level].append(rate)
    report(measured)


def report(measured: dict[str, dict[int, list[float]]]) -> None:
    middle = {
        way: {level: statistics.median(rates) for level, rates in levels.items()}
        for way, levels in measured.items()
    }
    print("concurrent   bare tok/s   through the process   ratio")
    for level in LEVELS:
        ours, theirs = middle["craton"][level], middle["bare"][level]
        print(f"{level:10}   {theirs:10.1f}   {ours:19.1f}   {ours / theirs:5.3f}")
    print(json.dumps({"median": middle, "all": measured}))


if __name__ == "__main__":
    main()
