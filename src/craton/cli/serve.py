"""What `craton up` does in the terminal: fetch, start, ask the first question, tell, and stay.

The only module of the command line that knows the server's inside.
"""

import asyncio
import shlex
import shutil
import sys
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from craton.bootstrap.seed import bundled_cards
from craton.bootstrap.settings import Settings, checked
from craton.bootstrap.up import Running, running, stop_on_signals
from craton.cli.answer import Answer, Turn, ask, default_model
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


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` tells, in one line, once Craton is ready."""

    url: str
    data: str
    credentials: str
    log: str
    model: str
    answer: Answer


def serve(settings: Settings, *, quiet: bool, once: bool, as_json: bool) -> None:
    """Run `craton up` until it is told to stop."""
    settings = msgspec.structs.replace(checked(settings), data=settings.data.resolve())
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = console(to_errors=True)
    told.quiet = quiet or as_json
    if settings.engine == "embedded":
        _fetch_weights(settings.data / "weights", told)
    with (settings.data / LOG_FILE).open("ab", buffering=0) as stream:
        log = Log("supervisor", level=settings.level, stream=cast("BinaryIO", stream))
        asyncio.run(_serve(settings, log, told, quiet=quiet, once=once, as_json=as_json))


async def _serve(
    settings: Settings, log: Log, told: Console, *, quiet: bool, once: bool, as_json: bool
) -> None:
    clock = SystemClock()
    async with running(settings, clock=clock, log=log) as now:
        stop_on_signals(now.supervisor)
        told.print(f"Starting Craton at {now.url}")
        stopped = asyncio.create_task(now.supervisor.wait())
        ready = asyncio.create_task(_until_ready(now, told, clock))
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            model = ready.result()
            if model is None:
                if once:
                    raise EngineNotReady(f"No model answers. {now.machine.why_not}")
                told.print(f"Models wait. {now.machine.why_not} All else is served at {now.url}.")
            elif not quiet or once:
                await asyncio.to_thread(
                    _greet, now, model, clock, quiet=quiet, once=once, as_json=as_json
                )
            if not once:
                await stopped
        ready.cancel()
        stopped.cancel()
        if now.supervisor.fatal is not None:
            raise Unavailable(
                f"{now.supervisor.fatal.message} They are in {settings.data / LOG_FILE}."
            )


async def _until_ready(now: Running, told: Console, clock: Clock) -> str | None:
    """Wait until the default model answers; its name, or None while its machine is leased."""
    trust = read_endpoint(now.settings.data).trust
    connection = Connection(now.url, "", timeout_s=POLL_TIMEOUT_S, trust=trust)
    deadline_ns = clock.monotonic_ns() + READY_TIMEOUT_S * 1_000_000_000
    with told.status(f"Loading {now.settings.default_model}"):
        while True:
            try:
                return await asyncio.to_thread(default_model, connection)
            except (EngineNotReady, Unavailable) as error:
                if now.machine.why_not is not None:
                    return None
                if clock.monotonic_ns() > deadline_ns:
                    raise EngineTimeout(
                        f"{now.settings.default_model} was not ready after {READY_TIMEOUT_S} s. "
                        f"{error.message} The reason is in {now.settings.data / LOG_FILE}."
                    ) from None
            await asyncio.sleep(POLL_S)


def _fetch_weights(folder: Path, told: Console) -> None:
    """Fetch what the bundled models need and isn't there, showing how far it is.

    What embeds is fetched when it is first asked.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    names = [
        card.source.weights
        for card in bundled_cards()
        if isinstance(card.source, EmbeddedSource) and Modality.TEXT in card.output_modalities
    ]
    for name in filter(None, names):
        with Progress(*columns, console=told, disable=told.quiet, transient=True) as progress:
            shown = _Shown(name, told, progress)
            weights.fetch(weights.find(name), folder, progress=shown.update)


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


def _greet(
    now: Running, model: str, clock: Clock, *, quiet: bool, once: bool, as_json: bool
) -> None:
    """Ask the first question as any client would, and tell how to ask the next."""
    installation = read_installation(now.settings.data)
    endpoint = installation.endpoint
    connection = Connection(now.url, installation.key().api_key, trust=endpoint.trust)
    shows = not quiet and not as_json
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
    data = now.settings.data
    if as_json:
        started = Started(
            url=now.url,
            data=str(data),
            credentials=str(data / CREDENTIALS_FILE),
            log=str(data / LOG_FILE),
            model=model,
            answer=answer,
        )
        print_lines(msgspec.json.encode(started).decode())
    elif shows:
        end = "Craton stops now, as --once says." if once else "Ctrl-C stops Craton."
        print_lines("", answer.line(), *directions(endpoint.public_url, data, model), "", end)
    sys.stdout.flush()


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
        "",
        f"Craton serves at {url}. Its API: {url}/craton/v1/docs",
        f"Credentials: {data / CREDENTIALS_FILE}    Log: {data / LOG_FILE}",
        "",
        "In another terminal, point your programs here:",
        f'  eval "$({program()} env --data {shlex.quote(str(data))})"',
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
