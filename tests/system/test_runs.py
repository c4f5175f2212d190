"""`craton run` against a Craton of its own, down to the processes on this machine."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from craton.cli.main import main
from craton.fleet.run_records import NOTHING_RAN
from craton.kernel.errors import AccessDenied, NotFound
from tests.fakes import craton as fakes
from tests.fakes.craton import Craton

EXAMPLE = Path(__file__).parents[2] / "examples" / "ultraserver.toml"
PATIENCE_S = 20.0
Captured = pytest.CaptureFixture[str]

SAVES = """
import os, pathlib, signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
notice = pathlib.Path(os.environ["CRATON_NOTICE"])
while not notice.exists():
    time.sleep(0.02)
print("notice", notice.read_text(), flush=True)
time.sleep(60)
"""
TICKS = """
import time
for number in range(30):
    print("tick", number, flush=True)
    time.sleep(0.1)
"""


until = partial(fakes.until, patience_s=PATIENCE_S)


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Craton]]:
    """The Craton that runs now: one test kills it and starts it anew."""
    running = [Craton(tmp_path_factory.mktemp("runs"), engine="echo")]
    yield running
    assert running[0].metric("craton_internal_errors_total") == 0
    assert running[0].close() == 0


class Cli:
    """Runs commands, and returns their exit status and what they print."""

    def __init__(self, owned: list[Craton], capsys: Captured) -> None:
        self._owned = owned
        self._capsys = capsys

    @property
    def craton(self) -> Craton:
        return self._owned[0]

    @property
    def runs(self) -> Path:
        return self.craton.data / "runs"

    @property
    def connection(self) -> Connection:
        return Connection(self.craton.url, self.craton.keys.api_key, timeout_s=30)

    def call(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        group, first, *rest = arguments
        # Options stand before the command that is to be run.
        status = main([group, first, "--data", str(self.craton.data), *rest])
        told = self._capsys.readouterr()
        return status, told.out, told.err

    def run(self, *arguments: str) -> tuple[int, str, str]:
        return self.call("run", "start", *arguments)

    def detached(self, *arguments: str) -> str:
        status, out, err = self.run("--detach", *arguments)
        assert status == 0, err
        return out.strip()

    def view(self, id: str) -> dict[str, Any]:
        return self.connection.get(f"/runs/{id}", dict[str, Any])

    def ended(self, id: str) -> dict[str, Any]:
        return until(lambda: (view := self.view(id))["ended_ms"] and view)

    def log(self, id: str) -> str:
        return self.call("run", "logs", id)[1]

    def shim(self, id: str) -> int:
        started = self.runs / id / "started.json"
        until(started.exists)
        return msgspec.json.decode(started.read_bytes())["pid"]


@pytest.fixture
def cli(owned: list[Craton], capsys: Captured) -> Cli:
    return Cli(owned, capsys)


def marked(run: str) -> list[int]:
    """Every process of a run's workload."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"CRATON_RUN={run}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_a_run_prints_what_its_command_does_and_what_it_cost_and_ends_with_its_status(
    cli: Cli,
) -> None:
    status, out, err = cli.run("--", "sh", "-c", "echo out; echo err >&2; sleep 1.1; exit 3")
    assert (status, out) == (3, "out\nerr\n")
    assert "1 x cpu on local/here/machine/1" in err
    cost = re.search(r"exited with status 3 after [\d.]+ s; it cost (0\.\d+) USD", err)
    assert cost is not None, err
    assert float(cost[1]) > 0
    assert cli.call("leases", "list")[1].startswith("No chips are held")


