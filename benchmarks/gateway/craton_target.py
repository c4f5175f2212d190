"""Craton as a target: started as anyone starts it, and its ledger checked after each run.

Nothing is switched off or special: `craton up`, a model that runs on an OpenAI-compatible server,
keys, policy, metrics, logs and the ledger on disk.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from targets import Answered, Http, Target
from wires import INPUT_TOKENS, AwsKeys, ConverseWire, InvokeWire, OpenAIWire, Wire

PROGRAM = Path(sys.executable).with_name("craton")
MODEL = "bench.mock"
DATA = "craton-data"
MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs", "overlay"}


def craton_targets(upstream_port: int) -> list[Target]:
    """Craton on one core; with its state process on another; and asked in other ways."""
    one_core = _target("Craton", 8501, upstream_port)
    return [
        one_core,
        replace(
            _target("Craton, state on another core", 8502, upstream_port),
            other_core_mark="craton.bootstrap.state_process",
        ),
        _target("Craton, HTTP/2", 8504, upstream_port, http=Http.TWO),
        _target("Craton, Converse with SigV4", 8503, upstream_port, signed=ConverseWire),
        _target("Craton, InvokeModel with SigV4", 8505, upstream_port, signed=InvokeWire),
    ]


def _target(
    name: str,
    port: int,
    upstream_port: int,
    *,
    http: Http = Http.ONE,
    signed: Callable[[str, AwsKeys], Wire] | None = None,
) -> Target:
    def on_ready(folder: Path) -> Wire:
        _add_model(folder, upstream_port)
        return _wire(folder, signed)

    return Target(
        name,
        port,
        (
            *(str(PROGRAM), "up", "--quiet", "--engine", "echo", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(port), "--data", DATA),
        ),
        OpenAIWire(),
        http,
        on_ready=on_ready,
        worker_mark="craton.bootstrap.worker",
        check=check_ledger,
    )


def _add_model(folder: Path, upstream_port: int) -> None:
    """Add the upstream as an operator does."""
    command = [
        *(str(PROGRAM), "models", "add", MODEL, "--data", DATA),
        *("--url", f"http://127.0.0.1:{upstream_port}/v1", "--upstream-model", "mock"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"craton models add failed: {done.stdout}{done.stderr}")


def _wire(folder: Path, signed: Callable[[str, AwsKeys], Wire] | None) -> Wire:
    """The protocol with the keys that the first start made."""
    stored: dict[str, Any] = json.loads((folder / DATA / "credentials.json").read_bytes())
    key = stored["keys"][stored["default"]]
    if signed is None:
        return OpenAIWire(MODEL, (f"Authorization: Bearer {key['api_key']}",))
    endpoint: dict[str, Any] = json.loads((folder / DATA / "endpoint.json").read_bytes())
    keys = AwsKeys(key["access_key_id"], key["secret_access_key"], str(endpoint["region"]))
    return signed(MODEL, keys)


def check_disk(folder: Path) -> None:
    """Refuse a folder whose file system is memory: durable metering would be measured for free."""
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if kind in MEMORY_FILE_SYSTEMS:
        raise SystemExit(f"{folder} is on {kind}; choose a folder on a disk with --work-dir.")


def check_ledger(folder: Path, answered: Answered) -> list[str]:
    """Hold the ledger on disk against what was answered; returns what is wrong.

    Read with SQLite itself, not with Craton's code: one usage record for each answer, with the
    upstream's own token counts; postings of every record; every transaction sums to zero.
    """
    data = folder / DATA
    books = sqlite3.connect(data / "craton.db")
    try:
        records, input_tokens, output_tokens = books.execute(
            "SELECT count(*), total(json_extract(quantities, '$.input_tokens')),"
            " total(json_extract(quantities, '$.output_tokens')) FROM usage WHERE resource = ?",
            (MODEL,),
        ).fetchone()
        unposted = books.execute(
            "SELECT count(*) FROM usage WHERE request_id NOT IN"
            " (SELECT transaction_id FROM postings)"
        ).fetchone()[0]
        unrecorded = books.execute(
            "SELECT count(*) FROM postings WHERE transaction_id NOT IN"
            " (SELECT request_id FROM usage)"
        ).fetchone()[0]
        unbalanced = books.execute(
            "SELECT count(*) FROM (SELECT 1 FROM postings GROUP BY transaction_id, currency"
            " HAVING sum(amount) <> 0)"
        ).fetchone()[0]
    finally:
        books.close()
    wrong = [
        f"{what}: {found:.0f}, but {expected} expected"
        for what, found, expected in (
            ("usage records", records, answered.requests),
            ("input tokens", input_tokens, answered.requests * INPUT_TOKENS),
            ("output tokens", output_tokens, answered.output_tokens),
            ("records without postings", unposted, 0),
            ("postings without a record", unrecorded, 0),
            ("transactions that do not balance", unbalanced, 0),
        )
        if found != expected
    ]
    log = (data / "craton.log").read_text(encoding="utf-8", errors="replace")
    wrong += [
        f"{event} in craton.log" for event in ("internal_error", "child_died") if event in log
    ]
    return wrong
