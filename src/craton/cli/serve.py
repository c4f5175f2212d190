"""What `craton up` does in the terminal: fetch, start, ask the first question, tell, and stay.

The only module of the command line that knows the server's inside.
"""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from craton.bootstrap.seed import bundled_cards
from craton.bootstrap.settings import Settings, checked
from craton.bootstrap.up import Running, running, stop_on_signals
from craton.cli.answer import Answer, Readiness, Turn, ask, readiness
from craton.cli.ask import write_piece
from craton.cli.connection import Connection
from craton.cli.installation import CREDENTIALS_FILE, read_endpoint, read_installation
from craton.cli.output import console, print_lines
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import EngineNotReady, EngineTimeout, Unavailable
from craton.kernel.log import Log
from craton.models import weights
from craton.models.card import EmbeddedSource, Modality

FIRST_QUESTION = "What is the capital of France?"
FIRST_INSTRUCTION = "Be brief."
"""Without a word of guidance the bundled model, which is very small, may ramble in French."""
FIRST_ANSWER_TOKENS_MAX = 64
READY_TIMEOUT_S = 300
"""From the processes' start to the default model's readiness. The weights are there by then."""
POLL_S = 0.05
POLL_TIMEOUT_S = 10
LOG_FILE = "craton.log"
_STAGES = {"download": "Fetching", "extract": "Unpacking", "check": "Checking"}


