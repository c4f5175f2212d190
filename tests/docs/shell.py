"""A shell as a reader of the documents has one: `craton` and `python` on the path, and no keys."""

import os
import subprocess
import sys
from pathlib import Path

IN_THE_WAY = ("AWS_", "OPENAI_", "ANTHROPIC_", "CRATON_")
"""Variables of whoever runs the tests, without which the documents must work."""


def run(
    script: str, *arguments: str, cwd: Path | None = None, limit_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a script with `sh`; its arguments are `$1` and so on."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(IN_THE_WAY)
    }
    binaries = Path(sys.executable).parent
    environment["PATH"] = f"{binaries}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["sh", "-c", script, "sh", *arguments],
        capture_output=True,
        text=True,
        timeout=limit_s,
        cwd=cwd,
        env=environment,
        check=False,
    )
