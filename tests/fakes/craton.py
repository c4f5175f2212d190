"""A real Craton in processes of its own, started for tests the way `craton up` starts it."""

import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

ECHO = "craton.echo-1"
SMOL = "huggingfacetb.smollm2-135m-instruct"
POLL_S = 0.02
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Keys:
    """The credentials of one account."""

    account: str
    access_key_id: str
    secret_access_key: str
    api_key: str


class Craton:
    """One running Craton: its address, its data folder, and its first keys."""

    def __init__(
        self,
        data: Path,
        *,
        engine: str,
        workers: int = 1,
        tls: bool = False,
        database: str | None = None,
    ) -> None:
        self.data = data
        secured = ["tls"] if tls else []
        secured += [] if database is None else [database]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.serve", str(data), engine, str(workers), *secured],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._first_line()

    def _first_line(self) -> str:
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        line = stdout.readline().strip()
        if not line.startswith("http"):
            self.close()
            raise AssertionError(f"craton did not start: {self.log()}")
        return line

    @property
    def keys(self) -> Keys:
        """The operator's keys, made at the first start."""
        found = json.loads((self.data / "credentials.json").read_bytes())["keys"]["default"]
        return Keys(
            found["account"],
            found["access_key_id"],
            found["secret_access_key"],
            found["api_key"],
        )

    def log(self) -> str:
        """Everything its processes wrote."""
        path = self.data / "craton.log"
        return path.read_text(encoding="utf-8") if path.exists() else "(no log)"

    @property
    def context(self) -> ssl.SSLContext | None:
        """What a client trusts, where TLS is spoken."""
        is_secured = self.url.startswith("https")
        return ssl.create_default_context(cafile=self.data / "tls/ca.pem") if is_secured else None

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """A plain GET: status and body."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.context) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def metric(self, name: str) -> float:
        """The sum of a metric over all processes and labels."""
        _, body = self.get("/metrics")
        lines = [line for line in body.decode().splitlines() if line.startswith(name + "{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def close(self) -> int:
        """Let its lifeline go and wait for it to end; the exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        return status


def until(holds: Callable[[], Found], *, patience_s: float) -> Found:
    """What a real Craton comes to before long; processes can only be asked again and again."""
    deadline = time.monotonic() + patience_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(POLL_S)
    return found
