"""llama.cpp's server inside this process, and a client of it.

The library (xllamacpp) runs its own threads and holds Python's lock only while it loads. It is
spoken to over a Unix socket in a private directory, because only its HTTP routes render templates,
tokenize and report exact counts; it opens no network port. Closing a connection ends its
generation; the server hangs up once it has let go of it.
"""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import xllamacpp

from craton.kernel.errors import BadRequest, CratonError, EngineFailed, Internal
from craton.models.engine import Stop
from craton.models.engines.embedded.answer import Piece
from craton.models.engines.embedded.llama_exchange import Exchange, ask
from craton.models.engines.embedded.planned import Plan
from craton.models.engines.embedded.prompt_marks import Marks, Run
from craton.models.engines.embedded.prompt_vocabulary import END_MARKS, read_vocabulary
from craton.models.engines.embedded.replica import ModelFacts
from craton.models.engines.embedded.specification import Specification
from craton.models.engines.embedded.tools import (
    Prompt,
    calls_are_whole,
    in_own_form,
    in_words,
    template_knows_tools,
)

BATCH_TOKENS = 64
"""Prompt tokens taken in one step. A step can't be interrupted and holds up every other answer, so
it is kept near half a second on two cores; steps of 512 were measured to be hardly faster."""
_LIBRARY: Any = xllamacpp  # it ships no stubs
_TEMPLATE = "/apply-template"
_COMPLETION = "/completion"


class _Settings(msgspec.Struct, frozen=True):
    n_ctx: int


class _Properties(msgspec.Struct, frozen=True):
    default_generation_settings: _Settings
    chat_template: str = ""
    model_ftype: str = ""
    eos_token: str = ""


class _ModelMeta(msgspec.Struct, frozen=True):
    n_ctx_train: int


class _ModelEntry(msgspec.Struct, frozen=True):
    meta: _ModelMeta


class _Models(msgspec.Struct, frozen=True):
    data: list[_ModelEntry]


class _Rendered(msgspec.Struct, frozen=True):
    prompt: str


class _Tokens(msgspec.Struct, frozen=True):
    tokens: list[int]


class _ErrorDetail(msgspec.Struct, frozen=True):
    message: str


class _Error(msgspec.Struct, frozen=True):
    error: _ErrorDetail


def parameters(specification: Specification, *, socket: Path, key: str) -> Any:  # noqa: ANN401 - the library has no stubs
    """The library's settings: every one that differs from its defaults, and why."""
    settings: Any = _LIBRARY.CommonParams()
    settings.model.path = str(specification.model)
    settings.hostnames = [str(socket)]
    settings.api_keys = [key]
    settings.ui = False
    settings.endpoint_slots = False
    settings.n_threads_http = specification.slots + 8
    settings.cpuparams.n_threads = specification.threads
    settings.cpuparams_batch.n_threads = specification.threads
    settings.n_parallel = specification.slots
    settings.n_ctx = specification.pool_tokens
    settings.kv_unified = True
    # In a shared cache most cells belong to others; only the flash kernel passes over them.
    settings.flash_attn_type = _LIBRARY.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    settings.n_batch = max(BATCH_TOKENS, specification.slots)
    settings.n_ubatch = max(BATCH_TOKENS, specification.slots)
    settings.fit_params = False  # measuring the machine first costs 0.8 s of every start
    settings.warmup = False
    # No prompt is kept after its answer: counts stay simple, and nobody can learn from timing
    # what another caller asked.
    settings.cache_prompt = False
    settings.cache_ram_mib = 0
    settings.cache_idle_slots = False
    settings.ctx_shift = False
    settings.verbosity = -1
    return settings


