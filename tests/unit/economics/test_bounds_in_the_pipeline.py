"""Budgets in the real pipeline: what commits, refusals, deaths and restarts do to their sums."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from craton.bootstrap.state_process import Economy, economy
from craton.economics.bounds import BUDGETS, Bounded, Period, Scope
from craton.economics.contract import (
    Balance,
    Balances,
    BalancesQuery,
    BoundsQuery,
    BudgetStatus,
    CreateBudget,
    Held,
    Hold,
    Posted,
    Void,
)
from craton.economics.meters import Meter, Outcome, UsageRecord
from craton.economics.prices import PriceBook, Tariff
from craton.economics.statements import balances
from craton.kernel.errors import BadRequest, BudgetExceeded, Conflict, Internal, Unavailable
from craton.kernel.ids import Ids
from craton.kernel.metrics import Metrics
from craton.store.body import packed, unpacked
from craton.store.client import StateClient
from craton.store.contract import Call
from craton.store.documents import Transaction
from craton.store.pipeline import Commands
from tests.fakes.databases import Place
from tests.fakes.state_process import StateProcess, until

PRICES = PriceBook(
    [Tariff("*", date(2026, 1, 1), "USD", {Meter.OUTPUT_TOKENS: 1_000_000}, "made up")]
)


class Treasury(StateProcess):
    """The state process with the real economy instead of notes."""

    awaited: tuple[str, ...] = ()
    economy: Economy

    def commands(self) -> Commands:
        parts = self.economy = economy(
            self.connection, PRICES, awaited=self.awaited, clock=self.clock, metrics=Metrics()
        )
        return Commands(
            memory={
                "hold": (Hold, parts.holds.take),
                "admit": (Hold, parts.admission.admit),
                "void": (Void, lambda _, void: parts.admission.void(void)),
            },
            batched={"post": (UsageRecord, parts.ledger.post)},
            single={
                "create_budget": (CreateBudget, parts.budgets.create),
                "create_and_refuse": (CreateBudget, self._create_and_refuse),
            },
            queries={"balances": (BalancesQuery, balances)},
            on_closed=parts.admission.closed,
            on_greeted=lambda session: parts.admission.greeted(session.process),
            published={BUDGETS.name: lambda change: change},
        )

    def _create_and_refuse(self, transaction: Transaction, command: CreateBudget) -> BudgetStatus:
        self.economy.budgets.create(transaction, command)
        raise BadRequest("The budget was made, and then refused.")

    def sums(self) -> tuple[int, int]:
        (status,) = self.economy.budgets.read(BoundsQuery()).budgets
        return status.spent_nanos, status.held_nanos

    def hold(self, output: int) -> Hold:
        at_ms = self.clock.now_ns() // 1_000_000
        id = Ids(self.clock).request_id()
        return Hold(id, "acc", "lab.model", at_ms, {"output_tokens": output}, "proj", "key")

    def record(self, hold: Hold, output: int) -> UsageRecord:
        at_ms = self.clock.now_ns() // 1_000_000
        return UsageRecord(
            hold.request_id, "acc", "proj", "key", "lab.model", "r", Outcome.COMPLETE, at_ms,
            {"output_tokens": output},
        )  # fmt: skip


BUDGET = CreateBudget("b", "acc", Scope.ACCOUNT, ("acc",), 100, "USD", Period.TOTAL)
encoded = msgspec.msgpack.encode


@pytest.fixture
async def state(tmp_path: Path, place: Place) -> AsyncIterator[Treasury]:
    made = Treasury(tmp_path, place=place)
    await made.start()
    yield made
    await made.close()


async def admit(client: StateClient, hold: Hold) -> Held:
    return await client.call("admit", hold, Held, resend=True)


async def test_money_above_64_bits_is_said_as_it_is(state: Treasury) -> None:
    client = await state.client()
    large = msgspec.structs.replace(BUDGET, amount_nanos=10**23 + 1)
    assert (await client.call("create_budget", large, BudgetStatus)).left_nanos == 10**23 + 1
    hold = state.hold(5 * 10**22)
    assert (await admit(client, hold)).amount == 5 * 10**22
    posted = await client.call("post", state.record(hold, 5 * 10**22), Posted)
    assert posted.amount == 5 * 10**22
    found = await client.call("balances", BalancesQuery(), Balances)
    assert found.balances == [
        Balance("customer/acc", "USD", 5 * 10**22, 5556, "50000000000000.00"),
        Balance("revenue/lab.model", "USD", -5 * 10**22, 5556, "-50000000000000.00"),
    ]
    assert state.sums() == (5 * 10**22, 0)


async def test_what_is_too_much_to_post_is_refused_and_its_group_is_kept(state: Treasury) -> None:
    client = await state.client()
    first, mad, last = state.hold(1), state.hold(1), state.hold(1)
    replies = [
        client.submit("post", packed(state.record(hold, used)), timeout_s=5, resend=True)
        for hold, used in ((first, 1), (mad, 10**30), (last, 2))
    ]
    commits = state.connection.commits
    answers = await asyncio.gather(*replies, return_exceptions=True)
    assert state.connection.commits == commits + 1
    assert isinstance(answers[1], Internal)
    assert [unpacked(answers[at], Posted).amount for at in (0, 2)] == [1, 2]  # type: ignore[arg-type]
    (customer, _) = (await client.call("balances", BalancesQuery(), Balances)).balances
    assert (customer.amount_nanos, customer.postings) == (3, 2)


async def test_a_refusal_arrives_with_the_time_to_wait(state: Treasury) -> None:
    client = await state.client()
    await client.call("create_budget", BUDGET, BudgetStatus)
    await admit(client, state.hold(60))
    with pytest.raises(BudgetExceeded) as refused:
        await admit(client, state.hold(60))
    assert refused.value.retry_after_s == 1


async def test_a_budget_is_in_force_for_every_worker_when_it_is_acknowledged(
    state: Treasury,
) -> None:
    known = [Bounded(), Bounded()]
    workers = [
        await state.client(f"gateway-{n}", on_change=lambda cs, b=b: [b.apply(c) for c in cs])  # type: ignore[misc]
        for n, b in enumerate(known)
    ]
    await workers[0].call("create_budget", BUDGET, BudgetStatus)
    assert [bounded.has("acc", "proj", "key", "lab.model") for bounded in known] == [True, True]


async def test_a_refused_budget_bounds_nobody(state: Treasury) -> None:
    client = await state.client()
    await client.call("create_budget", BUDGET, BudgetStatus)
    small = msgspec.structs.replace(BUDGET, amount_nanos=1)
    with pytest.raises(Conflict):
        await client.call("create_budget", small, BudgetStatus)
    other = msgspec.structs.replace(small, name="other")
    with pytest.raises(BadRequest):
        await client.call("create_and_refuse", other, BudgetStatus)
    await admit(client, state.hold(100))


async def test_a_post_that_was_not_committed_is_not_spent_and_frees_its_hold(
    state: Treasury,
) -> None:
    client = await state.client()
    await client.call("create_budget", BUDGET, BudgetStatus)
    hold = state.hold(60)
    await admit(client, hold)
    state.connection.fail_on = {"COMMIT"}
    with pytest.raises(Unavailable):
        await client.call("post", state.record(hold, 50), Posted, resend=True)
    state.connection.fail_on = set()
    assert state.sums() == (0, 0)
    await admit(client, state.hold(100))


async def test_spent_and_held_meet_at_the_commit_and_never_apart(state: Treasury) -> None:
    client = await state.client()
    await client.call("create_budget", BUDGET, BudgetStatus)
    hold = state.hold(60)
    await admit(client, hold)
    await client.call("post", state.record(hold, 50), Posted, resend=True)
    assert state.sums() == (50, 0)


async def test_the_hold_of_a_worker_that_died_lasts_until_the_post_it_sent_is_committed(
    state: Treasury,
) -> None:
    client, other = await state.client("gateway-0"), await state.client("gateway-1")
    await client.call("create_budget", BUDGET, BudgetStatus)
    hold = state.hold(60)
    await admit(client, hold)
    session = next(s for s in state.pipeline.sessions if s.process == "gateway-0")
    # What kill -9 looks like from here: the post was in the socket, then the connection ends, and
    # another worker asks, all in one turn of the loop.
    call = Call(7, "post", encoded(state.record(hold, 60)))
    state.pipeline._received(session.channel, [call])
    state.pipeline._closed(session.channel)
    with pytest.raises(BudgetExceeded):
        state.economy.admission.admit(other, state.hold(60))
    await until(lambda: state.sums() == (60, 0))


async def test_after_a_restart_nobody_is_let_in_before_every_worker_said_what_it_holds(
    state: Treasury,
) -> None:
    first, second = await state.client("gateway-0"), await state.client("gateway-1")
    await first.call("create_budget", BUDGET, BudgetStatus)
    hold = state.hold(80)
    await admit(second, hold)
    second.before_calls = lambda: [("hold", encoded(hold))]
    await state.stop()
    state.awaited = ("gateway-0", "gateway-1", "gateway-2")
    await state.start()
    asked = asyncio.ensure_future(admit(first, state.hold(30)))
    await until(lambda: {s.process for s in state.pipeline.sessions} >= {"gateway-0", "gateway-1"})
    await asyncio.sleep(0)
    assert not asked.done()
    await state.client("gateway-2")
    with pytest.raises(BudgetExceeded):
        await asked
    assert state.sums() == (0, 80)
    assert (await admit(first, state.hold(20))).amount == 20


async def test_a_request_that_waited_through_a_restart_is_asked_again_and_held_once(
    state: Treasury,
) -> None:
    state.awaited = ("gateway-0", "gateway-1")
    client = await state.client("gateway-0")
    await client.call("create_budget", BUDGET, BudgetStatus)
    await state.stop()
    await state.start()
    asked = asyncio.ensure_future(admit(client, state.hold(60)))
    await until(lambda: bool(state.economy.admission._waiting))
    await state.stop()
    await state.start()
    await until(lambda: bool(state.economy.admission._waiting))
    await state.client("gateway-1")
    assert (await asked).amount == 60
    assert state.sums() == (0, 60)
