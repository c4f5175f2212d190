"""Which texts are embedded when: small batches, each request in its turn.

A batch is computed without a break, so it is kept small: a request that stops, or that has one
short text, waits for tens of milliseconds at most, however many texts others have. Batches are made
of texts of all waiting requests, because a batch costs less than its texts one by one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import NamedTuple

from craton.kernel.clock import Clock
from craton.kernel.errors import ContextOverflow, Throttled
from craton.models.engine import Stop
from craton.models.engines.embedded.busy import BusyTime
from craton.models.engines.embedded.embeddings_wordpiece import Tokens

BATCH_TOKENS = 256
"""Tokens of one batch; a text that has more of them than are left goes into the next. Measured with
all-MiniLM-L6-v2 on one thread of an AMD EPYC: batches of 80 to 1280 tokens give 90 to 120 texts of
20 tokens for each second of processor time, single texts 79."""
READ_TEXTS = 64
"""Texts told into tokens in one go, between looks at whether they are still wanted."""

Encode = Callable[[list[list[int]]], list[bytes]]
"""Lists of token numbers in; of each the vector, as 32-bit floats in this machine's order."""
Tokenize = Callable[[str], Tokens]


class Embedded(NamedTuple):
    """What became of a request: of all texts, or of the first ones if it was asked to stop."""

    vectors: list[bytes]
    tokens: int
    texts_cut: int
    """How many texts were longer than the model takes."""
    chip_us: int


@dataclass(eq=False, slots=True)
class _Job:
    request_id: str
    texts: list[Tokens]
    done: asyncio.Future[None]
    stop: Stop
    vectors: list[bytes | None] = field(default_factory=list[bytes | None])
    given: int = 0
    """Texts that went into batches."""
    running: int = 0
    """Texts in batches that are being computed."""


class Batches:
    """Embeds texts with `threads` batches at once; at most `texts_max` texts wait or run."""

    def __init__(
        self,
        encode: Encode,
        tokenize: Tokenize,
        *,
        executor: Executor,
        threads: int,
        texts_max: int,
        clock: Clock,
    ) -> None:
        self._encode = encode
        self._tokenize = tokenize
        self._executor = executor
        self._threads = threads
        self._texts_max = texts_max
        self._reading = asyncio.Lock()
        self._jobs: deque[_Job] = deque()
        self._batches = 0
        self.texts = 0
        """Texts that wait or run."""
        self.busy = BusyTime(clock)

    async def embed(
        self, texts: list[str], *, request_id: str, stop: Stop, may_cut: bool
    ) -> Embedded:
        """Embed; Throttled where too many texts wait, ContextOverflow where one may not be cut."""
        if self.texts + len(texts) > self._texts_max and self.texts:
            raise Throttled(
                f"{self.texts} texts wait to be embedded, and with {len(texts)} more they would "
                f"be over the limit of {self._texts_max}. Try again in a moment."
            )
        self.texts += len(texts)
        try:
            read = await self._read(texts, stop)
            for number, each in enumerate(read):
                if each.is_cut and not may_cut:
                    raise ContextOverflow(
                        f"The text {number} has more tokens than the {len(each.ids)} that the "
                        "model takes. Shorten it, or let it be cut."
                    )
            return await self._run(request_id, read, stop)
        finally:
            self.texts -= len(texts)

    async def _read(self, texts: list[str], stop: Stop) -> list[Tokens]:
        read: list[Tokens] = []
        loop = asyncio.get_running_loop()
        for start in range(0, len(texts), READ_TEXTS):
            if stop.requested:
                break
            some = texts[start : start + READ_TEXTS]
            async with self._reading:  # the tokenizer remembers words, for one thread at a time
                read += await loop.run_in_executor(
                    self._executor, lambda some=some: [self._tokenize(text) for text in some]
                )
        return read

    async def _run(self, request_id: str, texts: list[Tokens], stop: Stop) -> Embedded:
        if not texts or stop.requested:
            return Embedded([], 0, 0, 0)
        loop = asyncio.get_running_loop()
        job = _Job(request_id, texts, loop.create_future(), stop, [None] * len(texts))
        self.busy.enter(request_id)
        try:
            self._jobs.append(job)
            stop.on_request(lambda: self._settle(job))
            self._dispatch()
            await job.done
        finally:
            chip_us = self.busy.leave(request_id)
            if job in self._jobs:
                self._jobs.remove(job)
        made = [
            (vector, text)
            for vector, text in zip(job.vectors, texts, strict=True)
            if vector is not None
        ]
        return Embedded(
            [vector for vector, _ in made],
            sum(len(text.ids) for _, text in made),
            sum(text.is_cut for _, text in made),
            chip_us,
        )

    def _dispatch(self) -> None:
        """Keep as many batches running as there are threads."""
        loop = asyncio.get_running_loop()
        while self._batches < self._threads and (batch := self._batch()):
            self._batches += 1
            ids = [job.texts[number].ids for job, number in batch]
            computing = loop.run_in_executor(self._executor, self._encode, ids)
            computing.add_done_callback(lambda done, batch=batch: self._take(batch, done))

    def _batch(self) -> list[tuple[_Job, int]]:
        """The next texts, one of each request in turn."""
        batch: list[tuple[_Job, int]] = []
        room = BATCH_TOKENS
        while self._jobs:
            job = self._jobs[0]
            if job.stop.requested or job.done.done():
                self._jobs.popleft()
                continue
            size = len(job.texts[job.given].ids)
            if batch and size > room:
                break
            room -= size
            batch.append((job, job.given))
            job.given += 1
            job.running += 1
            self._jobs.popleft()
            if job.given < len(job.texts):
                self._jobs.append(job)
        return batch

    def _take(self, batch: list[tuple[_Job, int]], done: "asyncio.Future[list[bytes]]") -> None:
        self._batches -= 1
        error = None if done.cancelled() else done.exception()
        vectors = [] if done.cancelled() or error else done.result()
        for place, (job, number) in enumerate(batch):
            job.running -= 1
            if vectors:
                job.vectors[number] = vectors[place]
            elif error is not None and not job.done.done():
                job.done.set_exception(error)
        for job in dict.fromkeys(job for job, _ in batch):
            self._settle(job)
        self._dispatch()

    def _settle(self, job: _Job) -> None:
        """End a request whose texts are all done, or that is to stop and has none running."""
        is_whole = job.given == len(job.texts) or job.stop.requested
        if is_whole and not job.running and not job.done.done():
            job.done.set_result(None)
