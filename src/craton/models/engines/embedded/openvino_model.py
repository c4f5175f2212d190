"""A GGUF file on OpenVINO GenAI, inside this process: the second runtime of the embedded engine.

The library (openvino-genai) converts the file at each start, batches answers continuously, and
holds Python's lock for as long as a step takes; so steps are made by the event loop itself, one at
a time, and everything else happens between them.

Of what the other runtime serves it serves all but answers held to a grammar (tools, JSON), token
probabilities, and seeds: its generator of chance is one for all answers, so a seed repeats nothing
beside others. These are refused by name.
"""

import asyncio
import importlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from craton.kernel.errors import BadRequest, ContextOverflow, EngineFailed, Unsupported
from craton.models.engine import Stop
from craton.models.engines.embedded.answer import Piece
from craton.models.engines.embedded.openvino_text import Spelling, TokenReader
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.prompt_marks import Marks, Run
from craton.models.engines.embedded.prompt_vocabulary import END_MARKS, read_vocabulary
from craton.models.engines.embedded.replica import ModelFacts
from craton.models.engines.embedded.specification import Specification
from craton.models.engines.embedded.tools import Prompt, in_words
from craton.silicon.gguf import read_gguf

BLOCK_TOKENS = 32
"""Tokens in a block of the key-value cache, as OpenVINO's processor plug-in has it."""
BATCH_TOKENS = 64
"""Prompt tokens of one step, besides the next token of each running answer. A step holds up
everything; steps of 256 were measured to read no more for each second of processor time."""
# By name, since an extra needn't be there when types are checked, and its stubs tell little.
_LIBRARY: Any = importlib.import_module("openvino_genai")
_TENSOR: Any = importlib.import_module("openvino").Tensor


@dataclass(eq=False, slots=True)
class _Stream:
    """An answer under way."""

    handle: Any
    reader: TokenReader
    tokens: int = 0
    is_over: bool = False
    pieces: "asyncio.Queue[Piece | EngineFailed]" = field(
        default_factory=asyncio.Queue["Piece | EngineFailed"]
    )


