import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from craton.cli import plan
from craton.cli.plan import formats, print_predictions, write_report
from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.catalogue import load_catalogue
from craton.silicon.models import find_model
from craton.silicon.precision import Precision
from tests.fakes.quotes import DAY, serving_quote

CATALOGUE = load_catalogue()
LLAMA = find_model("llama-3.1-8b")
SERVE = ["serve", "llama-3.1-8b", "--input", "1k", "--output", "200", "--rate", "5"]
TRAIN = ["train", "llama-3.1-8b", "--tokens", "100B", "--sequence", "8192", "--batch", "4M"]
ONE_CHIP = ["--chip", "h200"]
ROW = {
    "kind": "serve",
    "model": "llama-3.1-8b",
    "chip": "h200",
    "chips": 1,
    "tp": 1,
    "precision": "bf16",
    "input_tokens": 1000,
    "output_tokens": 200,
    "concurrency": 8,
}


def run(*arguments: str) -> None:
    plan.app(list(arguments), prog_name="craton plan", standalone_mode=False)


def lines(*rows: dict[str, object]) -> list[bytes]:
    return [msgspec.json.encode(row) + b"\n" for row in rows]


def test_alone_it_lists_the_models_and_chips_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    told = capsys.readouterr().out
    assert "llama-3.1-8b" in told
    assert "trainium2" in told
    run("--json")
    known = msgspec.json.decode(capsys.readouterr().out)
    model = next(each for each in known["models"] if each["name"] == "llama-3.1-8b")
    assert model["parameters"] == pytest.approx(8.03e9, rel=0.01)
    assert "h200" in known["chips"]


def test_serving_is_planned_printed_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    run(*SERVE, *ONE_CHIP, "--html", str(report))
    told = capsys.readouterr().out
    assert told.startswith("llama-3.1-8b: 1k tokens in, 200 out, 5 requests a second")
    assert "\n1  h200" in told
    assert f"The report is in {report}." in told
    assert "<h1>Serving llama-3.1-8b</h1>" in report.read_text(encoding="utf-8")


def test_serving_as_json_is_the_quote_cut_to_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    run(*SERVE, *ONE_CHIP, "--top", "2", "--json", "--by", "energy", "--precision", "fp8")
    quoted = msgspec.json.decode(capsys.readouterr().out)
    assert 1 <= len(quoted["plans"]) <= 2
    assert quoted["job"]["objective"] == "energy"
    assert quoted["job"]["formats"]["weights"] == "fp8"
    best = quoted["plans"][0]
    assert best["chip"] == "h200"
    assert best["itl_ms"]["low"] <= best["itl_ms"]["value"] <= best["itl_ms"]["high"]


def test_a_buyer_can_ask_for_limits_that_the_high_ends_keep(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(*SERVE, *ONE_CHIP, "--itl-ms", "30", "--confident", "--json")
    quoted = msgspec.json.decode(capsys.readouterr().out)
    assert quoted["job"]["confident"] is True
    assert all(found["itl_ms"]["high"] <= 30 for found in quoted["plans"])


def test_training_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    run(*TRAIN, *ONE_CHIP, "--deadline", "30d", "--max-chips", "64", "--json")
    quoted = msgspec.json.decode(capsys.readouterr().out)
    assert quoted["job"]["deadline_days"] == 30
    assert quoted["plans"][0]["chips"] <= 64


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([*SERVE, "--chip", "h2000"], NotFound, "h200"),
        ([*SERVE, "--precision", "fp9"], BadRequest, "fp9"),
        ([*SERVE[:-1], "often"], BadRequest, "--rate"),
        (["serve", "lama-3.1-8b", *SERVE[2:]], NotFound, "llama-3.1-8b"),
        ([*TRAIN, "--deadline", "30"], BadRequest, "--deadline"),
        ([*TRAIN, "--precision", "fp9"], BadRequest, "--precision"),
        (["predict", "no-such-file"], NotFound, "no-such-file"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run(*arguments)


def test_an_operators_own_chip_is_planned_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "chips"
    folder.mkdir()
    (folder / "mine.toml").write_text("not a chip file", encoding="utf-8")
    with pytest.raises(BadRequest, match=r"mine\.toml"):
        run("--data", str(tmp_path))


def test_predictions_keep_their_order_and_outlive_bad_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    good, bad = {"id": 1, **ROW}, {"id": "b", **ROW, "chip": "h2000"}
    file.write_bytes(b"".join([*lines(good, bad), b"{nonsense\n", *lines({**good, "id": 4})]))
    run("predict", str(file))
    told = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.get("id") for each in told] == [1, "b", None, 4]
    assert ["error" in each for each in told] == [False, True, True, False]
    assert told[0]["tpot_ms_low"] <= told[0]["tpot_ms"] <= told[0]["tpot_ms_high"]


def test_rows_come_from_standard_input_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = io.TextIOWrapper(io.BytesIO(b"".join(lines({"id": 7, **ROW}))))
    monkeypatch.setattr("sys.stdin", source)
    run("predict", "-")
    assert msgspec.json.decode(capsys.readouterr().out)["id"] == 7


def test_each_prediction_is_out_before_the_next_row_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []

    def rows() -> Iterator[bytes]:
        for number in range(3):
            told.extend(capsys.readouterr().out.splitlines())
            assert len(told) == number
            yield from lines({"id": number, "kind": "serve", "chip": "h2000"})

    print_predictions(rows(), CATALOGUE)


def test_a_plan_reads_precisions_as_rows_do() -> None:
    assert formats(LLAMA, "fp8", None).cache is Precision.BF16
    assert formats(LLAMA, "fp8", "fp8").cache is Precision.FP8
    assert formats(LLAMA, "float16", None).weights is Precision.FP16


def test_a_report_that_can_not_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="--html"):
        write_report(serving_quote(), CATALOGUE, tmp_path / "none" / "r.html", DAY)


def test_a_report_carries_the_day_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_report(serving_quote(), CATALOGUE, path, DAY)
    assert "Made by Craton on 2026-11-22" in path.read_text(encoding="utf-8")
