"""The steps of an engine with one queue: which tokens go through the model together, and when.

llama.cpp's server, which Craton embeds, puts into each step one token of every answer that is
growing, and fills it up with tokens of prompts, the oldest first. Prompts past the limit wait for
the next step; requests past the slots or the cache wait for room. So, given a load, the steps are
known before anything is timed.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

CELLS_ALIGNED = 256
"""Cells of the cache that are looked at come in whole blocks of this size (llama.cpp)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine takes at once."""

    step_tokens: int
    slots: int
    pool_tokens: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of a load, one element each, and when each request began and ended in them."""

    decoding: Numbers
    """Answers that grow by a token."""
    decode_context: Numbers
    """Tokens each of them has in the cache, on the mean."""
    prompt_tokens: Numbers
    prompts: Numbers
    """Prompts those tokens belong to."""
    prompt_context: Numbers
    """Tokens of each of them that earlier steps took, on the mean."""
    chosen: Numbers
    """Tokens chosen: of the growing answers, and the first of each prompt that ends."""
    cells: Numbers
    """Cells of the shared cache that are looked at."""
    asked: NDArray[np.intp]
    """Of each request: the steps done when it came."""
    first: NDArray[np.intp]
    """Of each request: the steps done when its first token was chosen."""
    last: NDArray[np.intp]
    """Of each request: the steps done when its last token was chosen."""
    outputs: Numbers
    """Of each request: tokens of its answer."""


@dataclass(slots=True)
class _Request:
    number: int
    prompt: int
    output: int
    taken: int = 0
    """Prompt tokens in the cache."""
    grown: int = 0
    """Tokens of the answer."""

    @property
    def cached(self) -> int:
        """The last token chosen isn't in the cache before the next step."""
        return self.taken + max(self.grown - 1, 0)


def schedule(requests: Iterable[tuple[int, int]], concurrency: int, limits: Limits) -> Schedule:
    """The steps of a closed loop.

    `requests` are prompt and answer tokens, both at least 1, in the order in which they come;
    `concurrency` are in flight, and whenever one ends the next comes.
    """
    loop = _Loop(limits, deque(_Request(at, *each) for at, each in enumerate(requests)))
    for _ in range(concurrency):
        loop.ask()
    while loop.waiting or loop.active:
        loop.enter()
        loop.step()
    return loop.schedule()


@dataclass(slots=True)
class _Loop:
    limits: Limits
    coming: deque[_Request]
    waiting: deque[_Request] = field(default_factory=deque[_Request])
    active: list[_Request] = field(default_factory=list[_Request])
    steps: int = 0
    rows: list[Numbers] = field(default_factory=list[Numbers])
    asked: dict[int, int] = field(default_factory=dict[int, int])
    first: dict[int, int] = field(default_factory=dict[int, int])
    last: dict[int, int] = field(default_factory=dict[int, int])
    outputs: dict[int, int] = field(default_factory=dict[int, int])

    def ask(self) -> None:
        """The next request comes, if there is one."""
        if self.coming:
            request = self.coming.popleft()
            self.asked[request.number] = self.steps
            self.outputs[request.number] = request.output
            self.waiting.append(request)

    def enter(self) -> None:
        """Let in what fits, in order; one that never would enters alone."""
        while self.waiting and len(self.active) < self.limits.slots:
            room = self.limits.pool_tokens - sum(each.prompt + each.output for each in self.active)
            following = self.waiting[0]
            if self.active and following.prompt + following.output > room:
                return
            self.active.append(self.waiting.popleft())

    def step(self) -> None:
        """One step; or, while nothing comes in or ends, as many as go alike."""
        growing = [each for each in self.active if each.grown]
        reading = [each for each in self.active if not each.grown]
        alike = min((each.output - each.grown for each in growing), default=1)
        if reading:
            alike = 1
        taken = self._read(reading, self.limits.step_tokens - len(growing))
        ended = [each for each in reading if each.taken == each.prompt]
        context = sum(each.cached for each in growing) / max(len(growing), 1)
        cells = sum(each.cached for each in self.active) + len(growing)
        further = np.arange(alike, dtype=np.float64)
        aligned = np.ceil((cells + len(growing) * further) / CELLS_ALIGNED) * CELLS_ALIGNED
        block = np.empty((7, alike))
        block[0] = len(growing)
        block[1] = context + further
        block[2] = sum(tokens for tokens, _ in taken)
        block[3] = len(taken)
        block[4] = sum(before for _, before in taken) / max(len(taken), 1)
        block[5] = len(growing) + len(ended)
        block[6] = aligned
        self.rows.append(block)
        self.steps += alike
        for each in growing:
            each.grown += alike
        for each in ended:
            each.grown = 1
            self.first[each.number] = self.steps
        self._leave()

    def _read(self, reading: list[_Request], room: int) -> list[tuple[int, int]]:
        """Take tokens of prompts: how many of each, and how many of it were taken before."""
        taken: list[tuple[int, int]] = []
        for each in reading:
            tokens = min(each.prompt - each.taken, room)
            if tokens < 1:
                break
            taken.append((tokens, each.taken))
            each.taken += tokens
            room -= tokens
        return taken

    def _leave(self) -> None:
        over = [each for each in self.active if each.grown >= each.output]
        self.active = [each for each in self.active if each.grown < each.output]
        for each in over:
            self.last[each.number] = self.steps
            self.ask()

    def schedule(self) -> Schedule:
        """What was gathered."""
        table = np.concatenate(self.rows, axis=1)
        order = sorted(self.asked)
        asked, first, last = (
            np.array([steps[number] for number in order], dtype=np.intp)
            for steps in (self.asked, self.first, self.last)
        )
        outputs = np.array([self.outputs[number] for number in order], dtype=np.float64)
        return Schedule(*table, asked=asked, first=first, last=last, outputs=outputs)
