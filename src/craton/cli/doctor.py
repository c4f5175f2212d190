"""`craton doctor`: looks at everything a Craton needs, and says what to do about what is wrong."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from craton.cli import examination
from craton.cli.examination import Finding, State
from craton.cli.examination_parts import own_files, running_parts
from craton.cli.options import DATA, AsJson, Data
from craton.cli.output import console, print_json
from craton.kernel.clock import SystemClock

PORT = 8400
_STYLES = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red"}


def doctor(
    data: Data = DATA,
    port: Annotated[
        int | None,
        typer.Option(help="The port `craton up` would take. [default: its last one, or 8400]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the data folder and the running Craton; exit code 1 if one fails."""
    findings = examine(data, port)
    if as_json:
        is_well = all(f.state is not State.FAIL for f in findings)
        print_json({"ok": is_well, "checks": findings})
    else:
        told = console()
        for finding in findings:
            told.print(f"{finding.state.upper():<4} ", style=_STYLES[finding.state], end="")
            told.print(f"{finding.check}: {finding.detail}")
            if finding.advice:
                told.print(f"     → {finding.advice}")
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)


def examine(data: Path, port: int | None) -> list[Finding]:
    """Every check, in the order in which one thing needs another."""
    clock = SystemClock()
    findings = [
        examination.python(sys.version_info[:3]),
        examination.platform(sys.platform),
        examination.free_disk(data),
        examination.data_folder(data),
    ]
    if not data.is_dir():
        return [*findings, examination.port(None, port or PORT)]
    findings += [
        examination.secret_file(data, "credentials.json"),
        examination.secret_file(data, "vault.key"),
        *examination.weights_files(data),
        examination.database(data),
        *own_files(data),
    ]
    finding, known, answers = examination.endpoint(data)
    running = known if answers else None
    last = urlsplit(known.url).port if known is not None else None
    findings += [finding, examination.port(running, port or last or PORT)]
    if running is not None:
        findings += examination.running_craton(data, running, clock)
        findings += running_parts(data, running, clock)
    return findings
