"""What a shim is made of: when it ends a workload, whose chips it touches, what ranks see."""

import fcntl
import os
from pathlib import Path

import pytest

from craton.bootstrap.chip_environment import NEURON_CORES, chip_environment, part_environment
from craton.bootstrap.discovery import PROCESSOR
from craton.bootstrap.shim_ending import Step, next_step
from craton.bootstrap.shim_locks import ChipLocks
from craton.bootstrap.shim_output import LINE_BYTES_MAX, Output
from craton.bootstrap.shim_processes import Marked, find_marked, kill_marked
from craton.fleet import run_records
from craton.fleet.records import Part
from craton.fleet.run_log import LogWriter, read_log
from craton.kernel.errors import AccessDenied, Conflict
from craton.silicon.catalogue import load_catalogue


def steps(ends_s: float, grace_s: float) -> list[tuple[Step, float]]:
    done, found = Step.NOTHING, []
    while done is not Step.KILL:
        done, at_s = next_step(ends_s, grace_s, done)
        found.append((done, at_s))
    return found


def test_two_minutes_ahead_it_is_told_then_asked_then_ended_before_the_lease_is_over() -> None:
    assert steps(1000, 30) == [(Step.NOTICE, 880), (Step.TERMINATE, 968), (Step.KILL, 998)]


def test_notice_comes_no_later_than_the_signal() -> None:
    assert steps(1000, 200) == [(Step.NOTICE, 798), (Step.TERMINATE, 798), (Step.KILL, 998)]


def never() -> bool:
    return False


async def test_a_chip_remembers_the_highest_token_and_turns_lower_ones_away(
    tmp_path: Path,
) -> None:
    with ChipLocks(tmp_path, ("chip-0", "chip-1"), 8) as locks:
        await locks.take(never)
    with ChipLocks(tmp_path, ("chip-1",), 7) as locks, pytest.raises(AccessDenied, match="token 8"):
        await locks.take(never)
    with ChipLocks(tmp_path, ("chip-0",), 8) as locks:
        await locks.take(never)
    with ChipLocks(tmp_path, ("chip-0",), 12) as locks:
        await locks.take(never)
    assert (tmp_path / "chip-0").read_text() == "12"
    assert (tmp_path / "chip-1").read_text() == "8"


async def test_a_chip_that_is_used_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    with ChipLocks(tmp_path, ("chip-0",), 1) as first:
        await first.take(never)
        with ChipLocks(tmp_path, ("chip-0",), 2) as second:
            with pytest.raises(Conflict, match="still used by another workload"):
                await second.take(never, wait_s=0.05)
            await second.take(lambda: True)  # given up: no wait, and no lock
    handle = os.open(tmp_path / "chip-0", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)


async def test_workloads_on_parts_of_a_chip_share_it_in_any_order_and_with_nobody_who_has_it_whole(
    tmp_path: Path,
) -> None:
    chip = ("chip-0",)
    with ChipLocks(tmp_path, chip, 5, is_part=True) as later:
        await later.take(never)
        with ChipLocks(tmp_path, chip, 4, is_part=True) as earlier:
            await earlier.take(never)
        with ChipLocks(tmp_path, chip, 6) as whole, pytest.raises(Conflict, match="still used"):
            await whole.take(never, wait_s=0.05)
    with ChipLocks(tmp_path, chip, 6) as whole:
        await whole.take(never)
        part = ChipLocks(tmp_path, chip, 7, is_part=True)
        with part, pytest.raises(Conflict, match="still used"):
            await part.take(never, wait_s=0.05)


async def test_the_highest_token_of_a_part_turns_away_a_lower_one_of_the_whole_chip_and_back(
    tmp_path: Path,
) -> None:
    chip = ("chip-0",)
    for token in (8, 6, 9, 7):
        with ChipLocks(tmp_path, chip, token, is_part=True) as part:
            await part.take(never)
    with ChipLocks(tmp_path, chip, 8) as whole, pytest.raises(AccessDenied, match="token 9"):
        await whole.take(never)
    with ChipLocks(tmp_path, chip, 10) as whole:
        await whole.take(never)
    late = ChipLocks(tmp_path, chip, 9, is_part=True)
    with late, pytest.raises(AccessDenied, match="token 10"):
        await late.take(never)


