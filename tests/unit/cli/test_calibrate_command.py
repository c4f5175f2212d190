"""`craton chips calibrate`: what it refuses before it measures, how it probes, and a whole run."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from craton.cli.calibrate_engine import STEP_TOKENS, describe, probe, started
from craton.cli.calibrate_run import measure_accelerators
from craton.cli.chips import app
from craton.kernel.clock import ManualClock, SystemClock
from craton.kernel.errors import BadRequest, Conflict, EngineFailed, NotFound
from craton.messages import (
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
)
from craton.models import weights
from craton.models.engine import Stop
from craton.models.engines.embedded.llama import BATCH_TOKENS
from craton.models.engines.embedded.specification import Specification
from craton.silicon.calibrate import Samples
from craton.silicon.calibrate_file import Loopback, Machine, chip_text
from craton.silicon.catalogue import load_catalogue
from craton.silicon.chip_file import read_chip_file
from craton.silicon.precision import Precision
from craton.silicon.processor_fit import Load
from tests.fakes.torch_chips import Torch

TEMPLATE_TOKENS = 20


class Engine:
    """Answers one request after the other: 2 ms a prompt token, 10 ms a token of the answer."""

    def __init__(self, clock: ManualClock, *, breaks: bool = False) -> None:
        self._clock, self._breaks = clock, breaks
        self.asked: list[Request] = []

    async def count(self, request: Request) -> int:
        (part,) = request.messages[0].content
        assert isinstance(part, Text)
        return TEMPLATE_TOKENS + len(part.text.split())

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncIterator[Event]:
        self.asked.append(request)
        prompt = await self.count(request)
        yield MessageStart(usage=Usage(input_tokens=prompt))
        yield BlockStart(index=0)
        self._clock.advance(seconds=prompt * 2e-3)
        assert request.max_tokens is not None
        for number in range(request.max_tokens):
            if number:
                self._clock.advance(seconds=10e-3)
            yield TextDelta(index=0, text="so ")
        if self._breaks:
            return
        yield BlockStop(index=0)
        yield MessageStop(stop_reason=StopReason.MAX_TOKENS, stop_sequence=None)
        usage = Usage(input_tokens=prompt, output_tokens=request.max_tokens)
        yield Metadata(usage=usage, latency_ms=0, chip_us=0)


async def test_a_probe_asks_prompts_of_the_size_it_wants_and_tells_what_they_took() -> None:
    clock = ManualClock()
    engine = Engine(clock)
    (found,) = await probe(engine, clock, [Load(50, 6, 1)], runs=2)
    assert found.load == Load(50, 6, 1)
    for run in found.runs:
        assert run.first_s == pytest.approx(50 * 2e-3)
        assert run.growing_s == pytest.approx(5 * 10e-3)
    assert len(found.runs) == 2
    assert all(request.temperature == 0 for request in engine.asked)


async def test_probes_take_turns_and_progress_is_told() -> None:
    clock = ManualClock()
    engine, told = Engine(clock), list[tuple[int, int]]()
    await probe(
        engine,
        clock,
        [Load(30, 2, 1), Load(40, 3, 2)],
        runs=2,
        progress=lambda done, total: told.append((done, total)),
    )
    # One to warm up, then a load of one and a load of two, twice over.
    assert [request.max_tokens for request in engine.asked] == [2, 2, 3, 3, 2, 3, 3]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_a_prompt_shorter_than_the_template_is_taken_as_long_as_it_is() -> None:
    clock = ManualClock()
    (found,) = await probe(Engine(clock), clock, [Load(5, 2, 1)], runs=1)
    assert found.load.prompt == TEMPLATE_TOKENS + 1


async def test_an_engine_that_breaks_off_is_told_as_such() -> None:
    clock = ManualClock()
    with pytest.raises(EngineFailed, match="without saying"):
        await probe(Engine(clock, breaks=True), clock, [Load(30, 2, 1)], runs=1)


def test_the_step_that_is_planned_with_is_the_engines_own() -> None:
    assert STEP_TOKENS == BATCH_TOKENS


@pytest.mark.slow
async def test_the_real_engine_is_probed_and_ended(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-weights")
    model = await asyncio.to_thread(weights.fetch, weights.find("smollm2-135m-instruct"), folder)
    specification = Specification(name="t", model=model, socket=tmp_path / "e.sock")
    probed = describe(model, specification)
    assert probed.formats.weights is Precision.INT4
    assert (probed.architecture.layers, probed.limits.step_tokens) == (30, 64)
    async with started(specification) as engine:
        (found,) = await probe(engine, SystemClock(), [Load(36, 3, 2)], runs=1)
    assert found.load == Load(36, 3, 2)
    assert found.runs[0].first_s > 0
    assert found.runs[0].growing_s > 0
    assert not specification.socket.exists()


def test_nvidia_chips_get_files_of_their_own_one_a_kind() -> None:
    clock = ManualClock()
    chips = measure_accelerators(
        Torch(clock, chips=4),
        clock,
        machine=Machine("A CPU", 1 << 34, network_gb_s=50.0),
        loopback=Loopback(Samples((3.0,)), Samples((20.0,))),
        repetitions=1,
        read=date(2026, 3, 4),
    )
    (chip,) = chips
    assert (chip.name, chip.title) == ("nvidia-h200-measured", "NVIDIA H200")
    assert chip.tflops[Precision.BF16].value == pytest.approx(500, rel=1e-3)
    assert [level.chips for level in chip.links] == [4, 0]
    assert chip.links[-1].gb_s.value == 50.0
    assert read_chip_file("x.toml", chip_text(chip)) == [chip]


def calibrate(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["calibrate", *arguments], prog_name="craton chips")
    assert ended.value.code == 0


def test_a_file_that_is_there_is_kept_and_nothing_is_measured(tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "cpu.toml").write_text("mine")
    with pytest.raises(Conflict, match="--force"):
        calibrate("--data", str(tmp_path))
    assert (tmp_path / "chips" / "cpu.toml").read_text() == "mine"


def test_a_bundled_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="h100-measured"):
        calibrate("--data", str(tmp_path), "--name", "h100")


def test_a_model_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no\.gguf"):
        calibrate("--data", str(tmp_path), "--model", str(tmp_path / "no.gguf"))


@pytest.mark.slow
def test_this_machine_is_measured_and_its_file_is_found_by_the_planner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate("--data", str(tmp_path), "--repetitions", "1", "--json")
    said = capsys.readouterr()
    assert "The engine is not probed" in said.err
    written = json.loads(said.out)
    assert written["files"] == [str(tmp_path / "chips" / "cpu.toml")]
    chip = load_catalogue(tmp_path / "chips").chip("cpu")
    assert chip.tflops[Precision.FP32].value > 1e-3
    assert chip.memory_tb_s.value > 1e-4
    assert chip.engine is None
