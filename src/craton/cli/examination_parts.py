"""What `craton doctor` looks at beyond the processes.

Files of the operator's own, models, prices, budgets, the fleet, the certificate. Each check takes
what was read, and changes nothing.
"""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from craton.apis.native.contract import AliasPage, ModelPage, ModelView
from craton.apis.native.prices_contract import Priced, PricePage, PriceView
from craton.cli.connection import Connection, client_context
from craton.cli.examination import TIMEOUT_S, Finding, State
from craton.cli.fleet_pictures import marked_name
from craton.cli.groups import pages
from craton.cli.installation import OTHERS, EndpointFile, read_installation
from craton.cli.output import price
from craton.economics.contract import BudgetPage, BudgetStatus
from craton.economics.prices import read_price_file
from craton.fleet.contract import FleetView
from craton.fleet.instance_types import load_instance_types
from craton.fleet.records import HostState
from craton.kernel.clock import Clock
from craton.kernel.errors import CratonError
from craton.models.card import Alias, EmbeddedSource, RemoteSource
from craton.models.engines.upstream.credential import read_credential
from craton.silicon.catalogue import load_catalogue
from craton.silicon.power import load_own_site

NAMED_MAX = 5
EXPIRES_WARN_S = 14 * 86_400
_UNTIL_MENDED = "Mend the file: Craton can't start, or start again, until then."


def own_files(data: Path) -> list[Finding]:
    """The operator's own price, chip and instance-type files: those that a start would refuse."""
    prices, chips = sorted((data / "prices").glob("*.toml")), data / "chips"
    types = sorted((data / "instance_types").glob("*.toml"))
    try:
        for path in prices:
            read_price_file(path.name, path.read_text(encoding="utf-8"))
    except (CratonError, OSError, UnicodeDecodeError) as error:
        found = [_refused("price files", error)]
    else:
        told = f"{len(prices)} in {data / 'prices'}" if prices else "none of your own"
        found = [Finding("price files", State.OK, told)]
    if not types and not any(chips.glob("*.toml")):
        return found
    try:
        load_instance_types(load_catalogue(chips), load_own_site(chips), types)
    except (CratonError, OSError, UnicodeDecodeError) as error:
        return [*found, _refused("chip files", error)]
    told = f"those of {chips} and {data / 'instance_types'} can be read"
    return [*found, Finding("chip files", State.OK, told)]


def _refused(check: str, error: Exception) -> Finding:
    detail = error.message if isinstance(error, CratonError) else str(error)
    return Finding(check, State.FAIL, detail, _UNTIL_MENDED)


def running_parts(data: Path, found: EndpointFile, clock: Clock) -> list[Finding]:
    """What the running Craton has: each part that can be asked, and the certificate."""
    findings = [] if not found.url.startswith("https") else [certificate(found, clock)]
    try:
        key = read_installation(data).key()
        asked = Connection(found.url, key.api_key, timeout_s=TIMEOUT_S, trust=found.trust)
        every = [m for page in pages(asked, "/models", ModelPage) for m in page.models]
        aliases = [a for page in pages(asked, "/aliases", AliasPage) for a in page.aliases]
        priced = [p for page in pages(asked, "/prices", PricePage) for p in page.prices]
        bounds = [b for page in pages(asked, "/budgets", BudgetPage) for b in page.budgets]
        view = asked.get("/fleet", FleetView)
    except CratonError as error:
        detail = f"can't be read: {error.message}"
        return [*findings, Finding("models", State.FAIL, detail, "Look at the checks above.")]
    return [*findings, models(every, aliases), prices(priced), budgets(bounds), fleet(view)]


