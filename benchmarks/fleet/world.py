"""A state process's fleet and ledger over one SQLite file, and the clock that they are told.

Everything is the state process's own: its commands, a commit each, with synchronous=FULL.
"""

from pathlib import Path
from typing import Any

import msgspec

from craton.bootstrap.migrate import migrate
from craton.bootstrap.state_process import economy, price_folders
from craton.economics.prices import load_prices
from craton.fleet.contract import Advance
from craton.fleet.instance_types import InstanceTypes, load_instance_types
from craton.fleet.office import Books, FleetOffice, LocalMachine
from craton.kernel.clock import ManualClock
from craton.kernel.errors import CratonError
from craton.kernel.ids import Ids
from craton.kernel.metrics import Metrics
from craton.silicon.catalogue import load_catalogue
from craton.silicon.power import load_site
from craton.store.database import transaction
from craton.store.documents import Transaction
from craton.store.sqlite import open_sqlite
from craton.store.undo import take_back


class World:
    """What a benchmark asks for capacity; price files lie in `prices/` beside the database."""

    def __init__(self, database: Path, at_s: int, types: InstanceTypes | None = None) -> None:
        """`at_s`: when it begins. `types`: instead of those that Craton comes with."""
        self.database = database
        self.clock = ManualClock(at_s * 10**9)
        self.types = types or load_instance_types(load_catalogue(), load_site())
        migrate(database)
        self.open()

    def open(self) -> None:
        """Read everything there is."""
        self.connection = open_sqlite(self.database)
        prices = load_prices(price_folders(self.database.parent))
        rated = economy(self.connection, prices, awaited=(), clock=self.clock, metrics=Metrics())
        self.office = FleetOffice(
            self.types,
            LocalMachine("cpu", 1, "cpu-server", 2, 24),
            Books(prices, rated.ledger, rated.budgets),
            clock=self.clock,
            ids=Ids(self.clock),
            seal=b"k" * 32,
        )
        self.office.load(self.connection)
        self.commands = self.office.commands()

    def restart(self) -> None:
        """Throw all of it away, and read it again."""
        self.connection.close()
        self.open()

    @property
    def now_s(self) -> int:
        return self.clock.now_ns() // 10**9

    def call(self, name: str, command: msgspec.Struct) -> Any:  # noqa: ANN401 - as each answers
        """One command, and its commit; what is refused leaves no trace."""
        writing = Transaction(self.connection, self.now_s * 1000)
        try:
            with transaction(self.connection):
                done = self.commands[name][1](writing, command)
        except CratonError:
            take_back(writing.undo)
            raise
        for after in writing.after_commit:
            after()
        return done

    def go(self, at_s: int) -> int:
        """Move the clock, and have done what is due; how many things were."""
        self.clock.advance(seconds=at_s - self.now_s)
        return len(self.call("advance", Advance()).events)
