import asyncio

import pytest

from craton.kernel.errors import BadRequest, Conflict, Internal, Unavailable
from craton.store.contract import AllMetrics, ReadMetrics
from tests.fakes.state_process import Count, Note, Snapshot, StateProcess


async def test_a_command_is_durable_when_its_reply_arrives(state: StateProcess) -> None:
    client = await state.client()
    await client.call("add", Note("one"), Note)
    assert state.rows() == ["one"]


async def test_no_reply_leaves_before_the_commit(state: StateProcess) -> None:
    """The order is: COMMIT returns, then the reply is sent. Seen from inside the commit."""
    client = await state.client()
    sent_before_commit: list[int] = []

    def count_sent() -> None:
        (session,) = state.pipeline.sessions
        sent_before_commit.append(len(session.channel._outgoing))

    state.connection.before_commit = count_sent
    await client.call("add_many", Note("one"), Note)
    await client.call("add", Note("two"), Note)
    assert sent_before_commit == [0, 0]


async def test_commands_of_one_turn_share_one_commit(state: StateProcess) -> None:
    client = await state.client()
    before = state.connection.commits
    calls = [client.call("add_many", Note(f"n{i:03}"), Note) for i in range(200)]
    calls += [client.call("add", Note(f"s{i:03}"), Note) for i in range(50)]
    replies = await asyncio.gather(*calls)
    assert [reply.id for reply in replies[:3]] == ["n000", "n001", "n002"]
    assert len(state.rows()) == 250
    assert state.connection.commits - before <= 2


async def test_replies_reach_the_call_they_answer(state: StateProcess) -> None:
    client = await state.client()
    names = [f"n{i}" for i in range(100)]
    replies = await asyncio.gather(
        *(
            client.call("add_many" if i % 2 else "add", Note(name), Note)
            for i, name in enumerate(names)
        )
    )
    assert [reply.id for reply in replies] == names


async def test_a_refused_command_leaves_no_trace_and_spares_its_group(state: StateProcess) -> None:
    client = await state.client()
    results = await asyncio.gather(
        client.call("add", Note("before"), Note),
        client.call("add", Note("bad", "refuse after writing"), Note),
        client.call("add", Note("after"), Note),
        client.call("add_many", Note("batched"), Note),
        return_exceptions=True,
    )
    assert isinstance(results[1], BadRequest)
    assert state.rows() == ["after", "batched", "before"]


async def test_a_refused_command_is_not_published(state: StateProcess) -> None:
    snapshot = Snapshot()
    client = await state.client(on_change=snapshot)
    with pytest.raises(BadRequest):
        await client.call("add", Note("bad", "refuse after writing"), Note)
    await client.call("add", Note("good"), Note)
    assert [change.id for change in snapshot.changes] == ["good"]


async def test_an_error_keeps_its_kind_and_words_across_the_socket(state: StateProcess) -> None:
    client = await state.client()
    await client.call("add", Note("one"), Note)
    with pytest.raises(Conflict, match="'one' exists already"):
        await client.call("add", Note("one"), Note)
    with pytest.raises(BadRequest, match=r"No x\."):
        await client.call("refuse", Note("x"), Note)


@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN"])
async def test_a_failed_commit_refuses_all_and_keeps_nothing(
    state: StateProcess, statement: str
) -> None:
    client = await state.client()
    await client.call("add_private", Note("kept"), Note)
    begin = state.connection.dialect.begin
    state.connection.fail_on = {begin if statement == "BEGIN" else statement}
    results = await asyncio.gather(
        *(client.call("add_many", Note(f"n{i}"), Note) for i in range(5)),
        client.call("add", Note("single"), Note),
        return_exceptions=True,
    )
    assert all(isinstance(result, Unavailable) for result in results)
    assert "nothing was done or billed" in str(results[0])
    assert state.rows() == ["kept"]
    assert b"commit_failed" in state.log.getvalue()
    state.connection.fail_on = set()
    await client.call("add", Note("later"), Note)
    assert state.rows() == ["kept", "later"]


async def test_a_refused_command_takes_back_what_it_changed_in_memory(state: StateProcess) -> None:
    client = await state.client()
    await asyncio.gather(
        client.call("add_remembered", Note("before"), Note),
        client.call("add_remembered", Note("bad", "refuse after writing"), Note),
        client.call("add_remembered", Note("after"), Note),
        return_exceptions=True,
    )
    assert state.remembered == ["before", "after"]


async def test_a_failed_commit_takes_back_what_its_commands_changed_in_memory(
    state: StateProcess,
) -> None:
    client = await state.client()
    await client.call("add_remembered", Note("kept"), Note)
    state.connection.fail_on = {"COMMIT"}
    await asyncio.gather(
        *(client.call("add_remembered", Note(f"n{i}"), Note) for i in range(3)),
        return_exceptions=True,
    )
    assert state.remembered == ["kept"]


async def test_a_failed_commit_is_not_published(state: StateProcess) -> None:
    snapshot = Snapshot()
    client = await state.client(on_change=snapshot)
    state.connection.fail_on = {"COMMIT"}
    with pytest.raises(Unavailable):
        await client.call("add", Note("lost"), Note)
    assert snapshot.notes == {}


async def test_a_query_reads_what_was_committed(state: StateProcess) -> None:
    client = await state.client()
    await client.call("add", Note("one"), Note)
    assert await client.call("count", Note(""), Count) == Count(1)


async def test_a_fault_in_a_query_is_internal_and_logged(state: StateProcess) -> None:
    client = await state.client()
    with pytest.raises(Internal):
        await client.call("crash", Note(""), Count)
    assert b"query_failed" in state.log.getvalue()


async def test_an_unknown_command_is_our_fault_and_says_its_name(state: StateProcess) -> None:
    client = await state.client()
    with pytest.raises(Internal, match="no command 'nonsense'"):
        await client.call("nonsense", Note(""), Note)


async def test_more_commands_than_a_group_holds_are_all_committed(state: StateProcess) -> None:
    client = await state.client()
    before = state.connection.commits
    # Patience for a slow disk: how long it takes isn't what is promised.
    notes = [Note(f"{i:05}") for i in range(5000)]
    await asyncio.gather(*(client.call("add_many", each, Note, timeout_s=90) for each in notes))
    assert len(state.rows()) == 5000
    assert 3 <= state.connection.commits - before <= 6


async def test_counters_of_every_process_can_be_read(state: StateProcess) -> None:
    client = await state.client("gateway-7", metrics=lambda: b"\x90")
    await client.call("add", Note("one"), Note)
    found = await client.call("metrics", ReadMetrics(), AllMetrics)
    assert [process.process for process in found.processes] == ["state", "gateway-7"]


async def test_what_was_written_is_there_after_a_restart(state: StateProcess) -> None:
    client = await state.client()
    await client.call("add", Note("one"), Note)
    await state.stop()
    await state.start()
    assert state.rows() == ["one"]
    await client.call("add", Note("two"), Note, resend=True)
    assert state.rows() == ["one", "two"]
