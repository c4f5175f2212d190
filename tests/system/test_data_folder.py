"""What becomes of a data folder that was harmed between two starts."""

from pathlib import Path

import pytest

from tests.fakes.craton import Craton


def test_a_lost_master_key_stops_the_start_and_is_named(tmp_path: Path) -> None:
    assert Craton(tmp_path, engine="echo").close() == 0
    (tmp_path / "vault.key").unlink()
    with pytest.raises(AssertionError, match=r"vault\.key is gone"):
        Craton(tmp_path, engine="echo")
    assert not (tmp_path / "vault.key").exists()


def test_a_second_start_keeps_the_keys_and_the_ledger(tmp_path: Path) -> None:
    first = Craton(tmp_path, engine="echo")
    keys = first.keys
    assert first.close() == 0
    second = Craton(tmp_path, engine="echo")
    assert second.keys == keys
    status, _ = second.get("/v1/models", authorization=f"Bearer {keys.api_key}")
    assert status == 200
    assert second.close() == 0
