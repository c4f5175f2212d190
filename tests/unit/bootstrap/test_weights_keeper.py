"""Weights that can't be had: who asks is told so at once, and they are tried again by and by."""

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest

from craton.bootstrap.settings import Settings
from craton.bootstrap.weights_keeper import RETRY_FIRST_S, RETRY_MAX_S, WeightsKeeper
from craton.kernel.errors import NotFound, Unavailable
from craton.kernel.log import Log
from craton.models.card import EmbeddedSource
from craton.models.weights import Artifact, Run

SMOL = "smollm2-135m-instruct"
SOURCE = EmbeddedSource(weights=SMOL)


class Kept:
    """A keeper whose index is down as long as the test wants, and whose pauses the test ends."""

    def __init__(self, folder: Path, unfetched: Mapping[str, str] | None = None) -> None:
        self.settings = Settings(data=folder / "data", run=folder)
        self.fault: Exception | None = Unavailable("There is no network.")
        self.tries = 0
        self.pauses: list[float] = []
        self._pause = asyncio.Event()
        self.keeper = WeightsKeeper(
            self.settings,
            Log("test", stream=io.BytesIO()),
            unfetched=unfetched,
            fetch=self._fetch,
            sleep=self._sleep,
        )

    def _fetch(self, artifact: Artifact, folder: Path, *, run: Run) -> Path:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        return folder / artifact.file

    async def _sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        await self._pause.wait()
        self._pause.clear()

    async def end_pause(self) -> None:
        """Let time pass until the next try is over."""
        tries, pauses = self.tries, len(self.pauses)
        self._pause.set()
        async with asyncio.timeout(5):
            while self.tries == tries or (self.fault and len(self.pauses) == pauses):
                await asyncio.sleep(0.001)

    @property
    def told(self) -> str | None:
        """What workers read."""
        path = self.settings.weights_problem(SMOL)
        return path.read_text() if path.exists() else None


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncGenerator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    await kept.keeper.close()


async def refused(kept: Kept) -> str:
    with pytest.raises(Unavailable) as error:
        await kept.keeper.locate(SOURCE)
    return error.value.message


async def test_weights_that_are_there_are_found_and_nothing_is_told(kept: Kept) -> None:
    kept.fault = None
    assert (await kept.keeper.locate(SOURCE)).parent == kept.settings.data / "weights"
    assert kept.told is None


async def test_what_can_not_be_had_is_told_to_workers_until_it_is_there(kept: Kept) -> None:
    assert await refused(kept) == "There is no network."
    assert kept.told == "There is no network. Craton tries again by itself."
    kept.fault = None
    await kept.end_pause()
    await kept.keeper.locate(SOURCE)
    assert kept.told is None


async def test_who_asks_meanwhile_starts_no_try_of_its_own(kept: Kept) -> None:
    for _ in range(3):
        await refused(kept)
    assert kept.tries == 1


async def test_pauses_grow_up_to_a_limit(kept: Kept) -> None:
    await refused(kept)
    for _ in range(6):
        await kept.end_pause()
    assert kept.pauses[:3] == [RETRY_FIRST_S, 2 * RETRY_FIRST_S, 4 * RETRY_FIRST_S]
    assert kept.pauses[-1] == RETRY_MAX_S


async def test_what_was_tried_just_now_is_not_tried_at_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {SMOL: "pip failed."})
    assert kept.told == "pip failed. Craton tries again by itself."
    assert await refused(kept) == "pip failed."
    assert kept.tries == 0
    kept.fault = None
    await kept.end_pause()
    await kept.keeper.locate(SOURCE)
    await kept.keeper.close()


async def test_a_full_disk_is_told_like_a_missing_network(kept: Kept) -> None:
    kept.fault = OSError(28, "No space left on device")
    assert "No space left" in await refused(kept)
    assert kept.told is not None


async def test_a_file_that_is_gone_is_told_until_it_is_back(kept: Kept, tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    source = EmbeddedSource(gguf=str(file))
    problem = kept.settings.weights_problem(str(file))
    with pytest.raises(NotFound, match="is gone"):
        await kept.keeper.locate(source)
    assert "Put it back" in problem.read_text()
    file.touch()
    assert await kept.keeper.locate(source) == file
    assert not problem.exists()
