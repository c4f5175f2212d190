import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.access.office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path, os.urandom)
    yield made
    made.connection.close()
