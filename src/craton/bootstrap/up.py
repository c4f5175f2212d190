"""`craton up` below its terminal: the data folder, the socket, and the supervised processes."""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from craton.bootstrap.databases import choose
from craton.bootstrap.engine_specs import EngineKeeper
from craton.bootstrap.logfile import keep_small
from craton.bootstrap.machine_lease import FirstOwner, MachineLease
from craton.bootstrap.settings import Settings, checked
from craton.bootstrap.supervisor import Supervisor, listen, specs
from craton.bootstrap.tls import keep_renewed, prepare
from craton.bootstrap.weights_keeper import WeightsKeeper
from craton.fleet.contract import ApplyFleet, FleetView
from craton.kernel.clock import Clock
from craton.kernel.errors import BadRequest, Conflict
from craton.kernel.log import Log
from craton.store.client import StateClient
from craton.store.kind import Change


class Running(msgspec.Struct, frozen=True):
    """A Craton that was started."""

    settings: Settings
    supervisor: Supervisor
    url: str
    machine: MachineLease
    """Whether models may run on this machine now."""


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Clock, log: Log, unfetched: Mapping[str, str] | None = None
) -> AsyncGenerator[Running]:
    """Start everything; on leaving, end everything in order.

    `unfetched` are weights that could not be had just now, with the reasons.
    """
    checked(settings)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(settings.data), _listening(settings) as listening:
        settings = msgspec.structs.replace(settings, data=settings.data.resolve())
        database = await choose(settings.postgresql, settings.data, settings.database, clock)
        settings = msgspec.structs.replace(settings, postgresql=database)
        machine, trust = socket.gethostname(), None
        if settings.is_secured:
            reachable = _reachable(settings.host)
            trust = prepare(settings, reachable=reachable, clock=clock, machine=machine)
        settings = msgspec.structs.replace(settings, is_alone=_mark_started(settings))
        run = Path(tempfile.mkdtemp(prefix="craton-"))
        settings = msgspec.structs.replace(settings, run=run, port=listening.getsockname()[1])
        with settings.log.open("ab", buffering=0) as output:
            supervisor = Supervisor(clock=clock, log=log, output=output)
            weights = WeightsKeeper(settings, log, unfetched=unfetched)
            keeper = EngineKeeper(settings, supervisor, log, weights.locate, waits=True)
            for spec in specs(settings, listening):
                supervisor.start(spec)
            owner = FirstOwner()
            state = _follow(settings, (keeper.apply, owner.apply), clock, log)
            lease = MachineLease(
                state,
                owner,
                keeper.lend,
                token_file=settings.data / "machine_lease",
                clock=clock,
                log=log,
            )
            loop = asyncio.get_running_loop()
            opened = loop.create_task(state.open())
            background = [
                opened,
                loop.create_task(keep_small(settings.log)),
                loop.create_task(lease.run(opened, keeper.needed)),
            ]
            if settings.is_secured and settings.tls_certificate is None:
                renewing = keep_renewed(settings, clock=clock, log=log, machine=machine)
                background.append(loop.create_task(renewing))
            try:
                url = address(settings.host, settings.port, is_secured=settings.is_secured)
                endpoint = {
                    "url": url,
                    "pid": os.getpid(),
                    "region": settings.region,
                    "trust": trust,
                }
                settings.endpoint.write_bytes(msgspec.json.encode(endpoint))
                if settings.fleet is not None:
                    await opened
                    await apply_fleet(state, settings.fleet)
                yield Running(settings, supervisor, url, lease)
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
                await state.close()
                await keeper.close()
                await weights.close()
                await supervisor.close()
                if supervisor.has_ended:
                    settings.started.unlink(missing_ok=True)
                shutil.rmtree(run, ignore_errors=True)


def _mark_started(settings: Settings) -> bool:
    """Mark the data folder, and tell whether no process of an earlier start can be alive.

    The caller holds the folder's lock. The mark goes when every child was waited for, so one that
    is there was left by a supervisor that was killed, whose workers may live on for a moment. In
    PostgreSQL a Craton elsewhere may have had the same database.
    """
    was_marked = settings.started.exists()
    settings.started.touch(mode=0o600)
    return not was_marked and settings.postgresql is None


def _follow(
    settings: Settings, takers: Sequence[Callable[[Change], None]], clock: Clock, log: Log
) -> StateClient:
    """Follow the catalogue, so that each model that needs an engine process has one."""

    def apply(changes: Sequence[Change]) -> None:
        for change in changes:
            for take in takers:
                take(change)

    return StateClient(
        settings.state_socket,
        process="supervisor",
        leased=False,
        clock=clock,
        log=log,
        on_change=apply,
    )


async def apply_fleet(state: StateClient, path: Path) -> FleetView:
    """Put a fleet file in force; BadRequest says what is wrong with it, and where."""
    try:
        text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"The fleet file {path} can't be read: {error}.") from None
    return await state.call("apply_fleet", ApplyFleet(text), FleetView)


class _locked:  # noqa: N801 - reads as a with-statement
    """Only one Craton may use a data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._handle = -1

    def __enter__(self) -> None:
        self._handle = os.open(self._data / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise Conflict(
                f"The data folder {self._data} is used by another running Craton. Stop that one, "
                "or choose another folder with --data."
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def address(host: str, port: int, *, is_secured: bool = False) -> str:
    """The URL under which a client on this machine finds a Craton that listens on `host`."""
    scheme, reachable = "https" if is_secured else "http", _reachable(host)
    named = f"[{reachable}]" if ":" in reachable else reachable
    return f"{scheme}://{named}:{port}"


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def _listening(settings: Settings) -> socket.socket:
    return listen(settings.host, settings.port)


def stop_on_signals(supervisor: Supervisor) -> None:
    """Let Ctrl-C and SIGTERM end the supervisor's wait."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
