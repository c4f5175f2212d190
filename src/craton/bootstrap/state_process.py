"""The state process: the one owner of every write.

python -m craton.bootstrap.state_process SETTINGS
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from craton.access import contract as access
from craton.access.commands import Access
from craton.access.policy_commands import delete_policy, put_policy
from craton.access.records import ACCESS_KEYS, ACCOUNTS, API_KEYS, POLICIES, PROJECTS
from craton.access.vault import open_vault
from craton.bootstrap import child, seed
from craton.bootstrap.databases import open_databases
from craton.bootstrap.discovery import discover
from craton.bootstrap.settings import Settings, from_argument
from craton.economics import contract as economics
from craton.economics import statements
from craton.economics.admission import Admission
from craton.economics.bounds import BUDGETS, LIMITS
from craton.economics.budgets import Budgets
from craton.economics.holds import Holds
from craton.economics.ledger import Ledger
from craton.economics.limits import Limits
from craton.economics.meters import UsageRecord
from craton.economics.price_list import PriceList, PricesQuery
from craton.economics.prices import PriceBook, load_prices
from craton.fleet.instance_types import load_instance_types
from craton.fleet.office import Books, FleetOffice
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
from craton.silicon.catalogue import load_catalogue
from craton.silicon.power import load_own_site
from craton.store.database import Connection
from craton.store.documents import page
from craton.store.kind import Change
from craton.store.pipeline import Commands, Pipeline


def price_folders(data: Path) -> list[Path]:
    """Where price files are: those that come with Craton, then the operator's own."""
    own = Path(__file__).parents[1] / "economics" / "price_files"
    return [own, data / "prices"]


def offer_key(vault_key: Path) -> bytes:
    """The key that seals offers: of the master key, which a restart finds again."""
    return hashlib.blake2b(vault_key.read_bytes(), person=b"craton-offers").digest()


def _as_stored(change: Change) -> Change:
    return change


@dataclass(frozen=True, slots=True)
class Economy:
    """What rates, holds and posts, put together over what is posted already."""

    holds: Holds
    budgets: Budgets
    limits: Limits
    admission: Admission
    ledger: Ledger
    price_list: PriceList


def economy(
    connection: Connection,
    prices: PriceBook,
    *,
    awaited: Collection[str],
    clock: Clock,
    metrics: Metrics,
) -> Economy:
    """Put it together; `awaited` are the processes that may still hold what isn't known here."""
    holds = Holds(prices)
    budgets = Budgets(holds, clock, Ids(clock))
    limits = Limits(holds, clock, Ids(clock))
    budgets.load(connection)
    limits.load(connection)
    admission = Admission(holds, budgets, limits, clock=clock, metrics=metrics, awaited=awaited)
    ledger = Ledger(prices, holds, budgets, metrics)
    return Economy(holds, budgets, limits, admission, ledger, PriceList(prices, clock))


def office(settings: Settings, economy: Economy, prices: PriceBook, clock: Clock) -> FleetOffice:
    """The fleet: this machine, and what the operator's file says of others."""
    catalogue = load_catalogue(settings.data / "chips")
    site = load_own_site(settings.data / "chips")
    own = sorted((settings.data / "instance_types").glob("*.toml"))
    return FleetOffice(
        load_instance_types(catalogue, site, own),
        discover(catalogue),
        Books(prices, economy.ledger, economy.budgets),
        clock=clock,
        ids=Ids(clock),
        seal=offer_key(settings.vault_key),
        is_payment_manual=settings.payments == "manual",
    )


