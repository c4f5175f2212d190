"""Probes the embedded engine: a few short loads, several times over, and what they took."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from craton.kernel.clock import Clock
from craton.kernel.errors import EngineFailed
from craton.messages import Event, Message, Metadata, Request, Role, Text, TextDelta
from craton.models.engine import Stop
from craton.models.engines.embedded.client import EmbeddedEngine
from craton.models.engines.embedded.specification import Specification, command
from craton.silicon.gguf import read_gguf
from craton.silicon.operations import Formats
from craton.silicon.precision import Precision
from craton.silicon.processor_fit import Load, Observed, Probe, Probed
from craton.silicon.processor_schedule import Limits

LOADS = (
    Load(prompt=48, output=32, concurrency=1),
    Load(prompt=48, output=24, concurrency=4),
    Load(prompt=800, output=16, concurrency=1),
    Load(prompt=250, output=12, concurrency=6),
)
"""What tells the rates apart: short and long, alone and several at once."""
RUNS = 3
STEP_TOKENS = 64
"""The engine's own `BATCH_TOKENS`, which can't be read without loading the library beside it."""
TEXT = "the of and to in is that for it as was with be by on not he his but at are this have from"
"""Words common enough to be one token each in most vocabularies."""

# Of a mean over all weights: the output matrix is stored wider, and blocks carry scales.
_FORMATS = ((0.8, Precision.INT4), (1.4, Precision.INT8), (2.5, Precision.FP16))


class ProbedEngine(Protocol):
    """As much of an engine as is probed."""

    def generate(self, request: Request, *, request_id: str, stop: Stop) -> AsyncIterator[Event]:
        """Yield the answer's events."""
        ...

    async def count(self, request: Request) -> int:
        """Prompt tokens of the request, template included."""
        ...


@asynccontextmanager
async def started(specification: Specification) -> AsyncGenerator[EmbeddedEngine]:
    """The engine in a process of its own, ended on leaving; it loads when first asked."""
    process = await asyncio.create_subprocess_exec(
        *command(specification),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    engine = EmbeddedEngine(specification.socket, name=specification.name)
    try:
        yield engine
    finally:
        await engine.close()
        assert process.stdin is not None
        process.stdin.close()  # its lifeline
        await process.wait()


def describe(model: Path, specification: Specification) -> Probed:
    """What is going to be probed, by the model file's header."""
    header = read_gguf(model)
    mean = header.bytes_per_parameter
    weights = next((each for limit, each in _FORMATS if mean < limit), Precision.FP32)
    output = Precision.INT8 if weights.bytes < 1.0 else weights
    return Probed(
        software=f"llama.cpp (xllamacpp {version('xllamacpp')})",
        model=model.name,
        architecture=header.architecture,
        formats=Formats(weights=weights, experts=weights, cache=Precision.FP16, output=output),
        weight_bytes=float(header.weight_bytes),
        threads=specification.threads,
        limits=Limits(
            max(STEP_TOKENS, specification.slots), specification.slots, specification.pool_tokens
        ),
    )


async def probe(
    engine: ProbedEngine,
    clock: Clock,
    loads: Sequence[Load] = LOADS,
    *,
    runs: int = RUNS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Probe]:
    """Run the loads in turn, `runs` times; each with the tokens that its prompts really had."""
    asker = Asker(engine, clock)
    await asker.prepare()
    found: list[list[tuple[Load, Observed]]] = [[] for _ in loads]
    for run in range(runs):
        for number, load in enumerate(loads):
            found[number].append(await asker.ask(load))
            progress(run * len(loads) + number + 1, runs * len(loads))
    return [Probe(each[0][0], tuple(observed for _, observed in each)) for each in found]


class Asker:
    """Asks an engine loads, and watches the clock."""

    def __init__(self, engine: ProbedEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._asked = 0
        self._template_tokens = 0

    async def prepare(self) -> None:
        """Wait until the model is loaded and was used once; learn what its template adds."""
        self._template_tokens = await self._engine.count(_request(1, 1)) - 1
        await self._one(1, 2)

    async def ask(self, load: Load) -> tuple[Load, Observed]:
        """All requests of a load at once; the load as it really was, and what it took."""
        words = max(load.prompt - self._template_tokens, 1)
        answers = await asyncio.gather(
            *(self._one(words, load.output) for _ in range(load.concurrency))
        )
        prompts, outputs, first_s, growing_s = (
            [answer[member] for answer in answers] for member in range(4)
        )
        really = Load(round(_mean(prompts)), round(_mean(outputs)), load.concurrency)
        return really, Observed(_mean(first_s), _mean(growing_s))

    async def _one(self, words: int, tokens: int) -> tuple[float, float, float, float]:
        """Tokens of prompt and answer; seconds to the first token and from there to the last."""
        self._asked += 1
        begun = first = last = self._clock.monotonic_ns()
        events = self._engine.generate(
            _request(words, tokens), request_id=f"calibrate-{self._asked}", stop=Stop()
        )
        async for event in events:
            if isinstance(event, TextDelta):
                last = self._clock.monotonic_ns()
                first = last if first == begun else first
            elif isinstance(event, Metadata):
                usage = event.usage
                return (
                    usage.input_tokens,
                    max(usage.output_tokens, 1),
                    (first - begun) / 1e9,
                    (last - first) / 1e9,
                )
        raise EngineFailed("The engine ended an answer without saying what it took. Try again.")


def _request(words: int, tokens: int) -> Request:
    known = TEXT.split()
    text = " ".join(known[number * 7 % len(known)] for number in range(words))
    message = Message(role=Role.USER, content=[Text(text=text)])
    return Request(model="calibrate", messages=[message], max_tokens=tokens, temperature=0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


async def probe_model(
    model: Path,
    clock: Clock,
    *,
    runs: int = RUNS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Probed, list[Probe]]:
    """Start the engine on a model as `craton up` would, and probe it."""
    with tempfile.TemporaryDirectory(prefix="craton-calibrate-") as folder:
        specification = Specification(
            name="calibrate", model=model, socket=Path(folder) / "engine.sock"
        )
        probed = describe(model, specification)
        async with started(specification) as engine:
            return probed, await probe(engine, clock, runs=runs, progress=progress)
