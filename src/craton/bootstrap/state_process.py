"""The state process: the one owner of every write.

python -m craton.bootstrap.state_process SETTINGS
"""

import asyncio
import os
import sys
from pathlib import Path

from craton.access import contract as access
from craton.access.commands import Access
from craton.access.records import ACCESS_KEYS, ACCOUNTS, API_KEYS, PROJECTS
from craton.access.vault import open_vault
from craton.bootstrap import child, seed
from craton.bootstrap.migrate import migrate
from craton.bootstrap.settings import Settings, from_argument
from craton.economics import contract as economics
from craton.economics import statements
from craton.economics.ledger import Holds, Ledger
from craton.economics.meters import UsageRecord
from craton.economics.prices import PriceBook, load_prices
from craton.kernel.clock import Clock, SystemClock
from craton.kernel.errors import Conflict
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics
from craton.models import commands as models
from craton.models.card import ALIASES, MODELS
from craton.models.contract import AddModel, RemoveAlias, RemoveModel, SetAlias
from craton.models.responses import DeleteResponse, KeepResponse, ReadChain, ReadResponses
from craton.models.responses_kept import Responses, read_chain, read_responses
from craton.store.database import open_sqlite
from craton.store.documents import page
from craton.store.kind import Change
from craton.store.pipeline import Commands, Pipeline


def price_folders(data: Path) -> list[Path]:
    """Where price files are: those that come with Craton, then the operator's own."""
    own = Path(__file__).parents[1] / "economics" / "price_files"
    return [own, data / "prices"]


def _as_stored(change: Change) -> Change:
    return change


def commands(*, access_commands: Access, prices: PriceBook) -> Commands:
    """Every command of the state process: the one list of what can be asked of it."""
    holds = Holds(prices)
    ledger = Ledger(prices, holds)
    responses = Responses(ledger.post)
    return Commands(
        memory={
            "hold": (economics.Hold, holds.take),
            "void": (economics.Void, lambda _, void: holds.void(void)),
        },
        batched={
            "post": (UsageRecord, ledger.post),
            "keep_response": (KeepResponse, responses.keep),
        },
        single={
            "create_account": (access.CreateAccount, access_commands.create_account),
            "create_project": (access.CreateProject, access_commands.create_project),
            "create_key": (access.CreateKey, access_commands.create_key),
            "revoke_key": (access.RevokeKey, access_commands.revoke_key),
            "add_model": (AddModel, models.add_model),
            "remove_model": (RemoveModel, models.remove_model),
            "set_alias": (SetAlias, models.set_alias),
            "remove_alias": (RemoveAlias, models.remove_alias),
            "delete_response": (DeleteResponse, responses.delete),
        },
        queries={
            "usage": (economics.UsageQuery, statements.usage),
            "summary": (economics.SummaryQuery, statements.summary),
            "balances": (economics.BalancesQuery, statements.balances),
            "verify": (economics.VerifyQuery, statements.verify),
            "responses": (ReadResponses, read_responses),
            "response_chain": (ReadChain, read_chain),
        },
        on_closed=holds.release_owner,
        published={
            ACCOUNTS.name: _as_stored,
            PROJECTS.name: _as_stored,
            ACCESS_KEYS.name: access_commands.publish_access_key,
            API_KEYS.name: _as_stored,
            MODELS.name: _as_stored,
            ALIASES.name: _as_stored,
        },
    )


async def serve(settings: Settings, stop: asyncio.Event, *, clock: Clock, log: Log) -> None:
    """Open the database, make what a first start needs, and serve until told to stop."""
    migrate(settings.database)
    connection = open_sqlite(settings.database)
    reader = open_sqlite(settings.database, read_only=True)
    if not settings.vault_key.exists() and page(connection, ACCESS_KEYS.name, "", 1):
        raise Conflict(
            f"The master key {settings.vault_key} is gone, and the secrets in the database can't "
            "be read without it. Put it back from a backup."
        )
    access_commands = Access(Ids(clock), open_vault(settings.vault_key), os.urandom)
    prices = load_prices(price_folders(settings.data))
    seed.seed(connection, access_commands, settings, clock)
    pipeline = Pipeline(
        connection,
        reader,
        commands(access_commands=access_commands, prices=prices),
        clock=clock,
        log=log,
        metrics=Metrics(),
    )
    server = await asyncio.get_running_loop().create_unix_server(
        pipeline.channel, settings.state_socket
    )
    child.settle()
    log.info("state_ready")
    await stop.wait()
    server.close()
    connection.close()
    reader.close()


def main() -> None:
    """Run as a child of `craton up`."""
    settings = from_argument(sys.argv[1])
    log = Log("state", level=settings.level)
    child.run(lambda stop: serve(settings, stop, clock=SystemClock(), log=log), log)


if __name__ == "__main__":
    main()
