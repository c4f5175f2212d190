"""Capacity reservation fleets: so many units of capacity, of the types there is room for."""

from collections.abc import Sequence
from datetime import datetime

from craton.apis.aws.ec2_errors import ec2_error, name_ec2_error
from craton.apis.ec2.capacity_words import (
    TENANCY,
    arn,
    check_found,
    check_id,
    moment,
    reservation_arn,
    seconds_of,
    tag_list,
)
from craton.apis.ec2.filters import Filters
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged
from craton.apis.ec2.regions import zone_id, zone_of
from craton.apis.ec2.tags import given_tags
from craton.fleet.lookup import State
from craton.fleet.records import TypeChoice
from craton.fleet.reservation_contract import (
    CancelFleet,
    CreateFleet,
    FleetMember,
    FleetOfReservations,
    FleetsOfReservations,
    FleetsQuery,
    ModifyFleet,
)
from craton.kernel.errors import Conflict, NotFound

KIND = "capacity-reservation-fleet"
STRATEGY = "prioritized"
CRITERIA = "open"
PLATFORM = "Linux/UNIX"
RESULTS_MAX = 100
IDS_MAX = 100
_FILTERS = ("allocation-strategy", "instance-match-criteria", "state", "tenancy")


def _new(asked: Asked, params: Document) -> Sequence[str]:
    del params
    return [arn(asked, KIND, "*"), reservation_arn(asked)]


def _one(asked: Asked, params: Document) -> Sequence[str]:
    return [arn(asked, KIND, params["CapacityReservationFleetId"])]


def _several(asked: Asked, params: Document) -> Sequence[str]:
    return [arn(asked, KIND, id) for id in params["CapacityReservationFleetIds"]]


class CapacityFleets:
    """The operations on capacity reservation fleets."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> dict[str, Ec2Operation]:
        """By the operation's name."""
        paged = Paged("CapacityReservationFleets", ("CapacityReservationFleetId",), RESULTS_MAX)
        return {
            "CreateCapacityReservationFleet": Ec2Operation(self.create, _new),
            "DescribeCapacityReservationFleets": Ec2Operation(self.describe, paged=paged),
            "ModifyCapacityReservationFleet": Ec2Operation(self.modify, _one),
            "CancelCapacityReservationFleets": Ec2Operation(self.cancel, _several),
        }

    async def create(self, asked: Asked, params: Document) -> Document:
        """Keep as much of the target as there is room for."""
        for name in ("InstanceRequirements", "AvailabilityZone", "AvailabilityZoneId"):
            if name in params:
                raise ec2_error(
                    "Unsupported", f"{name} is not supported. Use InstanceTypeSpecifications."
                )
        strategy = params.get("AllocationStrategy", STRATEGY)
        if strategy != STRATEGY:
            raise ec2_error(
                "InvalidParameterValue",
                f"AllocationStrategy is {strategy[:40]!r}; there is {STRATEGY} alone.",
            )
        command = CreateFleet(
            owner=asked.owner,
            choices=[
                _choice(asked, given) for given in params.get("InstanceTypeSpecifications", ())
            ],
            target=params["TotalTargetCapacity"],
            end_s=_end(params, asked.now_ms),
            client_token=params.get("ClientToken"),
            tags=given_tags(params, (KIND,)),
        )
        view = await self._state.call("create_reservation_fleet", command, FleetOfReservations)
        document = _document(asked, view)
        document["FleetCapacityReservations"] = document.pop("InstanceTypeSpecifications")
        del document["CapacityReservationFleetArn"]
        return document

    async def describe(self, asked: Asked, params: Document) -> Document:
        """The caller's fleets, over or not."""
        filters = Filters(params.get("Filters"), names=_FILTERS, has_tags=True)
        ids: list[str] = params.get("CapacityReservationFleetIds", [])
        for id in ids:
            check_id("crf", id)
        query = FleetsQuery(asked.account)
        found = await self._state.call("reservation_fleets", query, FleetsOfReservations)
        check_found("crf", ids, {view.id for view in found.fleets})
        return {
            "CapacityReservationFleets": [
                _document(asked, view)
                for view in found.fleets
                if (not ids or view.id in ids)
                and filters.admit(
                    {
                        "allocation-strategy": STRATEGY,
                        "instance-match-criteria": CRITERIA,
                        "state": view.state.value,
                        "tenancy": TENANCY,
                    },
                    view.tags,
                )
            ]
        }

    async def modify(self, asked: Asked, params: Document) -> Document:
        """Change how many units, or until when."""
        id = check_id("crf", params["CapacityReservationFleetId"])
        is_endless: bool = params.get("RemoveEndDate", False)
        if is_endless and "EndDate" in params:
            raise ec2_error("InvalidParameterCombination", "Send one of EndDate and RemoveEndDate.")
        command = ModifyFleet(
            account=asked.account,
            id=id,
            target=params.get("TotalTargetCapacity"),
            end_s=_end(params, asked.now_ms),
            is_endless=is_endless,
        )
        await self._state.call("modify_reservation_fleet", command, FleetOfReservations)
        return {"Return": True}

    async def cancel(self, asked: Asked, params: Document) -> Document:
        """Give all reservations of some fleets back; each fleet whole, or not at all."""
        ids: list[str] = params["CapacityReservationFleetIds"]
        if not 1 <= len(ids) <= IDS_MAX:
            raise ec2_error(
                "InvalidParameterValue", f"Name 1 to {IDS_MAX} fleets; {len(ids)} came."
            )
        for id in ids:
            check_id("crf", id)
        done: list[Document] = []
        failed: list[Document] = []
        for id in dict.fromkeys(ids):
            command = CancelFleet(asked.account, id)
            try:
                view = await self._state.call(
                    "cancel_reservation_fleet", command, FleetOfReservations
                )
            except (NotFound, Conflict) as error:
                told = {"Code": name_ec2_error(error)[0], "Message": error.message}
                failed.append(
                    {
                        "CapacityReservationFleetId": id,
                        "CancelCapacityReservationFleetError": told,
                    }
                )
                continue
            done.append(
                {
                    "CapacityReservationFleetId": id,
                    "CurrentFleetState": view.state.value,
                    "PreviousFleetState": view.before.value,
                }
            )
        return {"SuccessfulFleetCancellations": done, "FailedFleetCancellations": failed}


