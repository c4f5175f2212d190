"""Installs what strangers wrote, as its lock says, and runs it with nothing but `craton env`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from craton.cli.environment import variables_of
from craton.cli.installation import read_installation
from tests.fakes.craton import Craton

INSTALL_LIMIT_S = 600
RUN_LIMIT_S = 300
KEPT = ("PATH", "HOME", "LANG")
"""Variables of whoever runs the tests that a program gets."""


def python_with(lock: Path, folder: Path) -> Path:
    """An interpreter that has what a lock of Python packages names; made once and kept."""
    environment = folder / lock.stem
    python, done = environment / "bin" / "python", environment / "installed"
    if not _is_done(done, lock):
        uv = [sys.executable, "-m", "uv", "--quiet"]
        _install([*uv, "venv", "--clear", "--python", sys.executable, str(environment)])
        _install([*uv, "pip", "sync", "--require-hashes", "--python", str(python), str(lock)])
        shutil.copy(lock, done)
    return python


def node_folder_with(source: Path, folder: Path) -> Path:
    """A folder with the packages from npm that a source's lock names, and its own files."""
    made = folder / source.name
    lock, done = source / "package-lock.json", made / "installed"
    shutil.copytree(source, made, dirs_exist_ok=True)
    if not _is_done(done, lock):
        _install(["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"], cwd=made)
        shutil.copy(lock, done)
    return made


def told(craton: Craton) -> dict[str, str]:
    """What `craton env` prints."""
    return variables_of(read_installation(craton.data), None)


def run(
    *command: str, at: Path, variables: Mapping[str, str], limit_s: float = RUN_LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder; it sees these variables and a few that every program has."""
    bare = {name: os.environ[name] for name in KEPT if name in os.environ}
    return subprocess.run(
        command,
        cwd=at,
        env={**bare, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def _is_done(done: Path, lock: Path) -> bool:
    return done.exists() and done.read_bytes() == lock.read_bytes()


def _install(command: list[str], cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=INSTALL_LIMIT_S)
