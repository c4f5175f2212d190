import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.core import TyperGroup

from craton.cli import main as cli
from craton.cli.main import app, main
from craton.cli.models import source
from craton.cli.output import printable
from craton.cli.serve import directions
from craton.cli.usage import moment, totals
from craton.economics.contract import SummaryLine
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BadRequest
from craton.models.card import Runtime

HOUR_MS = 3_600_000


def every_command() -> list[tuple[list[str], Any]]:
    """Each command's words and its declaration, groups included."""
    found: list[tuple[list[str], Any]] = []

    def walk(words: list[str], command: Any) -> None:
        found.append((words, command))
        if isinstance(command, TyperGroup):
            context = typer.Context(command)
            for name in command.list_commands(context):
                walk([*words, name], command.get_command(context, name))

    walk([], typer.main.get_group(app))
    return found


@pytest.mark.parametrize(
    ("words", "command"), every_command(), ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_every_command_has_help_with_an_example_of_itself(words: list[str], command: Any) -> None:
    assert command.help
    assert command.epilog.startswith("Example: ")
    assert " ".join(["craton", *words]) in command.epilog


@pytest.mark.parametrize(
    ("words", "command"), every_command(), ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_every_command_takes_json_and_data(words: list[str], command: Any) -> None:
    if words:
        options = {option for p in command.params for option in p.opts}
        assert {"--json", "--data"} <= options


def test_the_commands_promised_are_there() -> None:
    words = {" ".join(words) for words, _ in every_command()}
    assert {"up", "env", "ask", "chat", "models", "keys", "accounts", "projects", "usage"} <= words
    assert {"models add", "models remove", "models alias", "models unalias"} <= words
    assert {"keys create", "keys revoke", "accounts create", "ledger verify", "doctor"} <= words


def test_help_starts_without_the_server_or_a_database_library() -> None:
    code = (
        "import sys; from craton.cli.main import main; main(['--help']);"
        "print([m for m in sys.modules if m.startswith(('sqlalchemy', 'alembic', 'botocore',"
        " 'uvloop', 'asyncio', 'craton.bootstrap', 'cryptography'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["env"], ["ask", "--help"], ["up", "--help"], ["nope"]])
def test_a_command_starts_without_what_only_others_compute_with(arguments: list[str]) -> None:
    code = (
        f"import sys; from craton.cli.main import main; main({arguments!r});"
        "print([m for m in sys.modules if m in ('numpy', 'craton.cli.plan', 'craton.silicon')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_an_error_is_one_line_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["usage", "--data", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("craton: There is no credentials file")
    assert told.err.count("\n") == 1


def test_an_error_is_json_where_json_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "list", "--json", "--data", str(tmp_path)]) == 1
    error = msgspec.json.decode(capsys.readouterr().err)["error"]
    assert error["type"] == "not_found"
    assert "craton up" in error["message"]


def test_an_interrupt_ends_with_the_shells_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert main(["usage"]) == 130


def test_an_unexpected_exception_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        main(["usage"])


@pytest.mark.parametrize("arguments", [["nope"], ["ask"], ["up", "--port", "many"]])
def test_wrong_usage_ends_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["up", "--engine", "magic"], "magic"),
        (["up", "--port", "99999"], "99999"),
        (["up", "--workers", "0"], "0"),
    ],
)
def test_up_refuses_settings_that_make_no_sense(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    assert main([*arguments, "--data", str(data)]) == 1
    assert word in capsys.readouterr().err
    assert not data.exists()


@pytest.mark.parametrize(
    ("text", "ago_ms"), [("90m", 90 * 60_000), ("24h", 24 * HOUR_MS), ("2w", 14 * 24 * HOUR_MS)]
)
def test_since_counts_back_from_now(text: str, ago_ms: int) -> None:
    clock = ManualClock()
    assert moment(text, clock) == clock.now_ns() // 1_000_000 - ago_ms


def test_since_reads_dates_as_utc() -> None:
    assert moment("1970-01-02", ManualClock()) == 24 * HOUR_MS
    assert moment("1970-01-01T01:00:00+01:00", ManualClock()) == 0
    assert moment("999999w", ManualClock()) == 0


@pytest.mark.parametrize("text", ["yesterday", "10", "-1h", "2026-13-01", ""])
def test_since_refuses_what_it_can_not_read(text: str) -> None:
    with pytest.raises(BadRequest, match="--since"):
        moment(text, ManualClock())


def test_totals_are_by_currency() -> None:
    lines = [
        SummaryLine("1", "m", 1, {}, 5, "USD", "0.000000005"),
        SummaryLine("2", "m", 1, {}, 7, "USD", "0.000000007"),
        SummaryLine("2", "n", 1, {}, 3, "EUR", "0.000000003"),
    ]
    assert totals(lines) == {"USD": 12, "EUR": 3}


def test_a_url_is_cut_into_origin_and_path() -> None:
    made = source(None, "https://far.example:8443/api/v1/", "m", None)
    assert made["origin"] == "https://far.example:8443"
    assert made["path"] == "/api/v1"
    assert source(None, "http://127.0.0.1:8000", "m", None)["path"] == "/v1"


@pytest.mark.parametrize(
    ("url", "wire", "path"),
    [
        ("https://api.anthropic.com", "anthropic", "/v1"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "bedrock", ""),
        ("https://api.openai.com/v1", "openai", "/v1"),
    ],
)
def test_the_labs_own_hosts_tell_their_protocol(url: str, wire: str, path: str) -> None:
    made = source(None, url, "m", None)
    assert (made["wire"], made["path"]) == (wire, path)


def test_a_gguf_path_is_told_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source(Path("m.gguf"), None, None, None)["gguf"] == str(tmp_path / "m.gguf")


def test_a_runtime_is_told_for_a_file_and_refused_for_a_server() -> None:
    assert "runtime" not in source(Path("m.gguf"), None, None, None)
    made = source(Path("m.gguf"), None, None, None, runtime=Runtime.OPENVINO)
    assert made["runtime"] == "openvino"
    with pytest.raises(BadRequest, match="--runtime"):
        source(None, "http://x", "m", None, runtime=Runtime.LLAMA)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((None, None, None, None), "--gguf"),
        ((Path("m"), "http://x", "m", None), "--gguf"),
        ((None, "http://x", None, None), "--upstream-model"),
        ((Path("m"), None, "m", None), "--upstream-model"),
        ((Path("m"), None, None, Path("c")), "--credential-file"),
    ],
)
def test_options_that_do_not_fit_are_named(given: tuple[Any, ...], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        source(*given)


def test_names_can_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31mred\x07\u009b\tb\n") == "a[31mred\tb\n"


def test_the_lines_to_copy_are_python(tmp_path: Path) -> None:
    lines = directions("http://127.0.0.1:8400", tmp_path, "lab.model")
    text = "\n".join(lines)
    blocks = re.findall(r"^(?:boto3|OpenAI|Anthropic):\n((?:  .*\n?)+)", text, re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        source_text = "\n".join(line[2:] for line in block.rstrip().split("\n"))
        compile(source_text, "<lines to copy>", "exec")
        assert "lab.model" in source_text
