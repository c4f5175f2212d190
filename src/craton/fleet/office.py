"""The fleet's commands, put together: what the state process answers about capacity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from craton.economics.budgets import Budgets
from craton.economics.ledger import Ledger
from craton.economics.prices import PriceBook
from craton.fleet import contract
from craton.fleet import reservation_contract as divided
from craton.fleet.charges import Charges
from craton.fleet.commitment_office import CommitmentOffice
from craton.fleet.fleet import Fleet, find_lease
from craton.fleet.fleet_file import (
    DriverKind,
    FleetFile,
    RackEntry,
    RowEntry,
    SiteEntry,
    read_fleet_file,
)
from craton.fleet.instance_types import LOCAL, InstanceType, InstanceTypes
from craton.fleet.inventory import Inventory, build_inventory
from craton.fleet.leases import LeaseDesk
from craton.fleet.lifecycle import Lifecycle
from craton.fleet.losses import Losses
from craton.fleet.maintenance import MaintenanceDesk
from craton.fleet.maintenance_contract import (
    CancelMaintenance,
    MaintenanceQuery,
    ScheduleMaintenance,
)
from craton.fleet.offered import offered
from craton.fleet.offers import OfferDesk
from craton.fleet.parts import Parts
from craton.fleet.records import FLEET, PAST_RESERVATIONS, FleetText, Lease, Reservation
from craton.fleet.replacement import replace_inventory
from craton.fleet.reservation_fleets import ReservationFleets
from craton.fleet.reservation_tags import Tags
from craton.fleet.reservations import Promises
from craton.fleet.room import Room
from craton.fleet.share_contract import SetShare, SharesQuery
from craton.fleet.shares import Shares
from craton.fleet.views import Views
from craton.fleet.watch import Watch
from craton.kernel.clock import Clock
from craton.kernel.ids import Ids
from craton.store.database import Connection
from craton.store.documents import Transaction, everything

LOCAL_SITE = "local"
_FLEET_ID = "fleet"


class LocalMachine(msgspec.Struct, frozen=True):
    """What was found on the machine that Craton runs on: its accelerators, or its processor."""

    chip: str
    chips: int
    server: str
    vcpus: int
    memory_gib: int
    draw_w: int | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """What the fleet's commands post with."""

    prices: PriceBook
    ledger: Ledger
    budgets: Budgets


Single = Callable[[Transaction, Any], msgspec.Struct]