def commands(*, access_commands: Access, economy: Economy, office: FleetOffice) -> Commands:
    """Every command of the state process: the one list of what can be asked of it."""
    admission, budgets, limits = economy.admission, economy.budgets, economy.limits
    ledger = economy.ledger
    responses = Responses(ledger.post)
    return Commands(
        memory={
            "hold": (economics.Hold, economy.holds.take),
            "holds": (list[economics.Hold], economy.holds.take_all),
            "admit": (economics.Hold, admission.admit),
            "void": (economics.Void, lambda _, void: admission.void(void)),
            "budgets": (economics.BoundsQuery, lambda _, query: budgets.read(query)),
            "limits": (economics.BoundsQuery, lambda _, query: limits.read(query)),
            "prices": (PricesQuery, lambda _, query: economy.price_list.read(query)),
            **office.memory(),
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
            "put_policy": (access.PutPolicy, put_policy),
            "delete_policy": (access.DeletePolicy, delete_policy),
            "add_model": (AddModel, models.add_model),
            "remove_model": (RemoveModel, models.remove_model),
            "set_alias": (SetAlias, models.set_alias),
            "remove_alias": (RemoveAlias, models.remove_alias),
            "create_budget": (economics.CreateBudget, budgets.create),
            "update_budget": (economics.UpdateBudget, budgets.update),
            "delete_budget": (economics.DeleteBudget, budgets.delete),
            "create_limit": (economics.CreateLimit, limits.create),
            "update_limit": (economics.UpdateLimit, limits.update),
            "delete_limit": (economics.DeleteLimit, limits.delete),
            "delete_response": (DeleteResponse, responses.delete),
            **office.commands(),
        },
        queries={
            "usage": (economics.UsageQuery, statements.usage),
            "summary": (economics.SummaryQuery, statements.summary),
            "balances": (economics.BalancesQuery, statements.balances),
            "verify": (
                economics.VerifyQuery,
                lambda reader, query: budgets.verified(reader, statements.verify(reader, query)),
            ),
            "responses": (ReadResponses, read_responses),
            "response_chain": (ReadChain, read_chain),
            **office.queries(),
        },
        on_closed=admission.closed,
        on_greeted=lambda session: admission.greeted(session.process),
        published={
            ACCOUNTS.name: _as_stored,
            PROJECTS.name: _as_stored,
            ACCESS_KEYS.name: access_commands.publish_access_key,
            API_KEYS.name: _as_stored,
            POLICIES.name: _as_stored,
            MODELS.name: _as_stored,
            ALIASES.name: _as_stored,
            BUDGETS.name: _as_stored,
            LIMITS.name: _as_stored,
        },
    )


def is_first(settings: Settings) -> bool:
    """Whether no worker can hold a lease yet, so that no change need wait for one to run out.

    Leases are given by state processes only. None of this start ran before if the mark in its run
    folder, which is new at each start, is made here; and of earlier starts no worker is alive where
    the supervisor is alone.
    """
    try:
        settings.state_begun.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    return settings.is_alone


async def serve(settings: Settings, stop: asyncio.Event, *, clock: Clock, log: Log) -> None:
    """Open the database, make what a first start needs, and serve until told to stop."""
    opened = await open_databases(settings, stop, clock=clock, log=log)
    if opened is None:
        return
    connection, reader = opened
    if not settings.vault_key.exists() and page(connection, ACCESS_KEYS.name, "", 1):
        raise Conflict(
            f"The master key {settings.vault_key} is gone, and the secrets in the database can't "
            "be read without it. Put it back from a backup."
        )
    access_commands = Access(Ids(clock), open_vault(settings.vault_key), os.urandom)
    metrics = Metrics()
    seed.seed(connection, access_commands, settings, clock)
    prices = load_prices(price_folders(settings.data))
    rated = economy(
        connection,
        prices,
        awaited=[f"gateway-{number}" for number in range(settings.workers)],
        clock=clock,
        metrics=metrics,
    )
    fleet = office(settings, rated, prices, clock)
    fleet.load(connection)
    pipeline = Pipeline(
        connection,
        reader,
        commands(access_commands=access_commands, economy=rated, office=fleet),
        clock=clock,
        log=log,
        metrics=metrics,
        may_old_leases_run=not is_first(settings),
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
