"""Whether a worker of before may hold a lease: after a kill, or a state process before this one."""

import sys
from pathlib import Path

from craton.bootstrap import up
from craton.bootstrap.settings import Settings
from craton.bootstrap.state_process import is_first
from craton.bootstrap.supervisor import Spec, Supervisor
from craton.kernel.clock import SystemClock
from craton.kernel.log import Log


def settings(folder: Path, **more: object) -> Settings:
    return Settings(data=folder, run=folder, **more)  # type: ignore[arg-type]


def test_a_new_folder_and_one_whose_processes_all_ended_hold_no_lease(tmp_path: Path) -> None:
    given = settings(tmp_path)
    assert up._mark_started(given)
    given.started.unlink()  # as when all has ended
    assert up._mark_started(given)


def test_after_a_kill_a_worker_may_be_alive(tmp_path: Path) -> None:
    assert up._mark_started(settings(tmp_path))
    assert not up._mark_started(settings(tmp_path))


def test_a_database_that_others_reach_may_have_had_another_craton(tmp_path: Path) -> None:
    assert not up._mark_started(settings(tmp_path, postgresql="postgresql://u@h/d"))


def test_only_the_first_state_process_of_a_start_is_first(tmp_path: Path) -> None:
    given = settings(tmp_path, is_alone=True)
    assert is_first(given)
    assert not is_first(given)


def test_beside_workers_of_before_even_the_first_is_not(tmp_path: Path) -> None:
    assert not is_first(settings(tmp_path, is_alone=False))


async def test_a_supervisor_has_ended_when_each_child_was_waited_for() -> None:
    supervisor = Supervisor(clock=SystemClock(), log=Log("test"), output=None)
    supervisor.start(Spec("child", (sys.executable, "-c", "input()")))
    assert not supervisor.has_ended
    await supervisor.close()
    assert supervisor.has_ended
