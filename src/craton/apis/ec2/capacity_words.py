"""The fleet's reservations in EC2's words: ids, ARNs, moments, fees, tags, states.

Whatever is only simulated has the tag `craton:simulated`. Callers can't write or remove it.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.filters import Field
from craton.apis.ec2.operation import Asked, Document, Place
from craton.apis.ec2.regions import zone_id
from craton.fleet.contract import ReservationView
from craton.fleet.records import ReservationState
from craton.kernel.errors import CratonError

SIMULATED_TAG = "craton:simulated"
HOLDING = (ReservationState.ACTIVE, ReservationState.UNAVAILABLE)
TENANCY = "default"

_NANOS = 1_000_000_000
_IDS: Mapping[str, tuple[str, str]] = {
    "cr": ("InvalidCapacityReservationId", "capacity reservation"),
    "cb": ("InvalidCapacityBlockId", "capacity block"),
    "crf": ("InvalidCapacityReservationFleetId", "capacity reservation fleet"),
}
_TAIL = re.compile(r"[0-9a-f]{17}")


def check_id(prefix: str, id: str) -> str:
    """An id of some kind; `….Malformed` where it can't be one."""
    kind, _, tail = id.partition("-")
    if kind != prefix or not _TAIL.fullmatch(tail):
        code, noun = _IDS[prefix]
        raise ec2_error(
            f"{code}.Malformed",
            f"The ID {id[:60]!r} for the {noun} is malformed. It looks like {prefix}-{'x' * 17}.",
        )
    return id


def check_found(prefix: str, wanted: Collection[str], found: Collection[str]) -> None:
    """Refuse ids that name nothing, with `….NotFound`."""
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise not_found(prefix, missing[0])


def not_found(prefix: str, id: str) -> CratonError:
    """The refusal of an id that names nothing."""
    code, noun = _IDS[prefix]
    return ec2_error(f"{code}.NotFound", f"The {noun} ID {id!r} does not exist.")


def arn(asked: Asked, kind: str, id: str) -> str:
    """The ARN of one of the caller's things; `*` for any."""
    return f"arn:aws:ec2:{asked.place.region}:{asked.account}:{kind}/{id}"


def reservation_arn(asked: Asked, id: str = "*") -> str:
    """The ARN of a reservation of the caller's."""
    return arn(asked, "capacity-reservation", id)


def moment(seconds: float) -> datetime:
    """A moment of the fleet's as EC2 writes it."""
    return datetime.fromtimestamp(seconds, UTC)


def seconds_of(at: datetime | None) -> int | None:
    """A moment of a request as the fleet counts it."""
    return None if at is None else int(at.timestamp())


def moment_text(seconds: float) -> str:
    """A moment as filters compare it."""
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def fee(amount_nanos: int) -> str:
    """An amount as EC2 prints it: a decimal number of two places, of more where it has them."""
    whole, rest = divmod(amount_nanos, _NANOS)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"


def tag_list(tags: Mapping[str, str]) -> list[Document]:
    """Tags in EC2's form, by key."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def tags_of(view: ReservationView) -> dict[str, str]:
    """The tags of a reservation, and ours on what is simulated."""
    return {**view.tags, SIMULATED_TAG: "true"} if view.is_simulated else view.tags


def available_hosts(view: ReservationView) -> int:
    """The hosts on which something could be started now."""
    if view.state not in HOLDING:
        return 0
    return max(0, view.total_hosts - view.used_hosts - view.broken_hosts)


def reservation_document(view: ReservationView, place: Place) -> Document:
    """A reservation as `CapacityReservation`."""
    document: Document = {
        "CapacityReservationId": view.id,
        "OwnerId": view.account,
        "CapacityReservationArn": (
            f"arn:aws:ec2:{place.region}:{view.account}:capacity-reservation/{view.id}"
        ),
        "AvailabilityZone": view.zone,
        "AvailabilityZoneId": zone_id(place.region, view.zone),
        "InstanceType": view.instance_type,
        "InstancePlatform": view.platform,
        "Tenancy": TENANCY,
        "TotalInstanceCount": view.total_hosts,
        "AvailableInstanceCount": available_hosts(view),
        "EbsOptimized": False,
        "EphemeralStorage": False,
        "State": view.state.value,
        "StartDate": moment(view.start_s),
        "EndDateType": end_type(view),
        "InstanceMatchCriteria": match_criteria(view),
        "CreateDate": moment(view.created_ms / 1000),
        "Tags": tag_list(tags_of(view)),
        "ReservationType": view.kind.value,
    }
    if view.end_s is not None:
        document["EndDate"] = moment(view.end_s)
    if view.block is not None:
        document["CapacityBlockId"] = view.block
    if view.fleet is not None:
        document["CapacityReservationFleetId"] = view.fleet
    if view.used_hosts:
        document["CapacityAllocations"] = [{"AllocationType": "used", "Count": view.used_hosts}]
    return document


def end_type(view: ReservationView) -> str:
    """Whether a reservation ends by itself. A cancelled one ended when it was cancelled."""
    is_cancelled = view.state is ReservationState.CANCELLED
    return "unlimited" if view.end_s is None or is_cancelled else "limited"


def match_criteria(view: ReservationView) -> str:
    """Whether what runs in it has to name it."""
    return "targeted" if view.is_targeted else "open"


RESERVATION_FILTERS = (
    "availability-zone",
    "availability-zone-id",
    "end-date",
    "end-date-type",
    "instance-match-criteria",
    "instance-platform",
    "instance-type",
    "outpost-arn",
    "owner-id",
    "placement-group-arn",
    "start-date",
    "state",
    "tenancy",
)


def reservation_fields(view: ReservationView, place: Place) -> dict[str, Field]:
    """What filters ask of a reservation."""
    fields: dict[str, Field] = {
        "availability-zone": view.zone,
        "availability-zone-id": zone_id(place.region, view.zone),
        "end-date-type": end_type(view),
        "instance-match-criteria": match_criteria(view),
        "instance-platform": view.platform,
        "instance-type": view.instance_type,
        "owner-id": view.account,
        "start-date": moment_text(view.start_s),
        "state": view.state.value,
        "tenancy": TENANCY,
    }
    if view.end_s is not None:
        fields["end-date"] = moment_text(view.end_s)
    return fields
