from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from craton.access.commands import Access
from craton.access.contract import CreateAccount, CreateKey, NewKey
from craton.access.directory import Directory
from craton.access.records import ACCESS_KEYS, Account, Role
from craton.access.vault import open_vault
from craton.kernel.clock import SystemClock
from craton.kernel.ids import Ids
from craton.store.database import transaction
from craton.store.documents import Transaction
from craton.store.sqlite import open_sqlite
from tests.fakes.databases import migrated


class Office:
    """The commands of access on a database file, and a directory that follows them."""

    def __init__(self, folder: Path, randomness: Callable[[int], bytes]) -> None:
        self.database = folder / "craton.db"
        self.database.write_bytes(migrated())
        self.connection = open_sqlite(self.database)
        self.access = Access(Ids(SystemClock()), open_vault(folder / "vault.key"), randomness)
        self.directory = Directory()

    def do(self, command: Callable[[Transaction, Any], Any], body: msgspec.Struct) -> Any:
        with transaction(self.connection):
            work = Transaction(self.connection, 1_800_000_000_000)
            result = command(work, body)
        for change in work.changes:
            if change.kind == ACCESS_KEYS.name:
                self.directory.apply(self.access.publish_access_key(change))
            else:
                self.directory.apply(change)
        return result

    def account(self, name: str = "acme") -> Account:
        return self.do(self.access.create_account, CreateAccount(name))

    def key(self, account: str = "acme", name: str = "k", role: Role = Role.MEMBER) -> NewKey:
        return self.do(self.access.create_key, CreateKey(account, name, role=role))

    def bytes_at_rest(self) -> bytes:
        """Every byte of the database's files, the log before a checkpoint included."""
        return b"".join(
            path.read_bytes() for path in sorted(self.database.parent.glob("craton.db*"))
        )
