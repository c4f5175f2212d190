"""Closed-loop arithmetic of continuous batching: how prompts and decoding share a server.

A fixed number of requests is in flight; whenever one ends the next begins. A server alternates (or
mixes) passes over new prompts with decode steps for all others. Everything may be an array.

The work a server has to do for all requests in flight is what fixes the length of a cycle, however
it is scheduled: `b` prompts and the decode steps of one answer. Scheduling only decides how much of
the cycle a request spends before its first token and how much after it. So the time per output
token follows from the time to first token, and not the other way round.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

ROUNDS = 6
"""Of the fixed point; the cycle changes by less than 0.1 % after five."""


@dataclass(frozen=True, slots=True)
class Server:
    """What one replica (or one worker of a phase) needs for its parts of the work, in seconds."""

    decode_one_s: Numbers
    """A step with one sequence."""
    decode_s: Numbers
    """A step with all `running` sequences."""
    prefill_one_s: Numbers
    """A whole prompt, alone."""
    prefill_full_s: Numbers
    """A pass as full as passes get."""
    prompts_full: Numbers
    """Prompts that full passes carry in that time (below 1 where a prompt needs several)."""
    fused: Numbers
    """Of a decode step's fixed part, what a prefill that runs with it saves."""
    first_wave: Numbers
    """Of the time all prompts in flight take together, what a request waits because requests
    start or end together."""
    request_s: Numbers
    """A request waits on its way in and out, whatever the load."""
    wait_steps: Numbers
    """Decode steps until a new prompt is seen."""
    host_s: Numbers
    """The host's own work on a request, beside the chips."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What a request sees on the mean."""

    ttft_s: Numbers
    tpot_s: Numbers
    cycle_s: Numbers
    """From a request's admission to its end: its wait for memory isn't counted."""
    decoding: Numbers
    """Sequences in a decode step, on the mean."""
    step_s: Numbers
    """A decode step without prompts in it."""
    prompt_s: Numbers
    """What a prompt adds to the server's work."""
    busy: Numbers
    """Share of the time that goes into prompts."""


def closed_loop(server: Server, in_flight: Numbers, running: Numbers, output: Numbers) -> Flow:
    """One server for both phases: `in_flight` requests, of which at most `running` fit in memory.

    `output` is the tokens of an answer.
    """
    steps = np.maximum(output - 1.0, 1.0)
    slope = (server.decode_s - server.decode_one_s) / np.maximum(running - 1.0, 1.0)
    decoding: Numbers = running
    step = server.decode_s
    cycle: Numbers = running * server.prefill_one_s + steps * step
    first, token, busy, prompt = server.prefill_one_s, step, 0.0 * step, step
    most = np.maximum(server.prompts_full, 1.0)
    for _ in range(ROUNDS):
        step = server.decode_one_s + slope * np.maximum(decoding - 1.0, 0.0)
        together = _together(most, running / cycle * (server.prefill_one_s + step))
        whole = prefill_pass(server, together)
        saved = server.fused * np.minimum(server.decode_one_s, 0.9 * whole)
        prompt = (whole - saved) / together
        # Chips and host work side by side; whoever is slower sets the pace.
        chips = running * prompt + steps * step + server.request_s
        cycle = joined(chips, running * server.host_s)
        busy = np.minimum(running * prompt / cycle, 1.0)
        ahead = server.first_wave * (running - 1.0) / 2.0 * prompt
        ahead = ahead + (1.0 - server.first_wave) * waiting(whole, busy, running, prompt)
        steps_before = server.wait_steps + server.fused
        first = server.request_s + steps_before * step * cycle / chips + whole + ahead
        first = between(first, server.prefill_one_s, cycle - steps * server.decode_one_s)
        token = np.maximum((cycle - first) / steps, server.decode_one_s)
        decoding = running * between(1.0 - first / cycle, 0.1, 1.0)
    queued = np.maximum(in_flight - running, 0.0) / running * cycle
    return Flow(first + queued, token, cycle, decoding, step, prompt, busy)


def disaggregated(
    prefill: Server,
    decode: Server,
    in_flight: Numbers,
    running: Numbers,
    output: Numbers,
    *,
    prefill_workers: float,
    decode_workers: float,
    transfer_s: Numbers,
) -> Flow:
    """Prefill and decode on workers of their own; `in_flight` and `running` over all of them."""
    steps = np.maximum(output - 1.0, 1.0)
    a_worker = running / decode_workers
    slope = (decode.decode_s - decode.decode_one_s) / np.maximum(a_worker - 1.0, 1.0)
    prompt = prefill.prefill_full_s / np.maximum(prefill.prompts_full, 1e-9)
    most = prefill_workers / prompt
    alone = prefill.request_s + prefill.prefill_one_s + transfer_s + decode.decode_one_s
    decoding, first, token = running, alone, decode.decode_s
    rate = busy = np.zeros_like(alone)
    host = decode.host_s / decode_workers
    for _ in range(4 * ROUNDS):
        token = decode.decode_one_s + slope * np.maximum(decoding / decode_workers - 1.0, 0.0)
        token = joined(token, decoding * host / steps)
        # What the requests ask for, what prefill can give, what decode has room for.
        asked = in_flight / (first + steps * token)
        rate = np.minimum(np.minimum(asked, most), running / (steps * token))
        busy = rate / most
        each = np.maximum(in_flight / prefill_workers, 1.0)
        ahead = prefill.first_wave * (each - 1.0) / 2.0 * prompt
        ahead = ahead + (1.0 - prefill.first_wave) * waiting(
            prefill.prefill_one_s, busy, each, prompt
        )
        saturated = in_flight / rate - steps * token
        wanted = np.maximum(alone + ahead, np.where(asked > rate, saturated, 0.0))
        first = np.sqrt(first * wanted)
        decoding = np.sqrt(decoding * np.maximum(rate * steps * token, 1.0))
    return Flow(first, token, first + steps * token, decoding, token, prompt, busy)


def joined(chips: Numbers, host: Numbers | float) -> Numbers:
    """Time of two that work side by side and wait for each other now and then."""
    return (chips**4 + host**4) ** 0.25


def waiting(own: Numbers, busy: Numbers, customers: Numbers, each: Numbers) -> Numbers:
    """Mean wait for the prompts ahead of one, in a server `busy` a share of the time.

    Pollaczek and Khinchin's formula for equal service times `own`, in a loop of finitely many
    `customers`, so that no more than all others (`each` seconds of work apiece) can be ahead.
    """
    others = np.maximum(customers - 1.0, 0.0)
    free = 1.0 - busy * others / np.maximum(customers, 1.0)
    return np.minimum(own / 2.0 * busy / np.maximum(free, 1e-6), others / 2.0 * each)


def prefill_pass(server: Server, together: Numbers) -> Numbers:
    """Seconds until `together` prompts that are worked on at once are through."""
    most = np.maximum(server.prompts_full, 1.0)
    share = (together - 1.0) / np.maximum(most - 1.0, 1e-9)
    grown = np.where(most > 1.0, server.prefill_full_s - server.prefill_one_s, 0.0)
    return server.prefill_one_s + share * np.maximum(grown, 0.0)


def _together(most: Numbers, arrived: Numbers) -> Numbers:
    """Prompts that go into one pass: those that came while the last one ran."""
    return between(arrived, 1.0, most)


def between(values: Numbers, least: Numbers | float, most: Numbers | float) -> Numbers:
    """`np.clip`, at a third of its cost on the short arrays of one split."""
    return np.minimum(np.maximum(values, least), most)
