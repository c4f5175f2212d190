from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.databases import Place
from tests.fakes.state_process import StateProcess


@pytest.fixture
async def state(tmp_path: Path, place: Place) -> AsyncIterator[StateProcess]:
    process = StateProcess(tmp_path, place=place)
    await process.start()
    yield process
    await process.close()
