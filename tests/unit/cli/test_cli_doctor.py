import socket
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.cli import examination
from craton.cli.examination import State
from craton.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def checks(capsys: Any) -> dict[str, dict[str, str]]:
    told = msgspec.json.decode(capsys.readouterr().out)
    return {finding["check"]: finding for finding in told["checks"]}


def make_database(path: Path, amounts: list[int]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE postings (transaction_id, line, currency, amount)")
        rows = [("t", line, "USD", amount) for line, amount in enumerate(amounts)]
        connection.executemany("INSERT INTO postings VALUES (?, ?, ?, ?)", rows)
    connection.close()


def test_every_finding_that_is_not_well_says_what_to_do(
    data: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["doctor", "--json", "--data", str(data), "--port", str(free_port)])
    for finding in checks(capsys).values():
        assert (finding["state"] == "ok") == (finding["advice"] == "")


def test_a_folder_that_is_not_there_yet_is_a_warning(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "a" / "b"
    assert main(["doctor", "--json", "--data", str(missing), "--port", str(free_port)]) == 0
    assert checks(capsys)["data folder"]["state"] == "warn"
    assert not missing.exists()


def test_a_secret_that_others_can_read_fails(
    data: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("credentials.json", "vault.key"):
        (data / name).write_text("{}")
        (data / name).chmod(0o604)
    assert main(["doctor", "--json", "--data", str(data), "--port", str(free_port)]) == 1
    found = checks(capsys)
    assert found["credentials.json"]["state"] == found["vault.key"]["state"] == "fail"
    assert "chmod 600" in found["vault.key"]["advice"]


def test_a_data_folder_open_to_others_is_a_warning(data: Path) -> None:
    data.chmod(0o755)
    assert examination.data_folder(data).state is State.WARN
    data.chmod(0o700)
    assert examination.data_folder(data).state is State.OK


def test_weights_that_changed_fail(data: Path) -> None:
    (data / "weights").mkdir()
    (data / "weights" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    finding, *_ = examination.weights_files(data)
    assert finding.state is State.FAIL
    assert "Delete" in finding.advice


def test_a_ledger_that_balances_is_well(data: Path) -> None:
    make_database(data / "craton.db", [5, -5])
    assert examination.database(data).state is State.OK


def test_a_ledger_that_does_not_balance_fails(data: Path) -> None:
    make_database(data / "craton.db", [5, -4])
    finding = examination.database(data)
    assert finding.state is State.FAIL
    assert "1 transactions" in finding.detail


def test_a_ledger_above_64_bits_balances_or_does_not(data: Path) -> None:
    parts = [9 * 10**18] * 3
    make_database(data / "craton.db", [*parts, -5, *(-each for each in parts), 5])
    assert examination.database(data).state is State.OK
    (data / "craton.db").unlink()
    make_database(data / "craton.db", [*parts, *(-each for each in parts), 2**32])
    assert examination.database(data).state is State.FAIL


def test_a_damaged_database_fails(data: Path) -> None:
    (data / "craton.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    assert examination.database(data).state is State.FAIL
    (data / "craton.db").write_bytes(b"no database at all" * 500)
    assert examination.database(data).state is State.FAIL


def test_a_port_that_another_program_has_fails_only_when_craton_needs_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert examination.port(None, port).state is State.FAIL
        elsewhere = examination.EndpointFile("http://127.0.0.1:1", 1, "us-east-1")
        assert examination.port(elsewhere, port).state is State.WARN
        itself = examination.EndpointFile(f"http://127.0.0.1:{port}", 1, "us-east-1")
        assert examination.port(itself, port).state is State.OK


def test_a_free_port_is_well(free_port: int) -> None:
    assert examination.port(None, free_port).state is State.OK


def test_an_endpoint_where_nobody_answers_is_a_warning(data: Path, free_port: int) -> None:
    endpoint = {"url": f"http://127.0.0.1:{free_port}", "pid": 1, "region": "us-east-1"}
    (data / "endpoint.json").write_bytes(msgspec.json.encode(endpoint))
    finding, known, answers = examination.endpoint(data)
    assert finding.state is State.WARN
    assert "craton up" in finding.advice
    assert known is not None
    assert not answers


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 9), State.FAIL), ((3, 11, 0), State.OK), ((3, 14, 1), State.OK)]
)
def test_python_must_be_new_enough(version: tuple[int, int, int], state: State) -> None:
    assert examination.python(version).state is state


@pytest.mark.parametrize(
    ("name", "state"), [("linux", State.OK), ("darwin", State.WARN), ("win32", State.FAIL)]
)
def test_the_platform_must_have_unix_sockets(name: str, state: State) -> None:
    assert examination.platform(name).state is state
