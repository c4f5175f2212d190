import io
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.cli import usage
from craton.cli.connection import Connection
from craton.cli.main import main
from craton.cli.serve import FIRST_QUESTION
from craton.kernel.errors import Unauthenticated, Unavailable
from tests.fakes.craton import Craton

Captured = pytest.CaptureFixture[str]


class Cli:
    """Runs commands against the running Craton, and returns what they print."""

    def __init__(self, echo: Craton, capsys: Captured) -> None:
        self._data = str(echo.data)
        self._capsys = capsys

    def text(self, *arguments: str) -> str:
        self._capsys.readouterr()
        status = main([*arguments, "--data", self._data])
        told = self._capsys.readouterr()
        assert status == 0, told.err
        return told.out

    def json(self, *arguments: str) -> Any:
        return msgspec.json.decode(self.text(*arguments, "--json"))

    def refused(self, *arguments: str) -> dict[str, str]:
        self._capsys.readouterr()
        assert main([*arguments, "--json", "--data", self._data]) == 1
        told = self._capsys.readouterr()
        assert told.out == ""
        return msgspec.json.decode(told.err)["error"]


@pytest.fixture
def cli(echo: Craton, capsys: Captured) -> Cli:
    return Cli(echo, capsys)


def test_ask_prints_the_answer_then_one_line_of_tokens_time_and_cost(cli: Cli) -> None:
    answer, line = cli.text("ask", "one two three").splitlines()
    assert answer == "one two three"
    assert line.startswith("craton.echo-1: 3 tokens in, 3 out, ")
    assert line.endswith(" 0.0000003 USD")


def test_ask_as_json_has_a_stable_shape_and_the_ledgers_own_cost(cli: Cli) -> None:
    told = cli.json("ask", "one two three", "--max-tokens", "2", "--system", "be brief")
    assert set(told) == {
        "answer",
        "model",
        "request_id",
        "finish_reason",
        "input_tokens",
        "output_tokens",
        "cost_nanos",
        "currency",
        "seconds",
        "first_seconds",
    }
    assert (told["answer"], told["finish_reason"]) == ("one two", "length")
    assert (told["input_tokens"], told["output_tokens"]) == (5, 2)
    newest = cli.json("usage", "--records", "--limit", "1")["records"][0]
    assert newest["request_id"] == told["request_id"]
    assert newest["amount_nanos"] == told["cost_nanos"] == 5 * 20 + 2 * 80


def test_ask_for_a_model_that_is_not_there_says_what_is(cli: Cli) -> None:
    error = cli.refused("ask", "hi", "--model", "gpt-none")
    assert error["type"] == "not_found"
    assert "craton.echo-1" in error["message"]