def _choice(asked: Asked, given: Document) -> TypeChoice:
    if "InstanceType" not in given:
        raise ec2_error(
            "MissingParameter", "Each of InstanceTypeSpecifications must have an InstanceType."
        )
    if given.get("EbsOptimized"):
        raise ec2_error("Unsupported", "Hosts here have no EBS. Leave out EbsOptimized.")
    return TypeChoice(
        instance_type=given["InstanceType"],
        platform=given.get("InstancePlatform", PLATFORM),
        weight=given.get("Weight", 1.0),
        zone=zone_of(asked.place, given),
        priority=given.get("Priority"),
    )


def _end(params: Document, now_ms: int) -> int | None:
    end: datetime | None = params.get("EndDate")
    end_s = seconds_of(end)
    if end_s is not None and end_s * 1000 <= now_ms:
        raise ec2_error("InvalidParameterValue", "EndDate is in the past.")
    return end_s


def _document(asked: Asked, view: FleetOfReservations) -> Document:
    document: Document = {
        "CapacityReservationFleetId": view.id,
        "CapacityReservationFleetArn": arn(asked, KIND, view.id),
        "State": view.state.value,
        "TotalTargetCapacity": view.target,
        "TotalFulfilledCapacity": view.fulfilled,
        "Tenancy": TENANCY,
        "CreateTime": moment(view.created_ms / 1000),
        "InstanceMatchCriteria": CRITERIA,
        "AllocationStrategy": STRATEGY,
        "InstanceTypeSpecifications": [
            _member(asked, each) for each in view.members if each.reservation is not None
        ],
        "Tags": tag_list(view.tags),
    }
    if view.end_s is not None:
        document["EndDate"] = moment(view.end_s)
    return document


def _member(asked: Asked, member: FleetMember) -> Document:
    choice = member.choice
    document: Document = {
        "CapacityReservationId": member.reservation,
        "InstanceType": choice.instance_type,
        "InstancePlatform": choice.platform,
        "TotalInstanceCount": member.hosts,
        "FulfilledCapacity": member.hosts * choice.weight,
        "EbsOptimized": False,
        "Weight": choice.weight,
    }
    if member.zone is not None:
        document["AvailabilityZone"] = member.zone
        document["AvailabilityZoneId"] = zone_id(asked.place.region, member.zone)
    if member.created_ms is not None:
        document["CreateDate"] = moment(member.created_ms / 1000)
    if choice.priority is not None:
        document["Priority"] = choice.priority
    return document
