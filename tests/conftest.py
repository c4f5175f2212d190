"""Real Cratons for tests of any folder: one on the echo engine, one on the embedded model."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from craton.models import weights
from tests.fakes.craton import Craton


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    running = Craton(tmp_path_factory.mktemp("echo"), engine="echo")
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


@pytest.fixture(scope="session")
def smol(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Craton]:
    """The embedded model; its weights are fetched once and shared through pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("craton-weights")
    weights.fetch(weights.find("smollm2-135m-instruct"), folder)
    data = tmp_path_factory.mktemp("smol")
    shutil.copytree(folder, data / "weights", copy_function=link)
    running = Craton(data, engine="embedded")
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


def link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target