def test_chat_remembers_until_reset_and_counts_each_turn(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = "first words\n\nsecond\n/reset\nthird\n/exit\nnever\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    turns = [msgspec.json.decode(line) for line in cli.text("chat", "--json").splitlines()]
    assert [turn["answer"] for turn in turns] == ["first words", "second", "third"]
    assert [turn["input_tokens"] for turn in turns] == [2, 2 + 2 + 1, 1]


def test_a_turn_that_fails_does_not_end_the_chat(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    too_long = "word " * 100_001
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{too_long}\nstill here\n"))
    assert cli.text("chat").splitlines()[0] == "still here"


def test_a_model_is_added_with_the_formats_it_answers_to(cli: Cli) -> None:
    formats = ("--format", "llama", "--format", "titan-text")
    where = ("--url", "http://127.0.0.1:9/v1", "--upstream-model", "m")
    added = cli.json("models", "add", "old", *where, *formats)
    cli.text("models", "remove", "local.old")
    assert added["formats"] == ["llama", "titan-text"]


def test_models_are_added_renamed_and_removed(cli: Cli) -> None:
    added = cli.json(
        "models", "add", "far", "--url", "http://127.0.0.1:9/v1", "--upstream-model", "m"
    )
    assert (added["id"], added["engine"]) == ("local.far", "remote")
    assert cli.json("models", "alias", "org/Far", "local.far")["model"] == "local.far"
    listed = {m["id"]: m for m in cli.json("models")["models"]}
    assert listed["local.far"]["aliases"] == ["org/Far"]
    assert listed == {m["id"]: m for m in cli.json("models", "list")["models"]}
    assert "org/Far" in cli.text("models")
    assert cli.json("models", "unalias", "org/Far") == {"removed": "org/Far"}
    assert cli.json("models", "remove", "local.far") == {"removed": "local.far"}
    assert cli.refused("models", "remove", "local.far")["type"] == "not_found"


def test_an_alias_answers_at_once(cli: Cli) -> None:
    cli.text("models", "alias", "gpt-4o-mini", "craton.echo-1")
    assert cli.json("ask", "hi", "--model", "gpt-4o-mini")["model"] == "craton.echo-1"
    cli.text("models", "unalias", "gpt-4o-mini")
    assert cli.refused("ask", "hi", "--model", "gpt-4o-mini")["type"] == "not_found"


def test_a_file_that_is_no_model_is_refused(cli: Cli, echo: Craton) -> None:
    path = echo.data / "notes.gguf"
    path.write_text("hello")
    assert "not GGUF" in cli.refused("models", "add", "a.b", "--gguf", str(path))["message"]
    path.unlink()
    assert cli.refused("models", "add", "a.b", "--gguf", str(path))["type"] == "not_found"


def test_a_key_works_until_it_is_revoked(cli: Cli, echo: Craton) -> None:
    made = cli.json("keys", "create", "throwaway")
    key = Connection(echo.url, made["api_key"])
    assert key.get("/identity", dict[str, Any])["key"] == made["api_key_id"]
    listed = {k["id"]: k for k in cli.json("keys")["keys"]}
    assert listed[made["api_key_id"]]["hint"] == made["api_key"][-4:]
    secret = made["secret_access_key"]
    assert secret not in cli.text("keys", "list", "--json")
    revoked = cli.json("keys", "revoke", made["api_key_id"], made["access_key_id"])
    assert [k["state"] for k in revoked["keys"]] == ["revoked", "revoked"]
    with pytest.raises(Unauthenticated, match="was revoked"):
        key.get("/identity", dict[str, Any])
    assert cli.refused("keys", "revoke", made["api_key_id"])["type"] == "conflict"


def test_a_new_account_is_usable_at_once_and_pays_for_itself(cli: Cli, echo: Craton) -> None:
    made = cli.json("accounts", "create", "team-a")
    assert (echo.data / "credentials.json").stat().st_mode & 0o777 == 0o600
    told = cli.json("env", "--account", "team-a")
    assert told["OPENAI_API_KEY"] == made["key"]["api_key"]
    asked = cli.json("ask", "for the team", "--account", "team-a")
    mine = cli.json("usage", "--account", "team-a")
    assert mine["totals"] == {"USD": asked["cost_nanos"]}
    assert {line["account"] for line in mine["lines"]} == {made["account"]["id"]}
    assert [p["name"] for p in cli.json("projects", "--account", "team-a")["projects"]] == [
        "default"
    ]
    cli.text("projects", "create", "batch", "--account", "team-a")
    assert len(cli.json("projects", "list", "--account", "team-a")["projects"]) == 2
    assert cli.refused("accounts", "create", "team-a")["type"] == "conflict"


def test_the_ledger_balances_and_agrees_with_usage(cli: Cli) -> None:
    cli.text("ask", "count me")
    verdict = cli.json("ledger", "verify")
    assert verdict["whole"] is True
    assert verdict["verdict"]["usage_records"] == verdict["verdict"]["transactions"] > 0
    balances = cli.json("ledger")["balances"]
    assert sum(b["amount_nanos"] for b in balances) == 0
    customers = cli.json("ledger", "balances", "customer/")["balances"]
    assert all(b["ledger_account"].startswith("customer/") for b in customers)
    assert sum(b["amount_nanos"] for b in customers) == cli.json("usage")["totals"]["USD"]
    assert "The ledger is whole." in cli.text("ledger", "verify")


def test_usage_since_leaves_out_what_was_before(cli: Cli) -> None:
    cli.text("ask", "just now")
    assert cli.json("usage", "--records", "--since", "1h")["records"]
    assert cli.json("usage", "--records", "--since", "2999-01-01")["records"] == []
    assert cli.json("usage", "--since", "2999-01-01") == {"lines": [], "totals": {}}
    assert "Nothing was used." in cli.text("usage", "--since", "2999-01-01")


def test_usage_by_request_goes_over_pages(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        cli.text("ask", f"question {number}")
    every = cli.json("usage", "--records")["records"]
    monkeypatch.setattr(usage, "PAGE_MAX", 2)
    paged = cli.json("usage", "--records")["records"]
    assert len(every) >= 3
    assert paged == every


def test_doctor_finds_a_running_craton_well(cli: Cli) -> None:
    found = {finding["check"]: finding for finding in cli.json("doctor")["checks"]}
    for check in ("data folder", "credentials.json", "vault.key", "database", "running", "port"):
        assert found[check]["state"] == "ok", found[check]
    assert found["ready"]["state"] == found["clock"]["state"] == found["ledger"]["state"] == "ok"
    for check in ("price files", "models", "prices", "budgets", "fleet"):
        assert found[check]["state"] in ("ok", "warn"), found[check]


def test_a_second_craton_on_the_same_folder_is_refused(cli: Cli) -> None:
    error = cli.refused("up", "--engine", "echo", "--port", "0", "--once")
    assert error["type"] == "conflict"
    assert "--data" in error["message"]


def test_up_once_asks_prints_and_stops(
    tmp_path_factory: pytest.TempPathFactory, capsys: Captured
) -> None:
    data = tmp_path_factory.mktemp("once")
    arguments = ["up", "--engine", "echo", "--port", "0", "--once", "--data", str(data)]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert f"> {FIRST_QUESTION}\n{FIRST_QUESTION}\ncraton.echo-1: 8 tokens in, 6 out" in told
    for word in (str(data / "credentials.json"), "boto3.client", "OpenAI()", "Anthropic()"):
        assert word in told
    assert main([*arguments, "--json"]) == 0
    started = msgspec.json.decode(capsys.readouterr().out)
    assert started["answer"]["answer"] == FIRST_QUESTION
    assert started["credentials"] == str(data / "credentials.json")


def test_up_stays_until_it_is_interrupted_and_ends_well(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from craton.cli.main import run; run()"]
    options = ["up", "--engine", "echo", "--port", "0", "--json", "--data", str(tmp_path)]
    with subprocess.Popen([*program, *options], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        started = msgspec.json.decode(process.stdout.readline())
        with Connection(started["url"], "").open("GET", "/healthz") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(Unavailable), Connection(started["url"], "").open("GET", "/healthz"):
        pass
