"""A fleet over an empty database: the real commands, with a clock that the test moves.

`restart` is a new state process over what was committed; `failing` makes the next commit fail, as a
full disk does.
"""

import json
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any, TypeVar

import msgspec

from craton.economics import statements
from craton.economics.contract import VerifyQuery
from craton.economics.meters import Meter
from craton.economics.prices import PriceBook, Tariff
from craton.fleet.contract import Advance, Advanced, ApplyFleet, Owner
from craton.fleet.instance_types import InstanceTypes, load_instance_types
from craton.fleet.office import Books as Posting
from craton.fleet.office import FleetOffice, LocalMachine
from craton.kernel.errors import CratonError
from craton.kernel.ids import Ids
from craton.silicon.catalogue import load_catalogue
from craton.silicon.power import load_site
from craton.store.documents import Transaction
from craton.store.undo import take_back
from tests.fakes.ledgers import Books

Done = TypeVar("Done")

START = date(2026, 1, 1)
HOURLY = {
    Meter.BLOCK_CHIP_S: 2_000_000_000,
    Meter.ON_DEMAND_CHIP_S: 3_000_000_000,
    Meter.INTERRUPTIBLE_CHIP_S: 1_000_000_000,
}
PRICED = (
    "trn2.3xlarge",
    "trn2.48xlarge",
    "trn2u.48xlarge",
    "craton.trn3-gen2",
    "p5en.48xlarge",
    "p6e-gb200.36xlarge",
    "craton.local",
)
PRICES = PriceBook([Tariff(name, START, "USD", {}, "made up", hourly=HOURLY) for name in PRICED])
MACHINE = LocalMachine("cpu", 1, "cpu-server", 2, 24)
ALICE, BOB = Owner("alice", "proj-a", "key-a"), Owner("bob", "proj-b", "key-b")


@cache
def instance_types() -> InstanceTypes:
    return load_instance_types(load_catalogue(), load_site())


def rack(name: str, type: str, **more: int | str) -> str:
    """A rack of a fleet file; `hosts=2, divided=True` are lines of it."""
    lines = {"name": name, "type": type, **more}
    return "[[site.row.rack]]\n" + "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in lines.items()
    )


def north(*racks: str) -> str:
    """A fleet file: one simulated site of one row."""
    head = '[[site]]\nname = "north"\ndriver = "simulated"\n[[site.row]]\nname = "a"\n'
    return head + "".join(racks)


class FailedCommitError(Exception):
    """The database refused a commit that a test had told it to refuse."""


class FleetWorld:
    """Commands in, views out; what is refused or fails leaves no trace."""

    def __init__(self, text: str = "", *, is_payment_manual: bool = False) -> None:
        self.books = Books(PRICES)
        self.clock = self.books.clock
        self.is_payment_manual = is_payment_manual
        self.failing = False
        self._open()
        if text:
            self.call("apply_fleet", ApplyFleet(text))

    @property
    def now_s(self) -> int:
        return self.clock.now_ns() // 1_000_000_000

    def restart(self) -> None:
        self.books.restart()
        self._open()

    def _open(self) -> None:
        books = self.books
        self.office = FleetOffice(
            instance_types(),
            MACHINE,
            Posting(books.prices, books.ledger, books.budgets),
            clock=self.clock,
            ids=Ids(self.clock),
            seal=b"k" * 32,
            is_payment_manual=self.is_payment_manual,
        )
        self.office.load(books.connection)

    def call(self, name: str, command: msgspec.Struct) -> Any:
        """Run one command as the pipeline does: alone in its group."""
        writing = Transaction(self.books.connection, self.clock.now_ns() // 1_000_000)
        _, run = self.office.commands()[name]
        self.books.connection.execute("BEGIN")
        try:
            done = run(writing, command)
            self._commit()
        except (CratonError, FailedCommitError):
            self.books.connection.execute("ROLLBACK")
            take_back(writing.undo)
            raise
        for after in writing.after_commit:
            after()
        return done

    def _commit(self) -> None:
        if self.failing:
            raise FailedCommitError
        self.books.connection.execute("COMMIT")

    def read(self, name: str, query: msgspec.Struct) -> Any:
        _, run = self.office.memory()[name]
        return run(None, query)

    def advance(self, seconds: float = 0) -> Advanced:
        """Let time pass, stopping wherever something is due, and have that done."""
        until_s = self.now_s + seconds
        while True:
            done = self.call("advance", Advance())
            if done.due_s is None or done.due_s > until_s:
                break
            self.clock.advance(seconds=max(0, done.due_s - self.clock.now_ns() / 1e9))
        self.clock.advance(seconds=max(0, until_s - self.clock.now_ns() / 1e9))
        return self.call("advance", Advance())

    def faults(self) -> list[str]:
        """What the ledger's own check finds."""
        verdict = statements.verify(self.books.connection, VerifyQuery())
        return self.books.budgets.verified(self.books.connection, verdict).faults

    def group(self, work: Callable[[Transaction], Done]) -> Done:
        """Several commands in one group, kept together."""
        writing = Transaction(self.books.connection, self.clock.now_ns() // 1_000_000)
        self.books.connection.execute("BEGIN")
        done = work(writing)
        self.books.connection.execute("COMMIT")
        return done
