"""The folder of runs: ids that lead nowhere else, records that are whole or not there."""

from pathlib import Path

import pytest

from craton.fleet.instance_types import LOCAL
from craton.fleet.office import LOCAL_SITE
from craton.fleet.run_folder import RunFolder
from craton.fleet.run_records import HERE, Order, Started, StopAsked
from craton.kernel.clock import ManualClock
from craton.kernel.errors import Conflict, NotFound
from craton.kernel.ids import Ids

ORDER = Order(command=("true",), folder="/", environment={}, lease={"hosts": 1})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs")


def test_runs_are_listed_by_the_time_they_were_ordered(folder: RunFolder) -> None:
    clock = ManualClock()
    ids = Ids(clock)
    made: list[str] = []
    for _ in range(3):
        made.append(folder.order(ids, ORDER))
        clock.advance(seconds=0.002)
    assert folder.ids() == made
    assert folder.get(made[0], Order) == ORDER
    assert folder.find(made[0], Started) is None
    (folder.root / "chips").mkdir()
    assert len(folder.ids()) == 3


def test_what_lies_there_is_private(folder: RunFolder) -> None:
    id = folder.order(Ids(ManualClock()), ORDER)
    assert folder.root.stat().st_mode & 0o777 == 0o700
    assert folder.path(id).stat().st_mode & 0o777 == 0o700
    assert (folder.path(id) / "order.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("id", ["", "..", "run-1", "../credentials.json", "run-" + "0" * 25])
def test_an_id_that_is_none_leads_nowhere(folder: RunFolder, id: str) -> None:
    with pytest.raises(NotFound, match="no run"):
        folder.find(id, Order)


def test_a_damaged_record_says_which_and_what_to_do(folder: RunFolder) -> None:
    id = folder.order(Ids(ManualClock()), ORDER)
    (folder.path(id) / "stop.json").write_text("{")
    with pytest.raises(Conflict, match=r"stop\.json is damaged"):
        folder.find(id, StopAsked)


def test_it_is_looked_through_again_only_when_runs_came_or_went(folder: RunFolder) -> None:
    ids = Ids(ManualClock())
    assert not folder.is_touched()
    id = folder.order(ids, ORDER)
    assert [folder.is_touched() for _ in range(4)] == [True, True, False, False]
    folder.drop(id)
    assert folder.is_touched()


def test_the_pool_of_this_machine_is_called_as_the_fleet_calls_it() -> None:
    assert f"{LOCAL_SITE}/{LOCAL}" == HERE