class _Mode(msgspec.Struct, frozen=True, kw_only=True):
    """How much is told, in which form, and whether Craton stays."""

    quiet: bool
    once: bool
    as_json: bool

    @property
    def end(self) -> str:
        """The last line."""
        return "Craton stops now, as --once says." if self.once else "Ctrl-C stops Craton."


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` tells, in one line, once Craton is ready."""

    url: str
    data: str
    credentials: str
    log: str
    model: str | None
    answer: Answer | None
    """The answer to the first question; None where no model came along to be asked."""
    missing: dict[str, str] = {}
    """Models that came along and can't be run, with the reasons."""


def serve(settings: Settings, *, quiet: bool, once: bool, as_json: bool) -> None:
    """Run `craton up` until it is told to stop."""
    settings = msgspec.structs.replace(checked(settings), data=settings.data.resolve())
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = console(to_errors=True)
    told.quiet = quiet or as_json
    unfetched: dict[str, str] = {}
    if settings.engine == "embedded":
        unfetched = _fetch_weights(settings.data / "weights", told)
    with (settings.data / LOG_FILE).open("ab", buffering=0) as stream:
        log = Log("supervisor", level=settings.level, stream=cast("BinaryIO", stream))
        mode = _Mode(quiet=quiet, once=once, as_json=as_json)
        asyncio.run(_serve(settings, log, told, mode, unfetched))


async def _serve(
    settings: Settings, log: Log, told: Console, mode: _Mode, unfetched: Mapping[str, str]
) -> None:
    clock = SystemClock()
    async with running(settings, clock=clock, log=log, unfetched=unfetched) as now:
        stop_on_signals(now.supervisor)
        told.print(f"Starting Craton at {now.url}")
        stopped = asyncio.create_task(now.supervisor.wait())
        ready = asyncio.create_task(_until_ready(now, told, clock, unfetched))
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            found = ready.result()
            if found is None:
                if mode.once:
                    raise EngineNotReady(f"No model answers. {now.machine.why_not}")
                told.print(f"Models wait. {now.machine.why_not} All else is served at {now.url}.")
            elif found.model is None:
                _tell_alone(now, found, mode)
            elif not mode.quiet or mode.once:
                await asyncio.to_thread(_greet, now, found.model, clock, mode)
            if not mode.once:
                await stopped
        ready.cancel()
        stopped.cancel()
        if now.supervisor.fatal is not None:
            raise Unavailable(
                f"{now.supervisor.fatal.message} They are in {settings.data / LOG_FILE}."
            )


async def _until_ready(
    now: Running, told: Console, clock: Clock, unfetched: Mapping[str, str]
) -> Readiness | None:
    """Wait until Craton is ready; None while the default model's machine is leased.

    Unavailable if its weights could not be fetched and there is no other model.
    """
    trust = read_endpoint(now.settings.data).trust
    connection = Connection(now.url, "", timeout_s=POLL_TIMEOUT_S, trust=trust)
    deadline_ns = clock.monotonic_ns() + READY_TIMEOUT_S * 1_000_000_000
    waited = now.settings.default_model or "Craton"
    with told.status(f"Loading {waited}"):
        while True:
            try:
                return await asyncio.to_thread(readiness, connection)
            except (EngineNotReady, Unavailable) as error:
                if now.machine.why_not is not None:
                    return None
                if unfetched and isinstance(error, EngineNotReady):
                    # Not loading, since there is nothing to load; and no other model to serve.
                    raise Unavailable(" ".join(unfetched.values())) from None
                if clock.monotonic_ns() > deadline_ns:
                    raise EngineTimeout(
                        f"{waited} was not ready after {READY_TIMEOUT_S} s. "
                        f"{error.message} The reason is in {now.settings.data / LOG_FILE}."
                    ) from None
            await asyncio.sleep(POLL_S)


def _fetch_weights(folder: Path, told: Console) -> dict[str, str]:
    """Fetch what the bundled models need and isn't there, showing how far it is.

    What embeds is fetched when it is first asked. Returns what can't be had, with the reasons.
    """
    unfetched: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    names = [
        card.source.weights
        for card in bundled_cards()
        if isinstance(card.source, EmbeddedSource) and Modality.TEXT in card.output_modalities
    ]
    for name in filter(None, names):
        with Progress(*columns, console=told, disable=told.quiet, transient=True) as progress:
            shown = _Shown(name, told, progress)
            try:
                weights.fetch(weights.find(name), folder, progress=shown.update)
            except Unavailable as error:
                unfetched[name] = error.message
    return unfetched


class _Shown:
    """How far the fetch of one file is: a bar in a terminal, a line a stage elsewhere."""

    def __init__(self, name: str, told: Console, progress: Progress) -> None:
        self._name = name
        self._told = told
        self._progress = progress
        self._task = progress.add_task("", total=None, visible=False)
        self._seen: set[str] = set()

    def update(self, stage: weights.Stage, done: int, total: int) -> None:
        """Take news of the fetch."""
        line = f"{_STAGES[stage]} {self._name}"
        if stage not in self._seen and not self._told.is_terminal:
            self._told.print(line)
        self._seen.add(stage)
        self._progress.update(
            self._task, description=line, completed=done, total=total, visible=True
        )


def _greet(now: Running, model: str, clock: Clock, mode: _Mode) -> None:
    """Ask the first question as any client would, and tell how to ask the next."""
    installation = read_installation(now.settings.data)
    endpoint = installation.endpoint
    connection = Connection(now.url, installation.key().api_key, trust=endpoint.trust)
    shows = not mode.quiet and not mode.as_json
    if shows:
        print_lines("", f"> {FIRST_QUESTION}")
    answer = ask(
        connection,
        [Turn("system", FIRST_INSTRUCTION), Turn("user", FIRST_QUESTION)],
        model=model,
        max_tokens=FIRST_ANSWER_TOKENS_MAX,
        temperature=0,  # the same answer at each start
        write=write_piece if shows else lambda _: None,
        clock=clock,
    )
    if mode.as_json:
        _print_started(now, model=model, answer=answer)
    elif shows:
        lines = directions(endpoint.public_url, now.settings.data, model)
        print_lines("", answer.line(), *lines, "", mode.end)
    sys.stdout.flush()


def _tell_alone(now: Running, ready: Readiness, mode: _Mode) -> None:
    """Tell that Craton serves, though none of its own models answers."""
    if ready.missing and mode.once:
        raise EngineNotReady(" ".join(ready.missing.values()))
    if mode.as_json:
        if not mode.quiet or mode.once:
            _print_started(now, missing=ready.missing)
    elif not mode.quiet:
        reasons = [f"{model} is missing. {why}" for model, why in ready.missing.items()]
        advice = f"{program()} models add NAME --gguf FILE, or --url URL --upstream-model NAME"
        lines = reasons or ["No model came along, as --engine none says. Add one:", f"  {advice}"]
        url = read_endpoint(now.settings.data).public_url
        print_lines("", *lines, *_access(url, now.settings.data), "", mode.end)
    sys.stdout.flush()


def _print_started(
    now: Running,
    *,
    model: str | None = None,
    answer: Answer | None = None,
    missing: Mapping[str, str] | None = None,
) -> None:
    data = now.settings.data
    started = Started(
        url=now.url,
        data=str(data),
        credentials=str(data / CREDENTIALS_FILE),
        log=str(data / LOG_FILE),
        model=model,
        answer=answer,
        missing=dict(missing or {}),
    )
    print_lines(msgspec.json.encode(started).decode())


def program() -> str:
    """How to run this program again from another terminal: by its name only if that finds it."""
    here = Path(sys.argv[0]).absolute()
    found = shutil.which("craton")
    if here.name != "craton" or (found is not None and Path(found).resolve() == here.resolve()):
        return "craton"
    return shlex.quote(str(here))


def directions(url: str, data: Path, model: str) -> list[str]:
    """What to type next: lines to copy for each SDK."""
    message = '[{"role": "user", "content": "Hello"}]'
    return [
        *_access(url, data),
        "",
        "boto3:",
        "  import boto3",
        '  client = boto3.client("bedrock-runtime")',
        f'  answer = client.converse(modelId="{model}",',
        '      messages=[{"role": "user", "content": [{"text": "Hello"}]}])',
        '  print(answer["output"]["message"]["content"][0]["text"])',
        "",
        "OpenAI:",
        "  from openai import OpenAI",
        f'  answer = OpenAI().chat.completions.create(model="{model}",',
        f"      messages={message})",
        "  print(answer.choices[0].message.content)",
        "",
        "Anthropic:",
        "  from anthropic import Anthropic",
        f'  answer = Anthropic().messages.create(model="{model}", max_tokens=100,',
        f"      messages={message})",
        "  print(answer.content[0].text)",
    ]


def _access(url: str, data: Path) -> list[str]:
    """Where it serves, and how programs find it."""
    return [
        "",
        f"Craton serves at {url}. Its API: {url}/craton/v1/docs",
        f"Credentials: {data / CREDENTIALS_FILE}    Log: {data / LOG_FILE}",
        "",
        "In another terminal, point your programs here:",
        f'  eval "$({program()} env --data {shlex.quote(str(data))})"',
    ]
