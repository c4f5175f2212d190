"""Whether a request may begin: it must fit every budget and limit of its account, project and key.

The state process alone decides, one request after the other, so the answer is exact however many
workers ask. After it was started anew it knows nothing of the holds that workers still have; so it
lets nobody in under a bound until each worker that may have some has said them again, or is known
to be another process by now.
"""

import asyncio
from collections.abc import Collection

import msgspec

from craton.economics.budgets import Budgets
from craton.economics.contract import Held, Hold, Void, Voided
from craton.economics.holds import Holds
from craton.economics.limits import Limits
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError
from craton.kernel.metrics import Metrics

GATHER_S = 30.0
"""After so long, a worker that didn't come back has no requests under way any more."""


class _Waiting(msgspec.Struct):
    owner: object
    hold: Hold
    answer: asyncio.Future[Held]


class Admission:
    """Takes holds that fit. `awaited` names the processes whose holds must be known before."""

    def __init__(
        self,
        holds: Holds,
        budgets: Budgets,
        limits: Limits,
        *,
        clock: Clock,
        metrics: Metrics,
        awaited: Collection[str] = (),
    ) -> None:
        self._holds = holds
        self._budgets = budgets
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._awaited = set(awaited)
        self._until_ns = clock.monotonic_ns() + int(GATHER_S * 1e9)
        self._waiting: list[_Waiting] = []
        holds.followers = (budgets, limits)

    def admit(self, owner: object, hold: Hold) -> Held | asyncio.Future[Held]:
        """Take a hold if it fits; BudgetExceeded, Throttled or TooLarge says why it doesn't."""
        if self._awaited:
            if self._clock.monotonic_ns() < self._until_ns:
                answer: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
                self._waiting.append(_Waiting(owner, hold, answer))
                return answer
            self._open()
        return self._judge(owner, hold)

    def greeted(self, process: str) -> None:
        """A process has said all that it holds."""
        if process in self._awaited:
            self._awaited.discard(process)
            if not self._awaited:
                self._open()

    def void(self, void: Void) -> Voided:
        """Release a hold because nothing is to be paid, or stop waiting to take it."""
        id = void.request_id
        self._waiting = [waiting for waiting in self._waiting if waiting.hold.request_id != id]
        return self._holds.void(void)

    def closed(self, owner: object) -> None:
        """A worker's connection is gone, and its holds with it."""
        self._waiting = [waiting for waiting in self._waiting if waiting.owner is not owner]
        self._holds.release_owner(owner)

    def _open(self) -> None:
        self._awaited.clear()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            try:
                one.answer.set_result(self._judge(one.owner, one.hold))
            except CratonError as error:
                one.answer.set_exception(error)

    def _judge(self, owner: object, hold: Hold) -> Held:
        self._holds.release(hold.request_id)  # asked again on a new connection
        now_ms = self._clock.now_ns() // 1_000_000
        hold = msgspec.structs.replace(hold, at_ms=now_ms)
        try:
            self._budgets.judge(hold, self._holds.price(hold), now_ms)
            self._limits.judge(hold, now_ms)
        except CratonError as error:
            self._metrics.counter(
                "craton_holds_refused_total",
                "Requests that a budget or limit refused before their engine began.",
                reason=error.fault,
            ).add()
            raise
        return self._holds.take(owner, hold)
