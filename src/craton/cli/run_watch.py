"""Following a run: its place in the queue, what it writes, how it ended and what it cost."""

import signal
import sys
import time
from collections.abc import Callable

from craton.apis.native.runs_contract import RunLog, RunView
from craton.cli.capacity_terms import IMAGINED, held_words, utc
from craton.cli.connection import Connection, segment
from craton.cli.output import price, print_json, printable
from craton.fleet.records import EndReason
from craton.fleet.run_records import NOTHING_RAN, RunState
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest, Unavailable

POLL_S = 0.2
PATIENCE_S = 60.0
"""How long a Craton that is being started again is waited for: what runs goes on meanwhile."""
UNKNOWN_STATUS = 1
"""The exit status for a run whose own nobody saw."""


class Watch:
    """Follows runs of one Craton."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        as_json: bool = False,
        write: Callable[[str], None] | None = None,
    ) -> None:
        """`as_json`: only a document at the end. `write` takes what is shown of a log."""
        self._write = write or (_write_nothing if as_json else write_out)
        self._connection = connection
        self._clock = clock
        self._as_json = as_json
        self._position = 0
        self._said = ""
        self._is_stopping = False

    def follow(self, run: RunView) -> int:
        """Show a run until it ended, and what it cost; its exit status. Ctrl-C ends the run."""
        while True:
            try:
                ended = self._to_end(run.id)
                break
            except KeyboardInterrupt:
                # Once: ask it to end. Twice: make it.
                query = "?grace_s=0" if self._is_stopping else ""
                self._say("ending it" + (" at once" if self._is_stopping else "; again: at once"))
                self._is_stopping = True
                self._connection.delete(f"/runs/{segment(run.id)}{query}", RunView)
        if self._as_json:
            print_json(ended)
        else:
            self._say(_ending(ended))
        return _status(ended)

    def until_ended(self, id: str) -> RunView:
        """Wait until a run ended."""
        while True:
            run = self._patiently(id)
            if run.ended_ms is not None:
                return run
            time.sleep(POLL_S)

    def show(self, id: str) -> bool:
        """Show what was written since last time; whether nothing will follow."""
        while True:
            query = {"start": self._position}
            part = self._connection.get(f"/runs/{segment(id)}/log", RunLog, query)
            if part.start > self._position:
                self._say(f"{part.start - self._position} bytes of its log are gone")
            self._position = part.next
            if not part.text:
                return part.is_over
            self._write(part.text)

    def show_to_end(self, id: str) -> None:
        """Show what a run writes until it ended."""
        while not self.show(id):
            time.sleep(POLL_S)

    def _to_end(self, id: str) -> RunView:
        while True:
            run = self._patiently(id)
            self._tell(run)
            is_over = run.log_bytes <= self._position or self._shown(id)
            if run.ended_ms is not None and is_over:
                return run
            time.sleep(POLL_S)

    def _shown(self, id: str) -> bool:
        try:
            return self.show(id)
        except Unavailable:
            return False

    def _patiently(self, id: str) -> RunView:
        """The run as it is; a Craton that was killed is given time to come back."""
        by_ns = self._clock.monotonic_ns() + int(PATIENCE_S * 1e9)
        while True:
            try:
                return self._connection.get(f"/runs/{segment(id)}", RunView)
            except Unavailable:
                if self._clock.monotonic_ns() > by_ns:
                    raise
                self._say("Craton does not answer; the run goes on without it")
                time.sleep(POLL_S)

    def _tell(self, run: RunView) -> None:
        """Say what changed, once."""
        if run.state is RunState.WAITING:
            place = f"number {run.queue_position} in the queue" if run.queue_position else "waiting"
            self._say(f"{run.id}: no room yet; {place}")
        elif run.state is RunState.SIMULATED:
            until = f"until {utc(run.ends_s)} UTC" if run.ends_s else "until Ctrl-C"
            self._say(f"{run.id}: {IMAGINED} {held_words(run)} are held {until}")
        elif run.state is RunState.RUNNING and run.reason not in (None, EndReason.RELEASED):
            self._say(f"{run.id}: its lease ends {utc(run.ends_s)} UTC: {run.reason}")
        elif run.state in (RunState.STARTING, RunState.RUNNING):
            where = ", ".join(run.hosts[:4]) + (" …" if len(run.hosts) > 4 else "")
            rehearsal = "a rehearsal, on simulated " if run.is_rehearsal else ""
            self._say(f"{run.id}: {rehearsal}{held_words(run)} on {where}")

    def _say(self, text: str) -> None:
        if text != self._said and not self._as_json:
            self._said = text
            sys.stderr.write(f"craton: {printable(text)}\n")
            sys.stderr.flush()


def write_out(text: str) -> None:
    """Show a part of a log as it is: it is the caller's own command that wrote it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_nothing(_: str) -> None:
    return


def words_of(run: RunView) -> str:
    """A run's state in a word or two."""
    if run.state is RunState.WAITING and run.queue_position is not None:
        return f"waiting, number {run.queue_position}"
    if run.state is RunState.ENDED:
        return f"ended, {run.outcome}"
    if run.reason is not None:
        return f"{run.state}, lease ends: {run.reason}"
    return run.state


def signal_number(name: str | None) -> int | None:
    """The number of a signal by its name; BadRequest for no name of one."""
    if name is None:
        return None
    wanted = name.upper().removeprefix("SIG")
    try:
        return signal.Signals["SIG" + wanted].value
    except KeyError:
        raise BadRequest(f"--notice-signal is {name!r}. Write one such as USR1 or TERM.") from None


def _ending(run: RunView) -> str:
    cost = price(run.spent_nanos, run.currency)
    if run.started_ms is None or run.ended_ms is None:
        return f"{run.id}: {run.outcome}; it cost {cost}"
    took_s = (run.ended_ms - run.started_ms) / 1000
    return f"{run.id}: {run.outcome} after {took_s:.1f} s; it cost {cost}"


def _status(run: RunView) -> int:
    if run.status is not None:
        return run.status
    return NOTHING_RAN if run.is_simulated and not run.is_rehearsal else UNKNOWN_STATUS