class OpenVino:
    """The loaded model. `start` blocks while it loads; the rest is asynchronous."""

    def __init__(self, specification: Specification) -> None:
        self._specification = specification
        self._pipeline: Any = None
        self._tokenizer: Any = None
        self._spelling = Spelling({}, ())
        self._marks = Marks({}, (), nonce=secrets.token_hex(8))
        self._special: list[str] = []
        self._ends: frozenset[int] = frozenset()
        self._context_tokens = specification.context_tokens
        self._streams: list[_Stream] = []
        self._requests = 0
        self._stepping: asyncio.Task[None] | None = None
        self._stepped: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Load the model; an error where the file can't be served."""
        path = self._specification.model
        model = read_gguf(path)
        if path.stat().st_size < model.weight_bytes:
            raise EngineFailed(f"{path} is cut off. Check that the file is a whole GGUF.")
        try:
            self._pipeline = _LIBRARY.ContinuousBatchingPipeline(
                str(path),
                _schedule(self._specification),
                "CPU",
                {"INFERENCE_NUM_THREADS": self._specification.threads},
            )
            self._tokenizer = self._pipeline.get_tokenizer()
            vocabulary: dict[bytes, int] = self._tokenizer.get_vocab()
        except RuntimeError as error:
            raise EngineFailed(
                f"OpenVINO can't load {path}: {error} It reads GGUF files of the Llama and Qwen "
                "families with a byte-level vocabulary. The runtime llama reads every other."
            ) from error
        self._model = model
        marks = read_vocabulary(path)
        self._marks = Marks(marks.control, marks.others, nonce="q" + secrets.token_hex(12) + "q")
        self._special = sorted([*marks.control, *marks.others])
        self._spelling = Spelling(vocabulary, set(marks.control.values()))
        ends = {number for mark, number in marks.control.items() if mark in END_MARKS}
        self._ends = frozenset(ends | {int(self._tokenizer.get_eos_token_id())})
        self._context_tokens = self._longest()

    def _longest(self) -> int:
        """Most tokens of prompt and answer together."""
        trained = self._model.architecture.context
        limits = [self._specification.context_tokens, self._specification.pool_tokens]
        limit = min(limits if trained is None else [*limits, trained])
        # The tokenizer cuts a long text without a word, at a length it doesn't tell: so it is
        # tried, and whatever reaches the context's length counts as too long.
        tried = self._tokenizer.encode(" a" * (limit + 1), add_special_tokens=False)
        return min(limit, int(tried.input_ids.shape[1]))

    async def facts(self) -> ModelFacts:
        """What the file says of the model."""
        return ModelFacts(
            context_tokens=self._context_tokens,
            chat_template=self._tokenizer.chat_template,
            quantization=f"{8 * self._model.bytes_per_parameter:.1f} bits a parameter",
        )

    async def tokens(self, prompt: Prompt) -> list[int]:
        """The prompt of a conversation: the model's own chat template, tokenized.

        Control marks come from the template alone: those in a caller's text are text.
        """
        messages: list[dict[str, Any]] = self._marks.hide_in(in_words(prompt))
        begun = ""
        if messages and messages[-1]["role"] == "assistant":
            begun = messages.pop()["content"]
        if messages and messages[-1]["role"] == "assistant":
            raise BadRequest(
                "The model's chat template takes one begun answer, and this conversation ends with "
                "two. Join them."
            )
        try:
            rendered = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        except RuntimeError as error:
            raise BadRequest(
                f"The model's chat template refuses this conversation: {error}"
            ) from error
        rendered += begun + prompt.opening
        if not self._marks.are_hidden_in(rendered):
            first = self._tokenizer.get_bos_token()
            is_begun = bool(first) and rendered.startswith(first)
            return self._encoded(rendered, add_special_tokens=not is_begun)
        found = self._encoded("", add_special_tokens=True)
        for part in self._marks.cut(rendered):
            if isinstance(part, Run):
                for piece in self._harmless(part.text):
                    found += self._encoded(piece, add_special_tokens=False)
            elif [part] != found:  # the mark that begins every prompt stands there already
                found.append(part)
        return found

    @asynccontextmanager
    async def complete(
        self, prompt: list[int], planned: Plan, max_tokens: int, stop: Stop
    ) -> AsyncGenerator[AsyncIterator[Piece]]:
        """Generate at most `max_tokens`, or until asked to stop; leaving early ends it too.

        On leaving, the cells of its cache have been let go of.
        """
        settings = self._settings(planned, max_tokens)
        self._requests += 1
        handle = self._pipeline.add_request(
            self._requests, _TENSOR(np.array([prompt], np.int64)), settings
        )
        stream = _Stream(handle, self._spelling.reader())
        self._streams.append(stream)
        if self._stepping is None or self._stepping.done():
            self._stepping = asyncio.get_running_loop().create_task(self._step())
        stop.on_request(lambda: self._end(stream))
        try:
            yield self._pieces(stream)
        finally:
            self._end(stream)
            if not stream.is_over and self._stepped is not None:
                await asyncio.shield(self._stepped)

    async def _pieces(self, stream: _Stream) -> AsyncIterator[Piece]:
        while True:
            piece = await stream.pieces.get()
            if isinstance(piece, EngineFailed):
                raise piece
            if piece is _ENDED:
                return
            yield piece
            if piece.stop:
                return

    def _end(self, stream: _Stream) -> None:
        """No more is wanted; the next step lets go of it."""
        if stream in self._streams:
            self._streams.remove(stream)
            stream.handle.cancel()
            stream.pieces.put_nowait(_ENDED)

    async def _step(self) -> None:
        """Step for as long as there is anything to do, and hand out what each step made."""
        loop = asyncio.get_running_loop()
        while self._pipeline.has_non_finished_requests():
            self._stepped = loop.create_future()
            try:
                self._pipeline.step()
                for stream in list(self._streams):
                    self._read(stream)
            except RuntimeError as error:
                for stream in self._streams:
                    stream.pieces.put_nowait(EngineFailed(f"OpenVINO failed: {error} Try again."))
                self._streams.clear()
                raise
            finally:
                self._stepped.set_result(None)
            await asyncio.sleep(0)  # others have their turn; a step holds up everything

    def _read(self, stream: _Stream) -> None:
        handle = stream.handle
        while handle.can_read():
            for output in handle.read().values():
                for token in output.generated_ids:
                    self._tell(stream, int(token), output.finish_reason)
        statuses = _LIBRARY.GenerationStatus
        if not stream.is_over and handle.get_status() not in {statuses.RUNNING, statuses.FINISHED}:
            self._streams.remove(stream)
            said = "OpenVINO gave up an answer for want of room. Try again."
            stream.pieces.put_nowait(EngineFailed(said))

    def _tell(self, stream: _Stream, token: int, reason: Any) -> None:  # noqa: ANN401 - no stubs
        stream.tokens += 1
        is_end = token in self._ends
        stream.is_over = is_end or reason == _LIBRARY.GenerationFinishReason.LENGTH
        stream.pieces.put_nowait(
            Piece(
                content="" if is_end else stream.reader.read(token),
                stop=stream.is_over,
                tokens_predicted=stream.tokens,
                stop_type="eos" if is_end else "limit" if stream.is_over else "none",
            )
        )
        if stream.is_over:
            self._streams.remove(stream)

    def _encoded(self, text: str, *, add_special_tokens: bool) -> list[int]:
        encoded = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        found: list[int] = encoded.input_ids.data[0].tolist()
        if len(found) >= self._context_tokens:
            raise ContextOverflow(
                f"The prompt has at least {len(found)} tokens and the model's context holds "
                f"{self._context_tokens}, of which at least one must be left for the answer. "
                "Shorten the conversation."
            )
        return found

    def _harmless(self, text: str) -> list[str]:
        """The text in pieces none of which spells a mark: its tokenizer knows marks in any text."""
        for mark in self._special:
            if (at := text.find(mark)) >= 0:
                cut = at + 1
                return [*self._harmless(text[:cut]), *self._harmless(text[cut:])]
        return [text]

    def _settings(self, planned: Plan, max_tokens: int) -> Any:  # noqa: ANN401 - no stubs
        _refuse(planned)
        sampling = planned.sampling
        settings = _LIBRARY.GenerationConfig()
        settings.max_new_tokens = max_tokens
        settings.stop_token_ids = set(self._ends)
        settings.frequency_penalty = sampling.frequency_penalty
        settings.presence_penalty = sampling.presence_penalty
        settings.do_sample = sampling.temperature > 0 and sampling.top_p > 0
        if settings.do_sample:
            settings.temperature = sampling.temperature
            settings.top_p = sampling.top_p
            settings.rng_seed = secrets.randbits(32)
            if sampling.top_k:
                settings.top_k = sampling.top_k
        return settings


_ENDED = Piece(content="", stop=False, tokens_predicted=0)


def _schedule(specification: Specification) -> Any:  # noqa: ANN401 - no stubs
    schedule = _LIBRARY.SchedulerConfig()
    # Each answer may leave its last block half empty.
    schedule.num_kv_blocks = specification.pool_tokens // BLOCK_TOKENS + specification.slots
    schedule.max_num_seqs = specification.slots
    schedule.max_num_batched_tokens = BATCH_TOKENS + specification.slots
    schedule.dynamic_split_fuse = True
    # Nobody can learn from timing what another caller asked.
    schedule.enable_prefix_caching = False
    return schedule


def _refuse(planned: Plan) -> None:
    held = planned.constraint
    asked = [
        ("tools", held is not None and held.has_calls),
        ("an output format", held is not None and not held.has_calls),
        ("logprobs", planned.logprobs is not None),
        ("seed", planned.sampling.seed is not None and planned.sampling.temperature > 0),
    ]
    for name, is_asked in asked:
        if is_asked:
            raise Unsupported(
                f"This model runs on OpenVINO, which can't serve {name} here. Leave it out, or ask "
                "the operator to run the model on the runtime llama."
            )