def test_a_workload_is_told_which_part_it_has() -> None:
    part = Part(chip_milli=250, cpu_milli=6000, memory_mib=512, milli=250)
    told = {"CRATON_CHIP_MILLI": "250", "CRATON_CPU_MILLI": "6000", "CRATON_MEMORY_MIB": "512"}
    assert part_environment("cpu", part) == told
    assert part_environment("h200", part) == {**told, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "25"}
    whole = Part(cpu_milli=6000, memory_mib=512, milli=1000)
    assert part_environment("h200", whole) == {**told, "CRATON_CHIP_MILLI": "1000"}
    assert part_environment("h200", None) == {}


@pytest.mark.parametrize(
    ("chip", "variable", "value"),
    [
        ("cpu", "CRATON_CHIPS", "2,3"),
        ("h200", "CUDA_VISIBLE_DEVICES", "2,3"),
        ("trainium1", "NEURON_RT_VISIBLE_CORES", "4-5,6-7"),
        ("trainium2", "NEURON_RT_VISIBLE_CORES", "8-11,12-15"),
    ],
)
def test_a_rank_is_shown_its_chips_in_their_makers_words(
    chip: str, variable: str, value: str
) -> None:
    shown = chip_environment(chip, [2, 3])
    assert shown == {"CRATON_CHIPS": "2,3", variable: value}


def test_cores_of_neuron_chips_are_those_of_the_catalogue() -> None:
    catalogue = load_catalogue()
    assert {name: catalogue.chip(name).ranks for name in NEURON_CORES} == NEURON_CORES
    assert run_records.PROCESSOR == PROCESSOR


async def test_lines_of_ranks_do_not_mix_and_an_endless_one_is_cut(tmp_path: Path) -> None:
    log = LogWriter(tmp_path)
    one, two = Output(log, b"[0] "), Output(log, b"[1] ")
    one.data_received(b"hel")
    two.data_received(b"a\nb")
    one.data_received(b"lo\n")
    two.connection_lost(None)
    one.data_received(b"x" * LINE_BYTES_MAX)
    text = read_log(tmp_path, 0, 1_000_000).text
    assert text.startswith("[1] a\n[0] hello\n[1] b\n[0] xxx")
    assert text.endswith("x\n")


async def test_one_rank_alone_is_written_as_it_comes(tmp_path: Path) -> None:
    log = LogWriter(tmp_path)
    Output(log, b"").data_received(b"50%\r")
    assert read_log(tmp_path, 0, 100).text == "50%\r"


def process(root: Path, pid: int, environ: bytes, env_end: int = 7, program: str = "/x") -> None:
    path = root / str(pid)
    path.mkdir()
    (path / "environ").write_bytes(environ)
    (path / "stat").write_text(f"{pid} (a ) S) R {'1 ' * 47}{env_end} 0\n")
    if program:
        (path / "exe").symlink_to(program)


def test_processes_of_a_run_are_known_by_their_whole_mark(tmp_path: Path) -> None:
    process(tmp_path, 10, b"A=1\0CRATON_RUN=run-a\0")
    process(tmp_path, 11, b"CRATON_RUN=run-ab\0")
    process(tmp_path, 12, b"")
    (tmp_path / "13").mkdir()
    assert find_marked("run-a", tmp_path) == Marked([10], is_sure=True)


def test_a_process_amid_an_exec_may_be_of_the_run_and_needs_another_look(tmp_path: Path) -> None:
    process(tmp_path, 2, b"", env_end=0, program="")  # a thread of the kernel
    assert not kill_marked("run-a", tmp_path)
    process(tmp_path, 10, b"", env_end=0)
    assert kill_marked("run-a", tmp_path)
    assert find_marked("run-a", tmp_path) == Marked([], is_sure=False)
