from dataclasses import replace

import numpy as np
import pytest

from craton.silicon.queueing import Flow, Server, closed_loop, disaggregated, joined, waiting


def numbers(value: float) -> np.ndarray:
    return np.array([value])


SERVER = Server(
    decode_one_s=numbers(0.008),
    decode_s=numbers(0.020),
    prefill_one_s=numbers(0.1),
    prefill_full_s=numbers(0.35),
    prompts_full=numbers(4.0),
    fused=numbers(0.0),
    first_wave=numbers(0.1),
    request_s=numbers(0.005),
    wait_steps=numbers(0.5),
    host_s=numbers(0.0),
)


def at(server: Server, in_flight: float, running: float, output: float = 500.0) -> Flow:
    return closed_loop(server, numbers(in_flight), numbers(running), numbers(output))


def test_one_request_alone_is_prefilled_and_decoded() -> None:
    server = replace(SERVER, decode_s=SERVER.decode_one_s, wait_steps=numbers(0.0))
    flow = at(server, 1.0, 1.0)
    assert flow.ttft_s[0] == pytest.approx(0.105, rel=1e-6)
    assert flow.tpot_s[0] == pytest.approx(0.008, rel=1e-3)


def test_both_times_add_up_to_the_cycle() -> None:
    flow = at(SERVER, 32.0, 32.0)
    assert flow.ttft_s[0] + 499 * flow.tpot_s[0] == pytest.approx(flow.cycle_s[0], rel=1e-6)


def test_tokens_come_slower_where_prompts_take_turns_with_them() -> None:
    flow = at(SERVER, 32.0, 32.0)
    assert flow.tpot_s[0] > flow.step_s[0]
    assert at(replace(SERVER, fused=numbers(0.8)), 32.0, 32.0).tpot_s[0] < flow.tpot_s[0]


def test_requests_that_go_in_step_wait_longer_and_decode_faster() -> None:
    staggered, in_step = (
        at(SERVER, 32.0, 32.0),
        at(replace(SERVER, first_wave=numbers(0.9)), 32, 32),
    )
    assert in_step.ttft_s[0] > 2 * staggered.ttft_s[0]
    assert in_step.tpot_s[0] < staggered.tpot_s[0]


def test_what_does_not_fit_in_memory_waits_for_whole_cycles() -> None:
    fits, waits = at(SERVER, 32.0, 32.0), at(SERVER, 64.0, 32.0)
    assert waits.tpot_s[0] == pytest.approx(fits.tpot_s[0])
    assert waits.ttft_s[0] - fits.ttft_s[0] == pytest.approx(fits.cycle_s[0], rel=1e-6)


def test_a_host_slower_than_its_chips_sets_the_pace() -> None:
    flow = at(replace(SERVER, host_s=numbers(2.0)), 32.0, 32.0)
    assert flow.cycle_s[0] == pytest.approx(64.0, rel=0.01)


def test_many_loads_at_once_are_each_as_alone() -> None:
    wide = Server(*(np.repeat(getattr(SERVER, name), 2) for name in SERVER.__slots__))
    both = closed_loop(wide, np.array([8.0, 64.0]), np.array([8.0, 32.0]), np.array([500.0] * 2))
    assert both.ttft_s[1] == pytest.approx(at(SERVER, 64.0, 32.0).ttft_s[0])


def apart(prefill_workers: float, in_flight: float = 64.0) -> Flow:
    return disaggregated(
        SERVER,
        SERVER,
        numbers(in_flight),
        numbers(in_flight),
        numbers(500.0),
        prefill_workers=prefill_workers,
        decode_workers=2.0,
        transfer_s=numbers(0.01),
    )


def test_decoding_apart_never_stops_for_prompts() -> None:
    assert apart(8.0).tpot_s[0] <= 0.0201


def test_too_few_prefill_workers_let_requests_queue_there() -> None:
    enough, few = apart(8.0, 256.0), apart(0.5, 256.0)
    assert few.ttft_s[0] > 5 * enough.ttft_s[0]
    assert few.decoding[0] < enough.decoding[0]


def test_requests_in_flight_are_conserved_where_phases_are_apart() -> None:
    flow = apart(0.5, 256.0)
    rate = 0.5 * 4.0 / 0.35
    assert rate * flow.cycle_s[0] == pytest.approx(256.0, rel=0.02)


def test_no_more_than_all_others_can_be_ahead() -> None:
    ones = np.ones(1)
    assert waiting(ones, ones, 5.0 * ones, ones)[0] == pytest.approx(2.0)
    assert waiting(ones, 0.5 * ones, 1e9 * ones, ones)[0] == pytest.approx(0.5)
    assert waiting(ones, ones, ones, ones)[0] == 0.0


def test_the_slower_of_two_side_by_side_counts() -> None:
    assert joined(numbers(3.0), 0.1)[0] == pytest.approx(3.0, rel=1e-5)
    assert joined(numbers(1.0), 1.0)[0] == pytest.approx(2**0.25)
