from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.state_process import StateProcess


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateProcess]:
    process = StateProcess(tmp_path)
    await process.start()
    yield process
    await process.close()
