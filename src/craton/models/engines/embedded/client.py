"""The gateway's side of an engine process: an `Engine` over a link.

Memory is bounded: an answer has no more events than the model's context has tokens, and the queue
of each request can hold no more than that. The channel isn't paused for one slow reader, since
that would hold up every other answer of the worker.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from craton.kernel.errors import CratonError
from craton.messages import Event, Metadata, Request
from craton.models.engine import Stop
from craton.models.engines.embedded.contract import (
    CONTRACT,
    Count,
    Counted,
    Events,
    FromEngine,
    Generate,
    Ready,
    StopRequest,
)
from craton.models.engines.embedded.link import Contract, Limits, Line, Missing, found
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.requirements import may_need_help, plan
from craton.models.engines.embedded.tools import template_knows_tools

_CONTRACT = Contract(CONTRACT, FromEngine)


class EmbeddedEngine:
    """`Engine` and `Counts`, served by the process that listens on `socket`."""

    def __init__(
        self, socket: Path, *, name: str, limits: Limits | None = None, missing: Missing = found
    ) -> None:
        self._line = Line[Ready, Events | Counted](
            socket, _CONTRACT, name=name, limits=limits, missing=missing
        )
        self._counts = 0

    async def ready(self) -> Ready:
        """What the process serves; waits while it loads, EngineNotReady past the limit."""
        return (await self._line.linked()).facts

    async def generate(
        self, request: Request, *, request_id: str, stop: Stop
    ) -> AsyncGenerator[Event]:
        """Yield the answer's events."""
        planned = plan(request)
        link = await self._line.linked()
        planned = _helped(request, planned, link.facts)
        inbox: asyncio.Queue[Events | Counted | CratonError] = asyncio.Queue()
        link.open(request_id, inbox.put_nowait)
        is_whole = False
        try:
            link.send(Generate(request_id, planned))
            stop.on_request(lambda: link.send(StopRequest(request_id)))
            while not is_whole:
                match await inbox.get():
                    case CratonError() as error:
                        is_whole = True
                        raise error
                    case Events(events=events):
                        is_whole = isinstance(events[-1], Metadata)
                        for event in events:
                            yield event
                    case Counted():
                        raise AssertionError("a generation was answered with a count")
        finally:
            link.close(request_id)
            if not is_whole:
                link.send(StopRequest(request_id))

    async def count(self, request: Request) -> int:
        """Prompt tokens of the request, template included."""
        planned = plan(request)
        link = await self._line.linked()
        planned = _helped(request, planned, link.facts)
        self._counts += 1
        request_id = f"count-{self._counts}"
        counted = await link.ask(request_id, Count(request_id, planned.prompt))
        assert isinstance(counted, Counted), "a count was answered with events"
        return counted.tokens

    async def close(self) -> None:
        """Hang up; what is in flight fails."""
        await self._line.close()


def _helped(request: Request, planned: Plan, facts: Ready) -> Plan:
    """The plan, made again where this model needs help to decide on a call."""
    if may_need_help(planned) and not template_knows_tools(facts.chat_template):
        return plan(request, must_help=True)
    return planned
