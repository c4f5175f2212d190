"""The recorder as a plugin of pytest.

After each test, what the workers of its Cratons answered is read and judged. An answer that breaks
its service model, or that its SDK has no type for, fails the test that got it. The rest becomes
rows, and at the end of the session these are compared with the recorded ones: what `record.json`
says must still be seen, as far as the modules ran that saw it, and nothing be seen that it doesn't
say. With `--record` the file is written instead.
"""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import rows
from tests.conformance.recording import VARIABLE, Reader
from tests.conformance.rows import Row, Rows

HOSTILE = ("tests/fuzz/", "tests/crash/", "tests/limits/", "tests/powerloss/")
"""What random inputs, kills and races get differs from run to run: judged, but not recorded."""
FAULTS_TOLD = 5


class Conformance:
    """One process's recorder; with xdist the workers record and the controller compares."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folder = Path(tempfile.mkdtemp(prefix="craton-conformance-"))
        self._outer = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(self._folder)
        self._reader = Reader(self._folder)
        self.seen: Rows = {}
        self.collected: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.failed: set[str] = set()
        self.partial: set[str] = set()
        self._told: list[str] = []

    @property
    def _is_worker(self) -> bool:
        return hasattr(self._config, "workerinput")

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._outer is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._outer

    # What is run.

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.partial.update(_module(item.nodeid) for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = Counter(_module(item.nodeid) for item in session.items)
        if any("::" in argument for argument in self._config.args):
            self.partial.update(self.collected)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        module = _module(report.nodeid)
        if report.failed:
            self.failed.add(module)
        elif report.when == "call" and report.passed:
            self.passed[module] += 1

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        yield
        faults = self._drain(_module(item.nodeid))
        if faults:
            told = "\n".join(faults[:FAULTS_TOLD])
            pytest.fail(f"{len(faults)} answers break their models:\n{told}", pytrace=False)

    def _drain(self, module: str) -> list[str]:
        faults: list[str] = []
        for record in self._reader.new():
            # SDKs are imported where one was used.
            from tests.conformance.judging import is_worth_keeping, row_of

            found = row_of(record)
            if found is None:
                continue
            faults += found[1]
            if not module.startswith(HOSTILE) and is_worth_keeping(found[0], record.status):
                self.seen.setdefault(module, set()).add(found[0])
        return faults

    # What it comes to.

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist is done: take what it saw."""
        report = getattr(node, "workeroutput", {}).get("conformance")
        if report is None:
            return
        for module, lines in report["seen"].items():
            self.seen.setdefault(module, set()).update(Row(*line) for line in lines)
        self.collected = Counter(report["collected"])
        self.partial.update(report["partial"])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_worker:
            output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
            output["conformance"] = {
                "seen": {module: sorted(map(list, found)) for module, found in self.seen.items()},
                "collected": dict(self.collected),
                "partial": sorted(self.partial),
            }
        elif self._config.getoption("--record"):
            rows.write(merged(rows.read(), self.seen, self.whole()))
        else:
            self._told = differences(rows.read(), self.seen, self.whole(), self.failed)
            if self._told and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def whole(self) -> set[str]:
        """The modules of which every test ran and passed."""
        return {
            module
            for module, tests in self.collected.items()
            if self.passed[module] == tests and module not in self.partial | self.failed
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._told:
            terminalreporter.section("what clients were seen to do isn't what is recorded")
            for line in self._told:
                terminalreporter.write_line(line)


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def merged(kept: Rows, seen: Rows, whole: Iterable[str]) -> Rows:
    """What to keep: a module that ran whole replaces its rows, another adds to them."""
    result = dict(kept)
    for module in {*seen, *whole}:
        before = set[Row]() if module in whole else kept.get(module, set())
        result[module] = before | seen.get(module, set())
    return result


def differences(kept: Rows, seen: Rows, whole: Iterable[str], failed: Iterable[str]) -> list[str]:
    """What is seen and recorded nowhere, or was recorded and isn't seen by any module any more."""
    ran, broken = set(whole), set(failed)
    known = {row for found in kept.values() for row in found}
    found = [
        f"{module}: not recorded: {' | '.join(row)}"
        for module in sorted(seen.keys() - broken)
        for row in sorted(seen[module] - known)
    ]
    claimed = {row for module, rows in kept.items() if module not in ran for row in rows}
    claimed |= {row for rows in seen.values() for row in rows}
    found += [
        f"{module}: not seen any more: {' | '.join(row)}"
        for module in sorted(ran & kept.keys())
        for row in sorted(kept[module] - claimed)
    ]
    modules = " ".join(sorted({line.partition(":")[0] for line in found}))
    return [*found, f"If this is meant: pytest --record {modules} && make docs"] if found else []