def certificate(found: EndpointFile, clock: Clock) -> Finding:
    """How long the certificate that is served with lasts."""
    parts = urlsplit(found.url)
    try:
        address = (parts.hostname or "", parts.port or 443)
        with socket.create_connection(address, TIMEOUT_S) as plain:
            assert found.trust is not None, "TLS is served, and nothing says whom to trust"
            context = client_context(found.trust)
            with context.wrap_socket(plain, server_hostname=parts.hostname) as secured:
                told = secured.getpeercert() or {}
    except OSError as error:
        advice = "Renew the certificate, or let `craton up --tls` make one."
        return Finding("certificate", State.FAIL, f"it isn't trusted: {error}", advice)
    left_s = ssl.cert_time_to_seconds(str(told["notAfter"])) - clock.now_ns() / 1e9
    detail = f"it is good for {left_s / 86_400:.0f} days"
    if left_s < EXPIRES_WARN_S:
        return Finding("certificate", State.WARN, detail, "Renew it before programs refuse it.")
    return Finding("certificate", State.OK, detail)


def models(every: Sequence[ModelView], aliases: Sequence[Alias]) -> Finding:
    """Whether the files that models name are there, and what aliases mean exists."""
    known = {model.id for model in every}
    faults = [fault for model in every if (fault := _model_fault(model))]
    faults += [
        f"the alias {alias.name} means {alias.model}, which is gone"
        for alias in aliases
        if alias.model not in known
    ]
    if faults:
        advice = "Put the file back, or change what it is about with `craton models`."
        return Finding("models", State.FAIL, _listed(faults), advice)
    if not every:
        return Finding("models", State.WARN, "there are none", "Add one with `craton models add`.")
    return Finding("models", State.OK, f"{len(every)} models and {len(aliases)} aliases")


def _model_fault(model: ModelView) -> str | None:
    match model.source:
        case RemoteSource(credential_file=str() as path):
            try:
                read_credential(path, model.id)
            except CratonError as error:
                return error.message
            if Path(path).stat().st_mode & OTHERS:
                return f"others can read the credential file of {model.id}: run `chmod 600 {path}`"
            return None
        case EmbeddedSource(gguf=str() as path) if not Path(path).is_file():
            return f"the file {path} of {model.id} is gone"
        case _:
            return None


def prices(every: Sequence[PriceView]) -> Finding:
    """Whether each model has a price, and each price something it is for."""
    free = [view.resource for view in every if view.kind is Priced.MODEL and view.currency is None]
    unknown = [view.resource for view in every if view.kind is Priced.UNKNOWN]
    if free:
        advice = "Write their prices into a file in the data folder's `prices`, and start again."
        return Finding("prices", State.WARN, f"free, for want of a price: {_listed(free)}", advice)
    if unknown:
        advice = "Look whether the names are spelled as `craton models` has them."
        detail = f"price files name what there is no model of: {_listed(unknown)}"
        return Finding("prices", State.WARN, detail, advice)
    return Finding("prices", State.OK, "every model has one")


def budgets(every: Sequence[BudgetStatus]) -> Finding:
    """Whether a budget is used up, so that what it bounds is refused."""
    over = [
        f"{budget.name} by {price(budget.over_nanos, budget.currency)}"
        for budget in every
        if budget.over_nanos > 0
    ]
    spent = [b.name for b in every if b.left_nanos <= 0]
    if over or spent:
        detail = f"used up: {_listed(spent)}" if spent else ""
        told = f"overdrawn: {_listed(over)}" if over else ""
        advice = "What they bound is refused until they renew; `craton budgets` raises them."
        return Finding("budgets", State.WARN, "; ".join(filter(None, (detail, told))), advice)
    return Finding("budgets", State.OK, f"{len(every)}, none of them used up")


def fleet(view: FleetView) -> Finding:
    """Whether hosts are broken, and more was promised than works."""
    short = [
        f"{pool.key} can give {pool.offered_units} of {pool.units} units"
        for pool in view.pools
        if pool.offered_units < pool.units
    ]
    failed = [marked_name(mark) for mark in view.marks if mark.state is HostState.FAILED]
    if short:
        advice = "Repair hosts and say so with `craton fleet repair`."
        return Finding("fleet", State.FAIL, _listed(short), advice)
    if failed:
        advice = "Spares stand in for them. Repair them and say so with `craton fleet repair`."
        return Finding("fleet", State.WARN, f"broken: {_listed(failed)}", advice)
    return Finding("fleet", State.OK, f"{view.chips:,} chips in {len(view.pools)} pools")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED_MAX
    return "; ".join(names[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")
