"""Capacity reservations: kept from now on, changed, divided, given back; and what is used of them.

Whoever uses one holds leases inside it, so what EC2 calls used instances are hosts with a lease.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.capacity_found import reservation, reservations
from craton.apis.ec2.capacity_words import (
    HOLDING,
    RESERVATION_FILTERS,
    available_hosts,
    check_id,
    reservation_arn,
    reservation_document,
    reservation_fields,
    seconds_of,
    tags_of,
)
from craton.apis.ec2.filters import Filters
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged
from craton.apis.ec2.regions import zone_id, zone_of
from craton.apis.ec2.tags import given_tags
from craton.fleet.contract import (
    CancelReservation,
    CreateReservation,
    ModifyReservation,
    ReservationView,
)
from craton.fleet.lookup import State
from craton.fleet.reservation_contract import (
    MoveHosts,
    SourceAndDestination,
    SplitReservation,
)

TOPOLOGY_RESULTS_MAX = 10
TAGGED = ("capacity-reservation",)
_NODE_HEX = 17
_REFUSED = {
    "StartDate": "Reserve ahead of time with a capacity block: DescribeCapacityBlockOfferings.",
    "CommitmentDuration": "Without a StartDate there is nothing to commit to.",
    "DeliveryPreference": "It is for reservations with a StartDate, which aren't kept here.",
    "OutpostArn": "There are no Outposts here.",
    "PlacementGroupArn": "Hosts of one reservation lie close together without one.",
    "QuoteId": "No quotes are made here.",
    "ApplyCancellationCharges": "Nothing is charged for cancelling here.",
}
"""Parameters that ask for what there isn't, and what to do instead."""


def _one(asked: Asked, params: Document) -> Sequence[str]:
    return [reservation_arn(asked, params["CapacityReservationId"])]


def _new(asked: Asked, params: Document) -> Sequence[str]:
    del params
    return [reservation_arn(asked)]


def _source(asked: Asked, params: Document) -> Sequence[str]:
    return [reservation_arn(asked, params["SourceCapacityReservationId"])]


def _both(asked: Asked, params: Document) -> Sequence[str]:
    names = ("SourceCapacityReservationId", "DestinationCapacityReservationId")
    return [reservation_arn(asked, params[name]) for name in names]


