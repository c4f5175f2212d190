"""What the gateway's benchmark makes of h2load's log, and of what it can't measure."""

import base64
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

GATEWAY = Path(__file__).parents[3] / "benchmarks/gateway"


@pytest.fixture(autouse=True)
def _beside_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark is a script, whose modules are found in its own folder."""
    monkeypatch.syspath_prepend(GATEWAY)


@pytest.fixture
def drivers() -> ModuleType:
    return importlib.import_module("drivers")


def log(*lines: tuple[int, int, int]) -> str:
    return "".join("\t".join(map(str, line)) + "\n" for line in lines)


def test_only_what_ends_between_the_warm_up_and_the_last_request_is_measured(
    drivers: ModuleType,
) -> None:
    # A request each 100 ms, one under way at a time; the last begins at 1 s.
    finished = drivers.read_log(log(*((at * 100_000, 200, 90_000 + at) for at in range(11))))
    found = drivers.figures(finished, 11, warm_s=0.5)
    assert (found["answered"], found["failed"], found["measured"]) == (11, 0, 5)
    assert found["requests_per_s"] == 10.0
    assert found["latency"] == {
        "count": 5,
        "mean": 90_007,
        "p50": 90_007,
        "p90": 90_009,
        "p99": 90_009,
        "max": 90_009,
    }


def test_what_failed_or_never_ended_is_counted_and_told(drivers: ModuleType) -> None:
    finished = drivers.read_log(log((0, 200, 5), (10, 503, 5), (20, -1, 5), (30, 200, 5)))
    found = drivers.figures(finished, 6, warm_s=0)
    assert (found["answered"], found["failed"]) == (2, 4)
    assert "[-1, 503]" in found["first_error"]


def test_a_run_without_an_answer_has_no_figures(drivers: ModuleType) -> None:
    found = drivers.figures(drivers.read_log(log((0, 503, 5))), 1, warm_s=0)
    assert (found["answered"], found["measured"], found["latency"]) == (0, 0, None)


def test_a_chunk_that_was_lost_shows_in_the_bytes_that_h2load_tells(drivers: ModuleType) -> None:
    output = (  # as h2load 1.52 prints it
        "status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx\n"
        "traffic: 210.94KB (216000) total, 8.98KB (9200) headers (space savings 0.00%), "
        "196.68KB (201400) data\n"
        "                     min         max         mean         sd        +/- sd\n"
    )
    assert drivers.is_all_data(output, 200 * 1007)
    assert not drivers.is_all_data(output, 200 * 1008)
    assert not drivers.is_all_data("", 0)


def test_a_row_says_that_its_load_driver_is_missing(drivers: ModuleType) -> None:
    measure, report = importlib.import_module("measure"), importlib.import_module("report")
    targets = importlib.import_module("targets")
    assert drivers.missing(targets.Http.ONE, h2load="no such program") == ""
    reason = drivers.missing(targets.Http.TWO, h2load="no such program")
    found = measure.Measurement("Craton, HTTP/2", unmeasured=reason)
    rounds = report.by_target([found])
    for table in (report.throughput_table, report.stream_table):
        row = table(rounds).splitlines()[-1]
        assert "| Craton, HTTP/2 (not measured: h2load is not installed" in row
        assert row.count("| - ") == row.count("|") - 2


def test_a_chunk_of_invoke_model_holds_its_mark_once_whatever_its_text() -> None:
    wire = importlib.import_module("wires").InvokeWire("m", None)
    body = b""
    for text in ("word00 ", "w", "content_block_delta"):
        delta = {"type": "text_delta", "text": text}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        carried = base64.b64encode(json.dumps(event, separators=(",", ":")).encode())
        body += b'\x00{"bytes":"' + carried + b'","p":"abc"}\x01'
    assert body.count(wire.mark.encode()) == 3
    assert b"word00 " in wire.text(body)
