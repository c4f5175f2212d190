import os
import threading
import uuid
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from craton.kernel.clock import ManualClock, SystemClock
from craton.kernel.ids import Ids, time_of


def test_a_request_id_is_a_uuid_of_version_7() -> None:
    clock = ManualClock()
    for _ in range(1000):
        text = Ids(clock).request_id()
        found = uuid.UUID(text)
        assert str(found) == text
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert time_of(text) == clock.now_ns() // 1_000_000


@given(st.lists(st.integers(-5_000_000, 5_000_000), max_size=200))
def test_ids_of_one_mint_strictly_increase_even_if_the_clock_goes_back(steps: list[int]) -> None:
    clock = ManualClock()
    ids = Ids(clock, bytes)
    made: list[str] = []
    for step in steps:
        clock._now_ns += step
        made.append(ids.request_id())
    assert all(a < b for a, b in pairwise(made))


def test_a_mint_borrows_from_the_next_millisecond_when_one_is_full() -> None:
    ids = Ids(ManualClock(), lambda count: b"\xff" * count)
    first = ids.request_id()
    ids._counter = 0x3FFF_FFFE
    last, borrowed = ids.request_id(), ids.request_id()
    assert first < last < borrowed
    assert uuid.UUID(borrowed).version == 7
    assert time_of(borrowed) == time_of(first) + 1


def test_mints_of_many_threads_and_restarts_never_meet() -> None:
    made: list[list[str]] = []

    def mint() -> None:
        for _ in range(5):  # each start of a process is a new mint
            ids = Ids(SystemClock())
            made.append([ids.request_id() for _ in range(2000)])

    threads = [threading.Thread(target=mint) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [id for part in made for id in part]
    assert len(everything) == 40_000
    assert len(set(everything)) == len(everything)


def test_two_mints_of_one_moment_differ_by_their_randomness() -> None:
    clock = ManualClock()
    assert Ids(clock).request_id() != Ids(clock).request_id()


def test_no_piece_of_randomness_is_used_twice() -> None:
    drawn: list[bytes] = []

    def draw(count: int) -> bytes:
        drawn.append(os.urandom(count))
        return drawn[-1]

    ids = Ids(ManualClock(), draw)
    tails = [ids.request_id()[-12:] for _ in range(600)]
    assert len(set(tails)) == 600
    assert all(any(bytes.fromhex(tail) in piece for piece in drawn) for tail in tails)


def test_a_secret_has_letters_and_digits_each_equally_likely() -> None:
    ids = Ids(ManualClock(), lambda _: bytes(range(256)))
    secret = ids.secret(length=496)
    assert len(secret) == 496
    assert secret.isalnum()
    assert {secret.count(letter) for letter in set(secret)} == {8}
