"""python -m tests.mutants: sabotage a copy of the tree, and see that a named test notices.

The named test must pass without the sabotage and fail with it. Exits with 1 if a mutant survives,
if its text is not found exactly once, or if its test fails by itself.
"""

import argparse
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

import tests.mutants
from tests.mutants.catalogue import Mutant

EVERY: tuple[Mutant, ...] = tuple(
    mutant
    for found in sorted(pkgutil.iter_modules(tests.mutants.__path__), key=lambda each: each.name)
    if found.name != "__main__"
    for mutant in importlib.import_module(f"tests.mutants.{found.name}").MUTANTS
)
"""Those of every module here; a new module needs no line of its own anywhere."""
ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "pyproject.toml", "README.md")
LIMIT_S = 180
"""For one test; all of them together get so much and `EACH_S` apiece."""
EACH_S = 5
PROGRESS_EVERY = 25
FAILED = 1
"""What pytest returns when it ran and a test failed; anything else means that it didn't run."""


def copy_tree(folder: Path) -> Path:
    """A copy to sabotage; the working tree is never touched."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, folder / name, ignore=ignore)
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def run_tests(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Pytest in the copy, on the copy's own source."""
    limit_s = LIMIT_S + EACH_S * len(tests)
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / ".hypothesis"),
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return FAILED, f"no end within {limit_s} s"
    return done.returncode, done.stdout + done.stderr


def check_origin(folder: Path) -> None:
    """The copy's source must be what runs there, not an installed one."""
    found = subprocess.run(
        [sys.executable, "-c", "import craton; print(craton.__file__)"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()).is_relative_to(folder), found.stdout


def sabotage(folder: Path, mutant: Mutant) -> str | None:
    """Make the edits; what is wrong with them, if anything."""
    for edit in mutant.edits:
        path = folder / edit.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(edit.old) != 1:
            return f"{edit.file} has its text {text.count(edit.old)} times"
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return None


def verdict(mutant: Mutant) -> tuple[str, float]:
    """What became of one mutant, and how long that took."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="craton-mutant-") as name:
        folder = copy_tree(Path(name))
        wrong = sabotage(folder, mutant)
        if wrong is not None:
            return f"NOT APPLIED: {wrong}", time.monotonic() - started_s
        status, output = run_tests(folder, [mutant.test])
    took_s = time.monotonic() - started_s
    if status == FAILED:
        return "caught", took_s
    if status == 0:
        return "SURVIVED", took_s
    return f"NOT RUN: {output[-500:]}", took_s


def main() -> int:
    parser = argparse.ArgumentParser(description="Check that the checks bite.")
    parser.add_argument("--only", default="", help="only mutants whose name has this text")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    console = Console()
    mutants = [mutant for mutant in EVERY if arguments.only in mutant.name]
    with tempfile.TemporaryDirectory(prefix="craton-mutant-") as name:
        folder = copy_tree(Path(name))
        check_origin(folder)
        status, output = run_tests(folder, sorted({mutant.test for mutant in mutants}))
    if status != 0:
        console.print(output, markup=False, highlight=False)
        console.print("The named tests fail without any sabotage, so they prove nothing.")
        return 1
    table = Table("sabotage", "test", "verdict", "s", title="mutants")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts: list[str] = []
        for mutant, (word, took_s) in zip(mutants, pool.map(verdict, mutants), strict=True):
            verdicts.append(word)
            table.add_row(mutant.name, mutant.test.rpartition("::")[2], word, f"{took_s:.1f}")
            if word != "caught" or len(verdicts) % PROGRESS_EVERY == 0:
                console.print(
                    f"{len(verdicts)} of {len(mutants)}: {mutant.name}: {word}", markup=False
                )
    console.print(table)
    caught = verdicts.count("caught")
    console.print(f"{caught} of {len(mutants)} caught")
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
