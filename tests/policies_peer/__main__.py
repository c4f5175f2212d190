"""python -m tests.policies_peer: compare decisions with an independent evaluator of IAM policies.

The peer is the npm package @cloud-copilot/iam-simulate, installed into a cache folder outside of
the repository; Node 18 or newer must be there. It runs as a program of its own, and nothing of it
is part of Craton. Exits with 1 if the two disagree on any case.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.policies_peer.cases import Cases, decide, verdict
from tests.policies_peer.recording import Recording
from tests.policies_peer.shrinking import shrunk

PEER = "@cloud-copilot/iam-simulate"
VERSION = "0.1.173"
CACHE = Path.home() / ".cache" / "craton" / "policies-peer"
BATCH = 500
SHOWN_MAX = 8


def install(cache: Path) -> Path:
    """The folder with the peer in it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not here: install Node 18 or newer.")
    package = cache / "node_modules" / PEER / "package.json"
    if not package.exists() or json.loads(package.read_bytes())["version"] != VERSION:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "package.json").write_text('{"private": true}\n')
        subprocess.run(
            ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund",
             f"{PEER}@{VERSION}"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return cache


class Peer:
    """The evaluator as a child process: a line in, a line out."""

    def __init__(self, cache: Path) -> None:
        script = Path(__file__).parent / "peer.cjs"
        self._process = subprocess.Popen(
            ["node", str(script), str(cache)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, cases: list[dict[str, Any]]) -> Iterator[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("".join(json.dumps(case) + "\n" for case in cases))
        self._process.stdin.flush()
        for _ in cases:
            yield json.loads(self._process.stdout.readline())

    def first_disagreeing(self, cases: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The first case that the peer decides differently, with both answers."""
        for case, theirs in zip(cases, list(self.ask(cases)), strict=True):
            ours = verdict(decide(case))
            if ours != theirs:
                return {**case, "ours": ours, "theirs": theirs}
        return None

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the peer is installed")
    parser.add_argument("--record", type=Path, help="write cases and the peer's answers there")
    arguments = parser.parse_args()
    peer = Peer(install(arguments.cache))
    cases = Cases(arguments.seed)
    started = time.monotonic()
    answers: Counter[str] = Counter()
    disagreements: list[dict[str, Any]] = []
    recording = Recording()
    try:
        for begin in range(0, arguments.cases, BATCH):
            batch = [cases.case() for _ in range(min(BATCH, arguments.cases - begin))]
            for case, theirs in zip(batch, peer.ask(batch), strict=True):
                ours = verdict(decide(case))
                answers[ours] += 1
                recording.consider(case, theirs)
                if ours != theirs:
                    disagreements.append(case)
        for case in disagreements[:SHOWN_MAX]:
            print(json.dumps(shrunk(case, peer.first_disagreeing)))
    finally:
        peer.close()
    if arguments.record:
        arguments.record.write_text(recording.text(), encoding="utf-8")
    told = ", ".join(f"{count} {name}" for name, count in sorted(answers.items()))
    print(
        f"{arguments.cases} cases, seed {arguments.seed}, {time.monotonic() - started:.0f} s: "
        f"{told}; {len(disagreements)} disagreements with {PEER} {VERSION}"
    )
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