class CapacityReservations:
    """The operations on capacity reservations."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> dict[str, Ec2Operation]:
        """By the operation's name."""
        own = ("CapacityReservationId",)
        return {
            "DescribeCapacityReservations": Ec2Operation(
                self.describe, paged=Paged("CapacityReservations", own)
            ),
            "CreateCapacityReservation": Ec2Operation(self.create, _new),
            "ModifyCapacityReservation": Ec2Operation(self.modify, _one),
            "CancelCapacityReservation": Ec2Operation(self.cancel, _one),
            "GetCapacityReservationUsage": Ec2Operation(
                self.usage, _one, Paged("InstanceUsages", ("AccountId",))
            ),
            "GetGroupsForCapacityReservation": Ec2Operation(
                self.groups, _one, Paged("CapacityReservationGroups", ("GroupArn",))
            ),
            "DescribeCapacityReservationTopology": Ec2Operation(
                self.topology, paged=Paged("CapacityReservations", own, TOPOLOGY_RESULTS_MAX)
            ),
            "CreateCapacityReservationBySplitting": Ec2Operation(self.split, _source),
            "MoveCapacityReservationInstances": Ec2Operation(self.move, _both),
        }

    async def describe(self, asked: Asked, params: Document) -> Document:
        """The caller's reservations, blocks among them, over or not."""
        filters = Filters(params.get("Filters"), names=RESERVATION_FILTERS, has_tags=True)
        found = await reservations(self._state, asked, params.get("CapacityReservationIds"))
        return {
            "CapacityReservations": [
                reservation_document(view, asked.place)
                for view in found
                if filters.admit(reservation_fields(view, asked.place), tags_of(view))
            ]
        }

    async def create(self, asked: Asked, params: Document) -> Document:
        """Keep hosts from now on."""
        _refuse(params)
        if params.get("EbsOptimized") or params.get("EphemeralStorage"):
            raise ec2_error(
                "Unsupported",
                "Hosts here have no EBS and no instance store. Leave out EbsOptimized and "
                "EphemeralStorage.",
            )
        if params.get("Tenancy", "default") != "default":
            raise ec2_error(
                "Unsupported",
                "Tenancy is dedicated. Every host of a reservation is its account's alone: leave "
                "it out.",
            )
        command = CreateReservation(
            owner=asked.owner,
            instance_type=params["InstanceType"],
            hosts=params["InstanceCount"],
            zone=zone_of(asked.place, params),
            end_s=_end(params, asked.now_ms)[0],
            is_targeted=params.get("InstanceMatchCriteria") == "targeted",
            platform=params["InstancePlatform"],
            client_token=params.get("ClientToken"),
            tags=given_tags(params, TAGGED),
        )
        view = await self._state.call("create_reservation", command, ReservationView)
        return {"CapacityReservation": reservation_document(view, asked.place)}

    async def modify(self, asked: Asked, params: Document) -> Document:
        """Change how many hosts, until when, or who matches."""
        id = check_id("cr", params["CapacityReservationId"])
        _refuse(params)
        end_s, is_endless = _end(params, asked.now_ms)
        criteria: str | None = params.get("InstanceMatchCriteria")
        hosts: int | None = params.get("InstanceCount")
        if hosts is None and end_s is None and not is_endless and criteria is None:
            raise ec2_error(
                "MissingParameter",
                "The request must contain InstanceCount, EndDateType or InstanceMatchCriteria.",
            )
        command = ModifyReservation(
            account=asked.account,
            id=id,
            hosts=hosts,
            end_s=end_s,
            is_endless=is_endless,
            is_targeted=None if criteria is None else criteria == "targeted",
        )
        await self._state.call("modify_reservation", command, ReservationView)
        return {"Return": True}

    async def cancel(self, asked: Asked, params: Document) -> Document:
        """Give a reservation back."""
        id = check_id("cr", params["CapacityReservationId"])
        _refuse(params)
        command = CancelReservation(asked.account, id)
        await self._state.call("cancel_reservation", command, ReservationView)
        return {"Return": True}

    async def usage(self, asked: Asked, params: Document) -> Document:
        """How many of a reservation's hosts are used, and by whom."""
        view = await reservation(self._state, asked, params["CapacityReservationId"])
        used: list[Document] = [
            {"AccountId": view.account, "UsedInstanceCount": view.used_hosts},
        ]
        return {
            "CapacityReservationId": view.id,
            "InstanceType": view.instance_type,
            "TotalInstanceCount": view.total_hosts,
            "AvailableInstanceCount": available_hosts(view),
            "State": view.state.value,
            "InstanceUsages": used if view.used_hosts else [],
        }

    async def groups(self, asked: Asked, params: Document) -> Document:
        """The resource groups of a reservation: there are no resource groups here."""
        await reservation(self._state, asked, params["CapacityReservationId"])
        return {"CapacityReservationGroups": []}

    async def topology(self, asked: Asked, params: Document) -> Document:
        """Under which nodes of the network the hosts of each active reservation lie."""
        ids: list[str] = params.get("CapacityReservationIds", [])
        if len(ids) > TOPOLOGY_RESULTS_MAX:
            raise ec2_error(
                "InvalidParameterValue",
                f"{len(ids)} reservations were named; {TOPOLOGY_RESULTS_MAX} is the most.",
            )
        filters = Filters(params.get("Filters"), names=("availability-zone", "instance-type"))
        found = await reservations(self._state, asked, ids)
        return {
            "CapacityReservations": [
                _placed(asked, view)
                for view in found
                if view.state in HOLDING
                and filters.admit(
                    {"availability-zone": view.zone, "instance-type": view.instance_type}
                )
            ]
        }

    async def split(self, asked: Asked, params: Document) -> Document:
        """Make another reservation of unused hosts of one."""
        command = SplitReservation(
            owner=asked.owner,
            source=check_id("cr", params["SourceCapacityReservationId"]),
            hosts=params["InstanceCount"],
            client_token=params.get("ClientToken"),
            tags=given_tags(params, TAGGED),
        )
        return await self._divided(asked, "split_reservation", command)

    async def move(self, asked: Asked, params: Document) -> Document:
        """Move unused hosts from one reservation to another."""
        command = MoveHosts(
            account=asked.account,
            source=check_id("cr", params["SourceCapacityReservationId"]),
            destination=check_id("cr", params["DestinationCapacityReservationId"]),
            hosts=params["InstanceCount"],
            client_token=params.get("ClientToken"),
        )
        return await self._divided(asked, "move_hosts", command)

    async def _divided(
        self, asked: Asked, name: str, command: SplitReservation | MoveHosts
    ) -> Document:
        both = await self._state.call(name, command, SourceAndDestination)
        return {
            "SourceCapacityReservation": reservation_document(both.source, asked.place),
            "DestinationCapacityReservation": reservation_document(both.destination, asked.place),
            "InstanceCount": command.hosts,
        }


def _refuse(params: Document) -> None:
    """Refuse what there isn't, and say what to use."""
    for name, instead in _REFUSED.items():
        if name in params:
            raise ec2_error("Unsupported", f"{name} is not supported. {instead}")


def _end(params: Document, now_ms: int) -> tuple[int | None, bool]:
    """The end that is asked for, in seconds, and whether it is said that there is none."""
    kind: str | None = params.get("EndDateType")
    end: datetime | None = params.get("EndDate")
    if kind == "limited" and end is None:
        raise ec2_error(
            "MissingParameter", "EndDateType is limited, so the request must contain EndDate."
        )
    if kind == "unlimited" and end is not None:
        raise ec2_error(
            "InvalidParameterCombination",
            "EndDateType is unlimited and EndDate is given. Leave one of them out.",
        )
    end_s = seconds_of(end)
    if end_s is not None and end_s * 1000 <= now_ms:
        raise ec2_error("InvalidParameterValue", "EndDate is in the past.")
    return end_s, kind == "unlimited"


def _placed(asked: Asked, view: ReservationView) -> Document:
    """The nodes that all of its hosts lie under, from the site down to a rack or UltraServer.

    EC2's nodes are known by opaque ids; two reservations under one node show the same id.
    """
    paths = [name.split("/")[:-1] for name in view.hosts]
    nodes: list[str] = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        path = "/".join(paths[0][: len(nodes) + 1])
        nodes.append("nn-" + hashlib.blake2s(path.encode()).hexdigest()[:_NODE_HEX])
    document: Document = {
        "CapacityReservationId": view.id,
        "State": view.state.value,
        "InstanceType": view.instance_type,
        "NetworkNodes": nodes,
        "AvailabilityZone": view.zone,
        "AvailabilityZoneId": zone_id(asked.place.region, view.zone),
    }
    if view.block is not None:
        document["CapacityBlockId"] = view.block
    return document
