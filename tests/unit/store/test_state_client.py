import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from craton.kernel.channel import Channel
from craton.kernel.clock import ManualClock
from craton.kernel.errors import Unavailable
from craton.store import client as client_module
from craton.store.contract import LEASE_S, Beat, FromState, Hello
from tests.fakes.databases import Place
from tests.fakes.state_process import Note, Snapshot, StateProcess, until


def encoded(body: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(body)


async def test_a_new_worker_gets_the_whole_snapshot_before_it_opens(state: StateProcess) -> None:
    writer = await state.client("writer", leased=False)
    await asyncio.gather(*(writer.call("add", Note(f"n{i:04}"), Note) for i in range(2500)))
    snapshot = Snapshot()
    await state.client(on_change=snapshot)
    assert sorted(snapshot.notes) == [f"n{i:04}" for i in range(2500)]


async def test_only_published_kinds_are_told(state: StateProcess) -> None:
    snapshot = Snapshot()
    client = await state.client(on_change=snapshot)
    await client.call("add_private", Note("private"), Note)
    await client.call("add", Note("public"), Note)
    assert list(snapshot.notes) == ["public"]


async def test_a_change_has_reached_every_worker_when_it_is_acknowledged(
    state: StateProcess,
) -> None:
    snapshots = [Snapshot() for _ in range(3)]
    clients = [await state.client(f"worker-{i}", on_change=s) for i, s in enumerate(snapshots)]
    await clients[0].call("add", Note("one", "first"), Note)
    assert [s.notes for s in snapshots] == [{"one": "first"}] * 3
    await clients[1].call("put", Note("one", "second"), Note)
    assert [s.notes for s in snapshots] == [{"one": "second"}] * 3
    await clients[2].call("remove", Note("one"), Note)
    assert [s.notes for s in snapshots] == [{}] * 3


async def test_after_a_restart_vanished_documents_leave_the_snapshot(state: StateProcess) -> None:
    snapshot = Snapshot()
    client = await state.client(on_change=snapshot)
    await client.call("add", Note("stays"), Note)
    await client.call("add", Note("goes"), Note)
    await state.stop()
    state.place.run("DELETE FROM documents WHERE id = 'goes'")
    state.place.run("UPDATE documents SET body = ?", msgspec.json.encode(Note("stays", "new")))
    await state.start()
    await until(lambda: snapshot.notes == {"stays": "new"})


async def test_a_post_in_flight_is_sent_again_and_done_once(state: StateProcess) -> None:
    """The state process dies after its commit and before its reply."""
    client = await state.client()
    died = asyncio.Event()

    def die() -> None:
        for session in state.pipeline.sessions:
            session.channel._transport.abort()  # type: ignore[union-attr]
        died.set()

    state.connection.before_commit = die
    call = asyncio.ensure_future(
        client.submit("add_many", encoded(Note("once")), timeout_s=5, resend=True)
    )
    await died.wait()
    await state.stop()
    assert state.rows() == ["once"]
    assert not call.done()
    await state.start()
    await call
    assert state.rows() == ["once"]
    assert [note.id for note in state.seen] == ["once", "once"]


async def test_posts_made_while_the_state_process_is_down_arrive_when_it_is_back(
    state: StateProcess,
) -> None:
    client = await state.client()
    await state.stop()
    calls = [
        asyncio.ensure_future(
            client.submit("add_many", encoded(Note(f"n{i}")), timeout_s=5, resend=True)
        )
        for i in range(10)
    ]
    await asyncio.sleep(0)
    await state.start()
    await asyncio.gather(*calls)
    assert state.rows() == [f"n{i}" for i in range(10)]


async def test_a_command_that_may_have_been_done_is_not_sent_again_unasked(
    state: StateProcess,
) -> None:
    client = await state.client()
    state.connection.before_commit = lambda: None
    call = asyncio.ensure_future(client.call("add", Note("maybe"), Note))
    await asyncio.sleep(0)  # the call is queued, and its connection breaks now
    await state.stop()
    await state.start()
    with pytest.raises(Unavailable, match="may have done it"):
        await call


async def test_a_call_is_given_up_after_its_limit(state: StateProcess) -> None:
    client = await state.client()
    await state.stop()
    with pytest.raises(Unavailable, match="did not answer in time"):
        await client.call("add", Note("late"), Note, timeout_s=0.02, resend=True)
    await state.start()
    await client.call("add_private", Note("next"), Note, resend=True)
    assert state.rows() == ["next"]  # what was given up is not sent later


async def test_calls_over_the_limit_are_refused(
    state: StateProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CALLS_MAX", 3)
    client = await state.client()
    await state.stop()
    waiting = [
        asyncio.ensure_future(client.call("add", Note(str(i)), Note, resend=True)) for i in range(3)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="Too many requests wait"):
        await client.call("add", Note("4"), Note)
    await client.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)


async def test_holds_die_with_their_connection(state: StateProcess) -> None:
    client = await state.client("one")
    other = await state.client("other")
    await client.call("hold", Note("h1"), Note)
    await other.call("hold", Note("h2"), Note)
    assert set(state.holds) == {"h1", "h2"}
    await client.close()
    await until(lambda: set(state.holds) == {"h2"})


async def test_open_holds_are_taken_again_from_a_new_state_process(state: StateProcess) -> None:
    client = await state.client()
    client.before_calls = lambda: [("hold", encoded(Note("h1")))]
    await client.call("hold", Note("h1"), Note)
    await state.stop()
    assert state.holds == {}
    await state.start()
    await until(lambda: "h1" in state.holds)


async def test_a_held_request_posts_after_its_hold_is_asserted_again(state: StateProcess) -> None:
    """The order on a new connection: holds first, then what waits, so that a post releases it."""
    client = await state.client()
    client.before_calls = lambda: [("hold", encoded(Note("h1")))]
    await state.stop()
    held_at_commit: list[set[str]] = []
    call = asyncio.ensure_future(
        client.submit("add_many", encoded(Note("h1")), timeout_s=5, resend=True)
    )
    await asyncio.sleep(0)
    await state.start()
    state.connection.before_commit = lambda: held_at_commit.append(set(state.holds))
    await call
    assert held_at_commit == [{"h1"}]


class RawWorker:
    """A leased worker that says exactly what a test tells it to, and nothing by itself."""

    def __init__(self, state: StateProcess) -> None:
        self.messages: list[object] = []
        self._state = state

    async def connect(self) -> None:
        def keep(_: object, messages: object) -> None:
            self.messages += messages  # type: ignore[operator]

        loop = asyncio.get_running_loop()
        _, self.channel = await loop.create_unix_connection(
            lambda: Channel(FromState, on_messages=keep), self._state.socket
        )

    def beat(self, version: int) -> None:
        self.channel.send(Beat(version, 0))


async def raw_worker(state: StateProcess) -> RawWorker:
    worker = RawWorker(state)
    await worker.connect()
    worker.channel.send(Hello("raw", leased=True))
    worker.beat(1)
    await until(lambda: any(type(m).__name__ == "Beaten" for m in worker.messages))
    return worker


def changed_versions(worker: RawWorker) -> list[int]:
    return [m.version for m in worker.messages if type(m).__name__ == "Changed"]  # type: ignore[attr-defined]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock, place: Place) -> AsyncIterator[StateProcess]:
    process = StateProcess(tmp_path, clock=clock, place=place)
    await process.start()
    yield process
    await process.close()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_a_change_is_acknowledged_only_once_each_leased_worker_has_it(
    timed: StateProcess,
) -> None:
    slow = await raw_worker(timed)
    client = await timed.client("native", leased=False)
    call = asyncio.ensure_future(client.call("add", Note("one"), Note))
    await until(lambda: bool(changed_versions(slow)))
    await settle()
    assert timed.rows() == ["one"]  # durable, published, and not yet acknowledged
    assert not call.done()
    slow.beat(changed_versions(slow)[-1] - 1)
    await settle()
    assert not call.done()
    slow.beat(changed_versions(slow)[-1])
    assert await call == Note("one")
    slow.channel.close()


async def test_a_post_beside_a_change_does_not_wait_for_the_workers(timed: StateProcess) -> None:
    slow = await raw_worker(timed)
    client = await timed.client("native", leased=False)
    change = asyncio.ensure_future(client.call("add", Note("one"), Note))
    post = asyncio.ensure_future(client.call("add_many", Note("two"), Note))
    assert await post == Note("two")
    assert sorted(timed.rows()) == ["one", "two"]
    assert not change.done()
    slow.beat(changed_versions(slow)[-1])
    assert await change == Note("one")
    slow.channel.close()


async def test_a_silent_worker_holds_a_change_back_until_its_lease_has_run_out(
    timed: StateProcess, clock: ManualClock
) -> None:
    silent = await raw_worker(timed)
    client = await timed.client("native", leased=False)
    call = asyncio.ensure_future(client.call("add", Note("one"), Note))
    await until(lambda: bool(changed_versions(silent)))
    clock.advance(seconds=LEASE_S * 0.99)
    timed.pipeline.release_waiting()
    await settle()
    assert not call.done()
    clock.advance(seconds=LEASE_S * 0.02)
    timed.pipeline.release_waiting()
    assert await call == Note("one")
    silent.channel.close()


async def test_processes_without_a_lease_hold_nothing_back(timed: StateProcess) -> None:
    worker = RawWorker(timed)
    await worker.connect()
    worker.channel.send(Hello("supervisor", leased=False))
    client = await timed.client("native", leased=False)
    assert await client.call("add", Note("one"), Note) == Note("one")
    worker.channel.close()


async def test_commands_that_publish_nothing_wait_for_no_worker(timed: StateProcess) -> None:
    silent = await raw_worker(timed)
    client = await timed.client("native", leased=False)
    await client.call("add_many", Note("one"), Note)
    silent.channel.close()


async def test_a_lease_runs_from_when_its_beat_was_sent(
    timed: StateProcess, clock: ManualClock
) -> None:
    client = await timed.client("worker", leased=True)
    await client.wait_leased(5)
    assert client.is_leased
    clock.advance(seconds=LEASE_S * 0.99)
    assert client.is_leased
    clock.advance(seconds=LEASE_S * 0.02)
    assert not client.is_leased


async def test_waiting_for_a_lease_ends_with_a_clear_error(
    timed: StateProcess, clock: ManualClock
) -> None:
    client = await timed.client("worker", leased=True)
    await timed.stop()
    clock.advance(seconds=2 * LEASE_S)
    with pytest.raises(Unavailable, match="no request can be admitted"):
        await client.wait_leased(0.02)


async def test_a_lease_comes_back_with_the_state_process(
    timed: StateProcess, clock: ManualClock
) -> None:
    client = await timed.client("worker", leased=True)
    await timed.stop()
    clock.advance(seconds=2 * LEASE_S)
    assert not client.is_leased
    await timed.start()
    await client.wait_leased(5)
    assert client.is_leased


async def test_a_worker_whose_connection_broke_holds_changes_back_while_its_lease_runs(
    timed: StateProcess, clock: ManualClock
) -> None:
    """Its snapshot is stale and it may serve from it until the lease ends, connected or not."""
    cut_off = await raw_worker(timed)
    client = await timed.client("native", leased=False)
    cut_off.channel._transport.abort()  # type: ignore[union-attr]
    await until(lambda: len(list(timed.pipeline.sessions)) == 1)
    call = asyncio.ensure_future(client.call("add", Note("one"), Note))
    await settle()
    assert timed.rows() == ["one"]
    assert not call.done()
    clock.advance(seconds=LEASE_S * 1.01)
    timed.pipeline.release_waiting()
    assert await call == Note("one")


async def test_the_first_state_process_holds_no_change_back(timed: StateProcess) -> None:
    await timed.stop()
    await timed.start(is_first=True)
    client = await timed.client("native", leased=False)
    assert await client.call("add", Note("one"), Note) == Note("one")


async def test_a_new_state_process_holds_changes_back_while_old_leases_may_run(
    timed: StateProcess, clock: ManualClock
) -> None:
    """Workers that have not come back yet may serve from leases the old process gave."""
    await timed.stop()
    await timed.start(old_leases_run=True)
    client = await timed.client("native", leased=False)
    call = asyncio.ensure_future(client.call("add", Note("one"), Note))
    await until(lambda: timed.rows() == ["one"])
    await settle()
    assert not call.done()
    clock.advance(seconds=LEASE_S * 1.01)
    timed.pipeline.release_waiting()
    assert await call == Note("one")
