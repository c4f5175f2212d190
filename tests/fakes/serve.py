"""Runs a Craton until standard input ends.

    python -m tests.fakes.serve DATA ENGINE WORKERS [tls] [DATABASE]

Prints its address once it answers `/readyz`.
"""

import asyncio
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

from craton.bootstrap import up as starting
from craton.bootstrap.settings import Settings
from craton.bootstrap.up import Running, running
from craton.kernel.clock import SystemClock
from craton.kernel.log import Log
from tests.conformance.worker import recorded

READY_WITHIN_S = 60


def is_ready(url: str, authority: Path) -> bool:
    context = ssl.create_default_context(cafile=authority) if url.startswith("https") else None
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=10, context=context) as response:
            return response.status == 200
    except OSError:
        return False


async def until_ready(up: Running) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while not await asyncio.to_thread(is_ready, up.url, up.settings.tls_folder / "ca.pem"):
            assert up.supervisor.fatal is None, str(up.supervisor.fatal)
            await asyncio.sleep(0.02)


async def main() -> None:
    data, engine, workers = sys.argv[1:4]
    plain = starting.specs
    starting.specs = lambda settings, listening: recorded(plain(settings, listening))
    settings = Settings(
        data=Path(data),
        engine=engine,
        workers=int(workers),
        port=0,
        tls="tls" in sys.argv[4:],
        postgresql=next((each for each in sys.argv[4:] if each.startswith("postgres")), None),
    )
    async with running(settings, clock=SystemClock(), log=Log("supervisor")) as up:
        await until_ready(up)
        print(up.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
