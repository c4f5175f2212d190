"""How a gateway worker is put together."""

import io
from typing import Any

from craton.bootstrap.settings import Settings
from craton.bootstrap.worker import assemble
from craton.economics.contract import Hold
from craton.kernel.clock import ManualClock
from craton.kernel.log import Log
from craton.store.contract import Beat, Call, Changed


class Wire:
    """A channel to the state process that remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any, *, soon: bool = True) -> None:
        del soon
        self.sent.append(message)


async def test_holds_are_told_before_a_worker_says_that_it_knows_of_a_change() -> None:
    """A new budget counts what is held; it is acknowledged when each worker knows of it."""
    log = Log("gateway-0", stream=io.BytesIO())
    worker = assemble(Settings(engine="echo"), process="gateway-0", clock=ManualClock(), log=log)
    state, inference = worker.services.state, worker.services.inference
    wire: Any = Wire()
    state._channel, state._seen = wire, None
    state._received(wire, [Changed(1, [])])
    assert [type(message) for message in wire.sent] == [Beat]
    inference._untold.append(Hold("r", "a", "m", 0, {"input_tokens": 1}))
    state._received(wire, [Changed(2, [])])
    assert [type(message) for message in wire.sent] == [Beat, Call, Beat]
