"""The operator's word on which of OpenAI's Responses are kept, on its way to the workers."""

import io

import pytest
from typer.testing import CliRunner

from craton.bootstrap.settings import Settings, from_argument, to_argument
from craton.bootstrap.worker import assemble
from craton.cli.main import app
from craton.kernel.clock import ManualClock
from craton.kernel.log import Log


@pytest.mark.parametrize("stores", [True, False])
async def test_each_worker_has_the_operators_word(stores: bool) -> None:
    settings = from_argument(to_argument(Settings(engine="echo", stores_responses=stores)))
    log = Log("gateway-0", stream=io.BytesIO())
    worker = assemble(settings, process="gateway-0", clock=ManualClock(), log=log)
    assert worker.services.stores_responses is stores


def test_responses_are_kept_unless_the_operator_says_otherwise() -> None:
    assert Settings().stores_responses


def test_the_option_is_in_the_help() -> None:
    told = CliRunner().invoke(app, ["up", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--no-store-responses" in told