class Llama:
    """The loaded model. `start` blocks while it loads; the rest is asynchronous."""

    def __init__(self, specification: Specification, directory: Path) -> None:
        self._specification = specification
        self._socket = directory / "llama.sock"
        self._key = secrets.token_urlsafe(32)
        self._server: Any = None  # nothing is asked of it but to live
        self._encoder = msgspec.json.Encoder()
        self._marks = Marks({}, (), nonce=secrets.token_hex(8))
        self._control: dict[str, int] = {}
        self._barred: list[int] = []
        self._knows_tools = False

    def start(self) -> None:
        """Load the model; EngineFailed where the file can't be served."""
        try:
            self._server = _LIBRARY.Server(
                parameters(self._specification, socket=self._socket, key=self._key)
            )
        except RuntimeError as error:
            raise EngineFailed(
                f"llama.cpp can't load {self._specification.model}: {error} Check that the file is "
                "a whole GGUF of a text model."
            ) from error
        vocabulary = read_vocabulary(self._specification.model)
        self._control = vocabulary.control
        self._marks = Marks(
            vocabulary.control, vocabulary.others, nonce="q" + secrets.token_hex(12) + "q"
        )

    async def facts(self) -> ModelFacts:
        """Ask the model what it is."""
        properties = msgspec.json.decode(await self._call("GET", "/props"), type=_Properties)
        models = msgspec.json.decode(await self._call("GET", "/v1/models"), type=_Models)
        trained = models.data[0].meta.n_ctx_train
        limit = properties.default_generation_settings.n_ctx
        self._knows_tools = template_knows_tools(properties.chat_template)
        self._barred = [
            token
            for mark, token in self._control.items()
            if mark != properties.eos_token and mark not in END_MARKS
        ]
        return ModelFacts(
            context_tokens=min(self._specification.context_tokens, trained, limit),
            chat_template=properties.chat_template,
            quantization=properties.model_ftype,
        )

    async def tokens(self, prompt: Prompt) -> list[int]:
        """The prompt of a conversation: the model's own chat template, tokenized.

        Control marks come from the template alone: those in a caller's text are text.
        """
        body: dict[str, Any] = {}
        if self._knows_tools and calls_are_whole(prompt):
            body["messages"], tools = in_own_form(prompt)
            if tools:
                body["tools"] = tools
        else:
            body["messages"] = in_words(prompt)
        hidden = self._marks.hide_in(body)
        answer = await self._call("POST", _TEMPLATE, hidden)
        rendered = msgspec.json.decode(answer, type=_Rendered).prompt + prompt.opening
        if not self._marks.are_hidden_in(rendered):
            return await self._tokenized(rendered, is_whole=True)
        found = await self._tokenized("", is_whole=True)
        for part in self._marks.cut(rendered):
            if isinstance(part, Run):
                found += await self._tokenized(part.text, is_whole=False)
            elif [part] != found:  # the mark that begins every prompt stands there already
                found.append(part)
        return found

    async def _tokenized(self, text: str, *, is_whole: bool) -> list[int]:
        """Tokens of a whole prompt, or of a text in which marks mean nothing."""
        body = {"content": text, "add_special": is_whole, "parse_special": is_whole}
        tokenized = await self._call("POST", "/tokenize", body)
        return msgspec.json.decode(tokenized, type=_Tokens).tokens

    @asynccontextmanager
    async def complete(
        self, prompt: list[int], planned: Plan, max_tokens: int, stop: Stop
    ) -> AsyncGenerator[AsyncIterator[Piece]]:
        """Generate at most `max_tokens`, or until asked to stop; leaving early ends it too.

        On leaving, the slot has been let go of.
        """
        sampling = planned.sampling
        body: dict[str, Any] = {
            "prompt": prompt,
            "n_predict": max_tokens,
            "stream": True,
            "cache_prompt": False,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": 0.0,
            "seed": -1 if sampling.seed is None else sampling.seed,
            "frequency_penalty": sampling.frequency_penalty,
            "presence_penalty": sampling.presence_penalty,
            # Penalties look back over the whole answer, as OpenAI defines them.
            "repeat_last_n": max_tokens,
        }
        if planned.constraint is not None:
            body["grammar"] = planned.constraint.grammar
            # The grammar would read a control mark as the text it is spelled with, and the answer
            # wouldn't have that text.
            body["logit_bias"] = [[token, False] for token in self._barred]
        if planned.logprobs is not None:
            body["n_probs"] = max(planned.logprobs, 1)
        exchange = await self._open("POST", _COMPLETION, body)
        try:
            stop.on_request(exchange.half_close)
            yield self._pieces(exchange, stop)
        finally:
            await exchange.hang_up()

    async def _pieces(self, exchange: Exchange, stop: Stop) -> AsyncIterator[Piece]:
        received = b""
        async for data in exchange.body():
            if stop.requested:
                return
            if exchange.status != 200:
                received += data
                continue
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    try:
                        piece = msgspec.json.decode(line[6:], type=Piece)
                    except msgspec.ValidationError as error:
                        raise EngineFailed(f"llama.cpp failed: {line[6:600].decode()}") from error
                    yield piece
                    if piece.stop:
                        return
        if stop.requested:
            return
        if exchange.status != 200:
            raise _refusal(_COMPLETION, exchange.status, received)
        raise EngineFailed("llama.cpp ended an answer before it was complete. Try again.")

    async def _call(self, method: str, path: str, body: object = None) -> bytes:
        exchange = await self._open(method, path, body)
        try:
            answer = b"".join([data async for data in exchange.body()])
        finally:
            await exchange.hang_up()
        if exchange.status != 200:
            raise _refusal(path, exchange.status, answer)
        return answer

    async def _open(self, method: str, path: str, body: object) -> Exchange:
        encoded = b"" if body is None else self._encoder.encode(body)
        return await ask(self._socket, self._key, method, path, encoded)


def _refusal(path: str, status: int, body: bytes) -> CratonError:
    """What llama.cpp's error means to the caller.

    Only what a chat template refuses is the caller's fault: all else was checked before.
    """
    try:
        message = msgspec.json.decode(body, type=_Error).error.message
    except msgspec.MsgspecError:
        message = body[:500].decode(errors="replace")
    if path == _TEMPLATE and (status == 400 or "raise_exception" in message):
        return BadRequest(f"The model's chat template refuses this conversation: {message}")
    if status >= 500:
        return EngineFailed(f"llama.cpp failed at {path}: {message}")
    return Internal(f"llama.cpp refused what Craton had checked, at {path}: {message}")