class FleetOffice:
    """Everything about capacity in the state process."""

    def __init__(
        self,
        types: InstanceTypes,
        local: LocalMachine,
        books: Books,
        *,
        clock: Clock,
        ids: Ids,
        seal: bytes,
        is_payment_manual: bool = False,
    ) -> None:
        self._types = _with_local(types, local)
        self._clock = clock
        self._applied_ms = 0
        charges = Charges(books.prices, books.ledger, books.budgets, ids)
        self.fleet = Fleet(self._inventory(""))
        desk = OfferDesk(self.fleet, charges, clock, seal)
        self._offers = desk
        self.promises = Promises(
            self.fleet, desk, charges, ids, is_payment_manual=is_payment_manual
        )
        self._parts = Parts(self.fleet, self.promises)
        self._fleets = ReservationFleets(self.fleet, self.promises)
        self._tags = Tags(self.fleet, self._fleets)
        self._shares = Shares(self.fleet, clock)
        room = Room(self.fleet, self._shares)
        self.leases = LeaseDesk(self.fleet, room, charges, ids)
        self.watch = Watch(self.fleet, clock)
        self.losses = Losses(self.fleet, self.promises, self.leases, room, self.watch)
        self._maintenance = MaintenanceDesk(self.fleet, self.leases, self.losses, ids)
        self.commitments = CommitmentOffice(
            self.fleet,
            self.promises,
            self.leases,
            charges,
            ledger=books.ledger,
            types=self._types,
            clock=clock,
        )
        self.lifecycle = Lifecycle(
            self.fleet,
            self.promises,
            self.leases,
            charges,
            losses=self.losses,
            commitments=self.commitments.desk,
            maintenance=self._maintenance,
            room=room,
            shares=self._shares,
            clock=clock,
        )
        self._views = Views(self.fleet, self._types, charges, self._shares)

    def load(self, connection: Connection) -> None:
        """Read the fleet file that is in force, what was promised and what runs."""
        for change in everything(connection, FLEET.name):
            assert change.body is not None, "a document that is there"
            text = FLEET.decode(change.body)
            self._applied_ms = text.applied_ms
            self.fleet.replace(self._inventory(text.text))
        self._maintenance.load(connection)
        self.fleet.load(connection, self._now_ms() // 1000)
        self._fleets.load(connection)
        self.commitments.desk.load(connection)
        self._shares.load(connection)
        self.lifecycle.note_all()

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000

    def _inventory(self, text: str) -> Inventory:
        """This machine, and what a file says of others."""
        file = read_fleet_file(text, self._types, (LOCAL_SITE,)) if text else FleetFile()
        divided = file.this_machine is not None and file.this_machine.divided
        rack = RackEntry(name="machine", type=LOCAL, hosts=1, divided=divided)
        row = RowEntry(name="here", rack=(rack,))
        local = SiteEntry(name=LOCAL_SITE, driver=DriverKind.LOCAL, row=(row,))
        return build_inventory(FleetFile((local, *file.site)), self._types)

    def apply(self, transaction: Transaction, command: contract.ApplyFleet) -> contract.FleetView:
        """Put a fleet file in force."""
        inventory = self._inventory(command.text)
        replace_inventory(self.fleet, transaction, inventory)
        self._maintenance.settle(transaction)
        self.commitments.desk.enforce(transaction.undo)
        text = FleetText(command.text, transaction.now_ms)
        if transaction.find(FLEET, _FLEET_ID) is None:
            transaction.add(FLEET, _FLEET_ID, text, account="", name=_FLEET_ID)
        else:
            transaction.put(FLEET, _FLEET_ID, text)
        before = self._applied_ms

        def back() -> None:
            self._applied_ms = before

        self._applied_ms = transaction.now_ms
        transaction.undo.append(back)
        return self.view(contract.FleetQuery())

    def view(self, query: contract.FleetQuery) -> contract.FleetView:
        """The fleet as it is now."""
        return self._views.fleet(query, self._now_ms() // 1000, self._applied_ms)

    def calendar(self, query: contract.CalendarQuery) -> contract.CalendarView:
        """What is free, and when."""
        return self._views.calendar(query)

    def search(self, query: contract.SearchOffers) -> contract.Offers:
        """Blocks that could be bought."""
        return self._offers.search(query)

    def search_extensions(self, query: contract.SearchExtensions) -> contract.Offers:
        """What a block could be made longer by."""
        reservation = self.promises.find(query.reservation, query.owner.account)
        return self._offers.search_extensions(query, reservation)

    def reservations(self, query: contract.ReservationsQuery) -> contract.Reservations:
        """The reservations of an account, over or not; not those that are over for long."""
        now_ms = self._now_ms()
        found = [
            each
            for each in self.fleet.reservations.values()
            if query.account in (None, each.account) and query.id in (None, each.id, each.block)
        ]
        return contract.Reservations([self._views.reservation(each, now_ms) for each in found])

    def read_past(
        self, connection: Connection, query: contract.ReservationsQuery
    ) -> contract.Reservations:
        """The reservation of an id that is over for long."""
        found = Transaction(connection, 0).find(PAST_RESERVATIONS, query.id or "")
        if found is None or query.account not in (None, found.account):
            return contract.Reservations([])
        return contract.Reservations([self._views.reservation(found, self._now_ms())])

    def read_leases(self, query: contract.LeasesQuery) -> contract.Leases:
        """The leases of an account that wait or run."""
        found = [
            each
            for each in self.fleet.leases.values()
            if query.account in (None, each.account) and query.id in (None, each.id)
        ]
        return contract.Leases(self._views.leases(found))

    def read_ended(self, connection: Connection, query: contract.LeasesQuery) -> contract.Leases:
        """The lease of an id, ended or not."""
        if query.id is None:
            return contract.Leases([])
        found = find_lease(Transaction(connection, 0), query.id)
        if found is None or query.account not in (None, found.account):
            return contract.Leases([])
        return contract.Leases([self._views.lease(found)])

    def commands(self) -> dict[str, tuple[Any, Single]]:
        """What is decided and posted in one commit, by name."""
        promises, leases = self.promises, self.leases
        return {
            "apply_fleet": (contract.ApplyFleet, self.apply),
            "mark_hosts": (contract.MarkHosts, self._maintenance.mark),
            "buy_offer": (contract.BuyOffer, self._promise(promises.buy)),
            "buy_extension": (contract.BuyOffer, self._promise(promises.extend)),
            "create_reservation": (contract.CreateReservation, self._promise(promises.create)),
            "modify_reservation": (contract.ModifyReservation, self._promise(promises.modify)),
            "cancel_reservation": (contract.CancelReservation, self._promise(promises.cancel)),
            "confirm_payment": (contract.ConfirmPayment, self._promise(promises.confirm)),
            "split_reservation": (divided.SplitReservation, self._both(self._parts.split)),
            "move_hosts": (divided.MoveHosts, self._both(self._parts.move)),
            "tag_reservations": (divided.TagReservations, self._tags.tag),
            "create_reservation_fleet": (divided.CreateFleet, self._fleets.create),
            "modify_reservation_fleet": (divided.ModifyFleet, self._fleets.modify),
            "cancel_reservation_fleet": (divided.CancelFleet, self._fleets.cancel),
            "schedule_maintenance": (ScheduleMaintenance, self._maintenance.schedule),
            "cancel_maintenance": (CancelMaintenance, self._maintenance.cancel),
            "set_share": (SetShare, self._shares.set),
            "request_lease": (contract.RequestLease, self._lease(leases.request)),
            "end_lease": (contract.EndLease, self._lease(leases.end)),
            "advance": (contract.Advance, self.lifecycle.advance),
            **self.commitments.commands(),
        }

    def memory(self) -> dict[str, tuple[Any, Callable[[Any, Any], msgspec.Struct]]]:
        """What is read from memory, by name."""
        return {
            "fleet": (contract.FleetQuery, lambda _, query: self.view(query)),
            "calendar": (contract.CalendarQuery, lambda _, query: self.calendar(query)),
            "search_offers": (contract.SearchOffers, lambda _, query: self.search(query)),
            "search_extensions": (
                contract.SearchExtensions,
                lambda _, query: self.search_extensions(query),
            ),
            "reservations": (
                contract.ReservationsQuery,
                lambda _, query: self.reservations(query),
            ),
            "reservation_fleets": (
                divided.FleetsQuery,
                lambda _, query: self._fleets.read(query),
            ),
            "offered": (
                divided.OfferedQuery,
                lambda _, query: offered(self.fleet, self._types, query),
            ),
            "maintenance": (MaintenanceQuery, lambda _, query: self._maintenance.read(query)),
            "shares": (SharesQuery, lambda _, query: self._shares.read(query)),
            "fleet_due": (contract.DueQuery, lambda _, __: self.lifecycle.due()),
            "alive": (contract.Alive, lambda _, alive: self.watch.hear(alive)),
            "leases": (contract.LeasesQuery, lambda _, query: self.read_leases(query)),
            **self.commitments.memory(),
        }

    def _promise(self, run: Callable[[Transaction, Any], Reservation]) -> Single:
        def answered(transaction: Transaction, command: msgspec.Struct) -> msgspec.Struct:
            return self._views.reservation(run(transaction, command), transaction.now_ms)

        return answered

    def _both(self, run: Callable[[Transaction, Any], tuple[Reservation, Reservation]]) -> Single:
        def answered(transaction: Transaction, command: msgspec.Struct) -> msgspec.Struct:
            source, destination = run(transaction, command)
            return divided.SourceAndDestination(
                self._views.reservation(source, transaction.now_ms),
                self._views.reservation(destination, transaction.now_ms),
            )

        return answered

    def _lease(self, run: Callable[[Transaction, Any], Lease]) -> Single:
        def answered(transaction: Transaction, command: msgspec.Struct) -> msgspec.Struct:
            return self._views.lease(run(transaction, command))

        return answered

    def queries(self) -> dict[str, tuple[Any, Callable[[Connection, Any], msgspec.Struct]]]:
        """What is read from the database, by name."""
        return {
            "ended_lease": (contract.LeasesQuery, self.read_ended),
            "past_reservation": (contract.ReservationsQuery, self.read_past),
        }


def _with_local(types: InstanceTypes, local: LocalMachine) -> InstanceTypes:
    own = InstanceType(
        name=LOCAL,
        chip=local.chip,
        chips=local.chips,
        server=local.server,
        draw_w=local.draw_w,
        vcpus=local.vcpus,
        memory_gib=local.memory_gib,
        is_own=True,
    )
    return InstanceTypes({**types.by_name, LOCAL: own})
