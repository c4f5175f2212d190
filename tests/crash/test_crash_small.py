"""The small form of `python -m tests.crash`: the same trial with a few kills."""

from pathlib import Path

import pytest

from craton.economics.contract import UsageLine, Verdict
from tests.crash.client import Told, read_answer
from tests.crash.killing import Killings
from tests.crash.trial import Outcome, Plan, compare, run_trial
from tests.fakes.postgresql import PostgreSqlServer


async def test_no_acknowledged_answer_is_lost_or_billed_twice_under_kill_9(tmp_path: Path) -> None:
    plan = Plan(data=tmp_path / "data", kills=12, clients=6, workers=2, pause_s=0.1)
    outcome = await run_trial(plan)
    assert outcome.faults == []
    assert outcome.killings.total >= 12
    assert set(outcome.killings.kills) == {"state", "fleet-keeper", "gateway-0", "gateway-1"}
    assert outcome.acknowledged > 20


async def test_a_budget_that_is_nearly_empty_is_never_overdrawn_under_kill_9(
    tmp_path: Path,
) -> None:
    plan = Plan(
        data=tmp_path / "data", kills=12, clients=8, workers=2, pause_s=0.2, seed=2, budget=True
    )
    outcome = await run_trial(plan)
    assert outcome.faults == []
    assert outcome.purse is not None
    assert (outcome.purse.overdrawn, outcome.purse.rounds > 0) == (0, True)


async def test_none_is_lost_either_when_the_database_server_is_killed(
    tmp_path: Path, postgresql: PostgreSqlServer
) -> None:
    plan = Plan(
        data=tmp_path / "data",
        kills=12,
        clients=6,
        workers=2,
        pause_s=0.1,
        server=postgresql,
        database=postgresql.database(),
    )
    outcome = await run_trial(plan)
    assert outcome.faults == []
    assert outcome.killings.total >= 12
    assert {"state", "gateway-0", "gateway-1"} < set(outcome.killings.kills)
    assert any(victim.startswith("postgresql") for victim in outcome.killings.kills)
    assert outcome.acknowledged > 20


def line(request_id: str, *, output: int = 3) -> UsageLine:
    return UsageLine(
        request_id, 0, "a", "p", "k", "m", "r", "complete",
        {"input_tokens": 3, "output_tokens": output}, 6, "USD", "0.000000006",
    )  # fmt: skip


def told(request_id: str, *, acknowledged: bool = True, text: str = "a") -> Told:
    usage = {"prompt_tokens": 3, "completion_tokens": 3}
    return Told(3, True, request_id, 200, text, usage if acknowledged else None, acknowledged)


def outcome(notes: list[Told], records: list[UsageLine], **verdict: int) -> Outcome:
    figures = {"usage_records": len(records), "transactions": 0, "postings": 0, "sum_nanos": 0}
    return Outcome(Killings(), notes, records, Verdict(**{**figures, **verdict}, faults=[]))


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (outcome([told("1"), told("2")], [line("1")]), "2 was acknowledged and has no record"),
        (outcome([told("1")], [line("1"), line("1")]), "1 has 2 records"),
        (outcome([told("1")], [line("1", output=4)]), "saw (3, 3), the record has (3, 4)"),
        (outcome([told("1")], [line("1")], sum_nanos=5), "the ledger sums to 5"),
        (outcome([told("1"), told("1")], [line("1")]), "two answers had the id 1"),
        (outcome([], []), "nothing was acknowledged"),
    ],
)  # fmt: skip
def test_the_comparison_sees(found: Outcome, fault: str) -> None:
    compare(found)
    assert any(fault in text for text in found.faults), found.faults


def test_what_is_billed_or_delivered_alone_is_counted_apart() -> None:
    found = outcome(
        [told("1"), told("2", acknowledged=False), told("3", acknowledged=False)],
        [line("1"), line("2"), line("4")],
    )
    compare(found)
    assert found.faults == []
    assert found.billed_unacknowledged == 2
    assert found.delivered_unbilled == 1


HEAD = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b'data: {"choices":[{"delta":{"content":"hi"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


def chunked(*frames: bytes, whole: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames)
    return HEAD + body + (b"0\r\n\r\n" if whole else b"")


@pytest.mark.parametrize(
    ("answer", "acknowledged", "faults"),
    [
        (chunked(CHUNK, USAGE, DONE), True, 0),
        (chunked(CHUNK, USAGE, DONE, whole=False), True, 0),
        (chunked(CHUNK, USAGE, whole=False), False, 0),
        (chunked(CHUNK, USAGE), False, 1),
        (chunked(CHUNK, DONE), True, 1),
        (chunked(CHUNK, DONE[:8], whole=False), False, 0),
        (chunked(CHUNK, USAGE, DONE, CHUNK), True, 1),
        (HEAD[:30], False, 0),
        (b"", False, 0),
    ],
)
def test_an_answer_is_acknowledged_by_its_terminal_frame_only(
    answer: bytes, acknowledged: bool, faults: int
) -> None:
    note = Told(1, streamed=True)
    read_answer(answer, note)
    assert note.is_acknowledged is acknowledged
    assert len(note.faults) == faults