def test_each_rank_is_told_its_place_and_its_lines_are_told_apart(cli: Cli) -> None:
    names = '"RANK WORLD_SIZE LOCAL_RANK CRATON_LEASE CRATON_TOKEN".split()'
    told = f"import os; print(*(os.environ[name] for name in {names}))"
    id = cli.detached("--ranks-per-host", "3", "--", sys.executable, "-c", told)
    lease = cli.ended(id)["lease"]
    token = cli.connection.get(f"/leases/{lease}", dict[str, Any])["token"]
    wanted = [f"[{rank}] {rank} 3 {rank} {lease} {token}" for rank in range(3)]
    assert sorted(cli.log(id).splitlines()) == wanted
    assert token > 1, "higher than that of the lease before"


def test_one_rank_that_fails_ends_the_gang_with_its_status(cli: Cli) -> None:
    fails = "if [ $RANK = 1 ]; then exit 5; fi; sleep 60"
    begun = time.monotonic()
    status, _, err = cli.run("--ranks-per-host", "2", "--", "sh", "-c", fails)
    assert status == 5
    assert "the other ranks were ended" in err
    assert time.monotonic() - begun < PATIENCE_S


def test_what_a_command_leaves_running_is_ended_with_it(cli: Cli) -> None:
    length = f"61.{os.getpid()}"  # nobody else's
    leaves = f"import subprocess; subprocess.Popen(['sleep', '{length}'], start_new_session=True)"
    status, _, _ = cli.run("--", sys.executable, "-c", leaves)
    assert status == 0
    assert f"sleep\x00{length}" not in "".join(
        path.read_text(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    )


def test_the_environment_of_who_ordered_it_is_kept_no_longer_than_until_it_starts(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "hush-hush")
    id = cli.detached("--", "sh", "-c", "echo $A_SECRET")
    cli.ended(id)
    assert cli.log(id) == "hush-hush\n"
    (cli.runs / id / "log-0000000000000000").unlink()
    for path in (cli.runs / id).iterdir():
        assert b"hush-hush" not in path.read_bytes(), path


def test_a_command_that_is_not_there_says_so_as_a_shell_does(cli: Cli) -> None:
    status, out, err = cli.run("--", "no-such-program")
    assert status == 127
    assert "no-such-program can't be run" in out + err


def test_a_run_goes_on_when_every_process_of_craton_is_killed(
    cli: Cli, owned: list[Craton]
) -> None:
    id = cli.detached("--", sys.executable, "-c", TICKS)
    until(lambda: "tick 3" in cli.log(id))
    kill_everything(owned[0])
    owned[0] = Craton(owned[0].data, engine="echo")
    status, out, _ = cli.call("run", "logs", "--follow", id)
    assert status == 0
    assert out.split() == [word for number in range(30) for word in ("tick", str(number))]
    ended = cli.ended(id)
    assert (ended["status"], ended["reason"]) == (0, "released")
    assert ended["spent_nanos"] > 0


def kill_everything(craton: Craton) -> None:
    """kill -9, the supervisor first, so that it starts nothing again."""
    folder = str(craton.data).encode()
    os.kill(craton.process.pid, signal.SIGKILL)
    craton.process.wait()
    for pipe in (craton.process.stdin, craton.process.stdout):
        assert pipe is not None
        pipe.close()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if folder in b" ".join(words) and b"craton.bootstrap.shim" not in words:
            os.kill(int(path.parent.name), signal.SIGKILL)


def test_a_workload_whose_shim_is_killed_goes_too_and_its_lease_is_given_back(cli: Cli) -> None:
    id = cli.detached("--", "sh", "-c", "sleep 62 & sleep 63")
    until(lambda: len(marked(id)) == 3)
    os.kill(cli.shim(id), signal.SIGKILL)
    ended = cli.ended(id)
    assert (ended["status"], ended["reason"]) == (None, "holder-lost")
    assert marked(id) == []


def test_stop_asks_first_and_makes_it_after_the_grace(cli: Cli) -> None:
    polite = cli.detached("--", sys.executable, "-c", SAVES)
    until(lambda: "ready" in cli.log(polite))
    status, out, _ = cli.call("run", "stop", polite)
    assert status == 0
    assert re.search(r"ended: stopped; it cost [\d.]+ USD", out)
    assert cli.log(polite) == "ready\nsaved\n"
    assert cli.ended(polite)["status"] == 7
    deaf = cli.detached(
        "--grace", "1", "--", "sh", "-c", "trap '' TERM; echo on; sleep 60; sleep 60"
    )
    until(lambda: "on" in cli.log(deaf))
    cli.call("run", "stop", deaf)
    assert cli.ended(deaf)["status"] == 128 + signal.SIGKILL


def test_ctrl_c_ends_the_run_and_its_status_is_the_commands(cli: Cli) -> None:
    data = str(cli.craton.data)
    program = [sys.executable, "-c", "import sys; from craton.cli.main import run; run()"]
    with subprocess.Popen(
        [*program, "run", "--data", data, "--", sys.executable, "-c", SAVES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as craton_run:
        assert craton_run.stdout is not None
        assert craton_run.stdout.readline() == "ready\n"
        craton_run.send_signal(signal.SIGINT)
        out, err = craton_run.communicate(timeout=PATIENCE_S)
    assert (craton_run.returncode, out) == (7, "saved\n")
    assert "it cost" in err


def test_a_lease_that_ends_is_announced_then_asked_for_then_taken(cli: Cli) -> None:
    id = cli.detached("--hours", "0.0017", "--grace", "2", "--", sys.executable, "-c", SAVES)
    ended = cli.ended(id)
    ready, notice, saved = cli.log(id).splitlines()
    assert (ready, saved) == ("ready", "saved")
    told = msgspec.json.decode(notice.removeprefix("notice "))
    assert told["reason"] == "expired"
    assert ended["ended_ms"] / 1000 <= told["ends_s"]
    assert ended["status"] == 7
    assert "its lease ended" in ended["outcome"]


def test_a_released_lease_ends_what_runs_on_it_at_once(cli: Cli) -> None:
    id = cli.detached("--", "sh", "-c", "trap '' TERM; sleep 64; sleep 64")
    until(lambda: marked(id))
    status, _, _ = cli.call("leases", "release", cli.view(id)["lease"])
    assert status == 0
    ended = cli.ended(id)
    assert ended["status"] == 128 + signal.SIGKILL
    assert "taken away" in ended["outcome"]
    assert marked(id) == []


def test_a_run_waits_in_the_queue_unless_told_not_to(cli: Cli) -> None:
    first = cli.detached("--", "sleep", "65")
    until(lambda: marked(first))
    status, _, err = cli.run("--no-wait", "--", "true")
    assert status == 1
    assert "no room now" in err
    second = cli.detached("--name", "next", "--", "echo", "came through")
    assert cli.view(second)["queue_position"] == 1
    third = cli.detached("--", "echo", "gave up")
    listed = cli.call("run", "ps")[1]
    assert "waiting, number 2" in listed
    assert "next" in listed
    cli.call("run", "stop", third)
    assert cli.ended(third)["reason"] == "cancelled"
    cli.call("run", "stop", "--now", first)
    assert cli.ended(second)["status"] == 0
    assert cli.log(second) == "came through\n"
    assert cli.log(third) == ""


def test_a_token_lower_than_one_that_was_seen_on_the_chip_is_turned_away(cli: Cli) -> None:
    chip = cli.runs / "chips" / "chip-0"
    seen = chip.read_text()
    chip.write_text("99999999")
    status, out, err = cli.run("--", "echo", "ran")
    chip.write_text(seen)
    assert status == 126
    assert "fencing token 99999999" in out
    assert "ran\n" not in out
    assert "99999999" in err


def test_two_runs_share_a_machine_that_is_divided_and_a_third_waits(
    cli: Cli, tmp_path: Path
) -> None:
    divided, whole = tmp_path / "divided.toml", tmp_path / "whole.toml"
    divided.write_text("[this_machine]\ndivided = true\n")
    whole.write_text("[this_machine]\ndivided = false\n")
    assert cli.call("fleet", "apply", str(divided))[0] == 0
    try:
        tells = (
            "import os, time; print(os.environ['CRATON_CHIP_MILLI'], flush=True); time.sleep(60)"
        )
        halves = [
            cli.detached("--chips", "0.5", "--cpus", "0.25", "--", sys.executable, "-c", tells)
            for _ in range(2)
        ]
        for half in halves:
            until(lambda run=half: "500" in cli.log(run))
            assert cli.view(half)["part"]["cpu_milli"] == 250
        assert len(re.findall(r"0\.5 x cpu", cli.call("run", "ps")[1])) == 2
        assert re.search(r"craton\.local .* 0 chips ", cli.call("fleet", "show")[1])
        status, _, err = cli.run("--chips", "0.25", "--no-wait", "--", "true")
        assert (status != 0, "No host has so much left" in err) == (True, True)
        waiting = cli.detached("--chips", "0.25", "--", "true")
        cli.call("run", "stop", halves[0])
        assert cli.ended(waiting)["status"] == 0
        cli.call("run", "stop", halves[1])
        cli.ended(halves[1])
    finally:
        assert cli.call("fleet", "apply", str(whole))[0] == 0


def test_only_an_operator_may_run_commands_here_or_who_a_policy_lets(cli: Cli) -> None:
    account = cli.connection.post("/accounts", dict[str, Any], {"name": "guest"})["id"]
    key = cli.connection.post("/keys", NewKey, {"name": "g", "account": account})
    guest = Connection(cli.craton.url, key.api_key, timeout_s=30)
    id = cli.detached("--", "true")
    cli.ended(id)
    with pytest.raises(NotFound):
        guest.get(f"/runs/{id}", dict[str, Any])
    ordered = "run-" + "0" * 24
    folder = cli.runs / ordered
    folder.mkdir(mode=0o700)
    order = {
        "command": ["echo", "guest"],
        "folder": "/",
        "environment": {"PATH": os.environ["PATH"]},
        "lease": {"pool": "local/craton.local", "hosts": 1},
    }
    (folder / "order.json").write_bytes(msgspec.json.encode(order))
    with pytest.raises(AccessDenied, match="craton:RunWorkload"):
        guest.post("/runs", dict[str, Any], {"id": ordered})
    allow = {"Effect": "Allow", "Action": "craton:*", "Resource": "*"}
    document = msgspec.json.encode({"Version": "2012-10-17", "Statement": [allow]})
    cli.connection.put(f"/accounts/{account}/policies/runs", dict[str, Any], document)
    begun = guest.post("/runs", dict[str, Any], {"id": ordered})
    assert begun["account"] == account
    assert cli.ended(ordered)["status"] == 0


def test_no_command_is_taken_over_the_network(cli: Cli) -> None:
    with pytest.raises(NotFound, match="no run"):
        cli.connection.post("/runs", dict[str, Any], {"id": "run-" + "1" * 24})
    with pytest.raises(NotFound, match="no run"):
        cli.connection.post("/runs", dict[str, Any], {"id": "../../elsewhere"})


def test_on_simulated_chips_nothing_runs_and_that_is_no_success(cli: Cli, tmp_path: Path) -> None:
    assert cli.call("fleet", "apply", str(EXAMPLE))[0] == 0
    made = tmp_path / "made"
    chips = ("--chip", "trainium2", "--chips", "128")
    status, out, err = cli.run(*chips, "--hours", "0.001", "--", "touch", str(made))
    assert (status, out) == (NOTHING_RAN, "")
    assert "simulated" in err
    assert "128 x trainium2 are held until" in err
    assert "it cost" in err
    assert not made.exists()
    told = "echo $CRATON_SIMULATED $WORLD_SIZE $RANK"
    status, out, err = cli.run(*chips, "--rehearse", "--", "sh", "-c", told)
    assert (status, out) == (0, "1 8 0\n")
    assert "rehearsal" in err
