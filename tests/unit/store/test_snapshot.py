"""A worker's first snapshot, however large: in pieces, beside other work, and right at its end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from craton.kernel.channel import Channel
from craton.store.client import StateClient
from craton.store.contract import Beat, Beaten, Changed, FromState, Hello, Synced
from craton.store.kind import Change
from craton.store.pipeline import SNAPSHOT_CHANGES_MAX
from tests.fakes.state_process import NOTES, Note, Snapshot, StateProcess, until

MEGABYTE = 1024 * 1024
HUGE = 70
"""So many megabytes are more than a frame between processes holds."""


async def add(writer: StateClient, count: int, *, size: int = 1) -> None:
    notes = [Note(f"n{number:06}", "x" * size) for number in range(count)]
    for start in range(0, count, 2000):
        await asyncio.gather(
            *(writer.call("add", note, Note) for note in notes[start : start + 2000])
        )


class SlowReader:
    """A worker that greets, and reads only when it is let."""

    def __init__(self) -> None:
        self.messages: list[FromState] = []
        self.channel: Channel[FromState] = Channel(FromState, on_messages=self._take)

    def _take(self, _: Channel[FromState], messages: Sequence[FromState]) -> None:
        self.messages += messages

    async def connect(self, state: StateProcess) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport: Any
        transport, _ = await loop.create_unix_connection(lambda: self.channel, state.socket)
        transport.pause_reading()
        self.channel.send(Hello("slow", True))
        self.channel.send(Beat(0, 1))
        return transport

    def notes(self) -> dict[str, str]:
        changes = [c for m in self.messages if isinstance(m, Changed) for c in m.changes]
        last = {change.id: change for change in changes}
        return {id: NOTES.decode(c.body).text for id, c in last.items() if c.body is not None}

    @property
    def is_synced(self) -> bool:
        return any(isinstance(message, Synced) for message in self.messages)


@pytest.mark.slow
async def test_changes_of_more_than_a_frame_reach_workers_that_are_there_and_that_come(
    state: StateProcess,
) -> None:
    there, comes = Snapshot(), Snapshot()
    await state.client(on_change=there)
    writer = await state.client("writer", leased=False)
    notes = [Note(f"n{number}", "x" * MEGABYTE) for number in range(HUGE)]
    # Patience for a slow disk: how long it takes isn't what is promised.
    await asyncio.gather(*(writer.call("add", note, Note, timeout_s=90) for note in notes))
    assert len(there.notes) == HUGE
    await state.client(on_change=comes)
    assert comes.notes == there.notes


async def test_a_slow_reader_of_the_snapshot_takes_little_memory_and_holds_nobody_up(
    state: StateProcess,
) -> None:
    writer = await state.client("writer", leased=False)
    await add(writer, 40, size=MEGABYTE // 2)
    reader = SlowReader()
    await reader.connect(state)
    await until(lambda: any(session.process == "slow" for session in state.pipeline.sessions))
    session = next(s for s in state.pipeline.sessions if s.process == "slow")
    await writer.call("put", Note("n000001", "served"), Note)
    await asyncio.sleep(0)
    transport: Any = session.channel._transport
    assert transport.get_write_buffer_size() < 8 * MEGABYTE
    reader.channel.close()


async def test_what_changes_while_the_snapshot_is_read_is_right_at_its_end(
    state: StateProcess,
) -> None:
    count = 4 * SNAPSHOT_CHANGES_MAX
    writer = await state.client("writer", leased=False)
    await add(writer, count, size=8000)
    reader = SlowReader()
    transport = await reader.connect(state)
    await until(lambda: any(session.process == "slow" for session in state.pipeline.sessions))
    first, last = "n000000", f"n{count - 1:06}"
    for name in (first, last):
        await writer.call("put", Note(name, "new"), Note)
    await writer.call("remove", Note("n000001"), Note)
    await writer.call("add", Note("n999999", "late"), Note)
    transport.resume_reading()
    await until(lambda: reader.is_synced)
    notes = reader.notes()
    assert (notes[first], notes[last], notes["n999999"]) == ("new", "new", "late")
    assert "n000001" not in notes
    assert len(notes) == count
    reader.channel.close()


async def test_no_lease_is_given_before_the_snapshot_is_whole(state: StateProcess) -> None:
    writer = await state.client("writer", leased=False)
    await add(writer, 4 * SNAPSHOT_CHANGES_MAX)
    reader = SlowReader()
    transport = await reader.connect(state)
    transport.resume_reading()
    await until(lambda: any(isinstance(message, Beaten) for message in reader.messages))
    kinds = [type(message) for message in reader.messages]
    assert kinds.index(Beaten) > kinds.index(Synced)
    reader.channel.close()


async def test_a_worker_without_its_snapshot_holds_no_change_back(state: StateProcess) -> None:
    writer = await state.client("writer", leased=False)
    await add(writer, 40, size=MEGABYTE // 2)
    reader = SlowReader()
    await reader.connect(state)
    await until(lambda: any(session.process == "slow" for session in state.pipeline.sessions))
    await writer.call("put", Note("n000001", "told"), Note, timeout_s=0.5)
    reader.channel.close()


async def test_a_document_removed_while_the_snapshot_came_is_known_no_more(
    state: StateProcess,
) -> None:
    writer = await state.client("writer", leased=False)
    await add(writer, 4 * SNAPSHOT_CHANGES_MAX, size=8000)
    told: list[Change] = []
    opening = asyncio.create_task(state.client(on_change=told.extend))
    await until(lambda: bool(told))
    await writer.call("remove", Note("n000000"), Note)
    assert not opening.done(), "the snapshot was whole before"
    await opening
    await state.stop()
    told.clear()
    await state.start()
    await until(lambda: len(told) >= 4 * SNAPSHOT_CHANGES_MAX - 1)
    await asyncio.sleep(0.05)
    assert "n000000" not in {change.id for change in told}
