"""The models of a real Craton give way when their machine is taken, and come back."""

import time
from functools import partial
from typing import Any

import msgspec
import pytest

from craton.cli.connection import Connection
from craton.cli.main import main
from craton.fleet.run_records import HERE
from tests.fakes import craton as fakes
from tests.fakes.craton import SMOL, Craton

pytestmark = pytest.mark.slow  # two loads of a real model

PATIENCE_S = 60.0


until = partial(fakes.until, patience_s=PATIENCE_S)


def answer(smol: Craton) -> str:
    """What the model says, or why it doesn't."""
    body = {
        "model": SMOL,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
    }
    connection = Connection(smol.url, smol.keys.api_key, timeout_s=PATIENCE_S)
    encoded = msgspec.json.encode(body)
    with connection.open("POST", "/v1/chat/completions", encoded) as response:
        return response.read().decode()


def leases(smol: Craton) -> list[dict[str, Any]]:
    connection = Connection(smol.url, smol.keys.api_key, timeout_s=PATIENCE_S)
    return connection.get("/leases", dict[str, Any])["leases"]


def test_models_run_on_an_interruptible_lease_and_go_and_come_back_with_it(smol: Craton) -> None:
    until(lambda: [each["state"] for each in leases(smol)] == ["active"])
    (held,) = leases(smol)
    assert (held["kind"], held["pool"]) == ("interruptible", HERE)
    assert held["purpose"] == "model replicas"
    assert main(["fleet", "fail", "local", "--data", str(smol.data)]) == 0
    try:
        until(lambda: "The machine that it runs on is reserved, or set aside" in answer(smol))
        begun = time.monotonic()
        assert "comes back by itself" in answer(smol)
        assert time.monotonic() - begun < 5, "it is told at once, and not after a wait"
        assert [each["state"] for each in leases(smol)] == ["waiting"]
    finally:
        assert main(["fleet", "repair", "local", "--data", str(smol.data)]) == 0
    until(lambda: '"choices"' in answer(smol))
    (again,) = leases(smol)
    assert (again["state"], again["id"] != held["id"]) == ("active", True)
