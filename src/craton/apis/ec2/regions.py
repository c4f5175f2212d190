"""Where this cloud is: its one region, and the zones of it, which are the fleet's sites.

A zone is called what its site is called, and its id is that after the region's prefix, such as
`use1-north`: ids by number would change with the fleet file. A zone that is only simulated has a
message that says so: the place in EC2's shapes where an offering of capacity there can be told from
a real one before it is bought.
"""

import re

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.filters import Field, Filters
from craton.apis.ec2.operation import Asked, Document, Place
from craton.fleet.lookup import State
from craton.fleet.reservation_contract import Offered, OfferedQuery, ZoneView

OPT_IN_NOT_REQUIRED = "opt-in-not-required"
AVAILABLE = "available"
ZONE_TYPE = "availability-zone"
SIMULATED = "This zone is simulated: what is reserved there is not real."

_REGION_FILTERS = ("endpoint", "opt-in-status", "region-name")
_ZONE_FILTERS = (
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
)
_REGION = re.compile(r"([a-z]+(?:-[a-z]+)*?)-([a-z]+)-([0-9]+)")
_DIRECTION = re.compile(r"north|south|east|west|central")


async def describe_regions(asked: Asked, params: Document) -> Document:
    """The one region there is; it answers under the name the client reached it by."""
    region = asked.place.region
    filters = Filters(params.get("Filters"), names=_REGION_FILTERS)
    unknown = [name for name in params.get("RegionNames", ()) if name != region]
    if unknown:
        raise ec2_error(
            "InvalidParameterValue",
            f"Invalid region: {unknown[0][:100]}. This cloud has one region, {region}.",
        )
    one: Document = {
        "RegionName": region,
        "Endpoint": asked.host,
        "OptInStatus": OPT_IN_NOT_REQUIRED,
    }
    fields: dict[str, Field] = {
        "endpoint": asked.host,
        "opt-in-status": OPT_IN_NOT_REQUIRED,
        "region-name": region,
    }
    return {"Regions": [one] if filters.admit(fields) else []}


class Zones:
    """The zones, as far as the caller may use them."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def describe(self, asked: Asked, params: Document) -> Document:
        """The zones of the region, all of them usable."""
        place = asked.place
        filters = Filters(params.get("Filters"), names=_ZONE_FILTERS)
        names, ids = _asked_for(params, "ZoneNames"), _asked_for(params, "ZoneIds")
        offered = await self._state.call("offered", OfferedQuery(asked.account), Offered)
        zones = [_zone(place, zone) for zone in offered.zones]
        _refuse_unknown("zone", names, {zone["ZoneName"] for zone in zones})
        _refuse_unknown("zone ID", ids, {zone["ZoneId"] for zone in zones})
        return {
            "AvailabilityZones": [
                zone
                for zone in zones
                if (not names or zone["ZoneName"] in names)
                and (not ids or zone["ZoneId"] in ids)
                and filters.admit(_fields(zone))
            ]
        }


def zone_id(region: str, zone: str) -> str:
    """A zone's id: its name after the prefix that AWS makes of the region's, `use1` of us-east-1.

    Directions are cut to their first letters, whatever stands before them to its own.
    """
    return f"{_prefix(region)}-{zone}"


def zone_of(place: Place, params: Document) -> str | None:
    """The zone that a request names by its name or its id; InvalidParameterCombination for two."""
    name: str | None = params.get("AvailabilityZone")
    id: str | None = params.get("AvailabilityZoneId")
    if id is None:
        return name
    prefix = f"{_prefix(place.region)}-"
    if not id.startswith(prefix):
        raise ec2_error(
            "InvalidAvailabilityZone",
            f"Invalid availability zone ID: [{id[:100]}]. They begin with {prefix}: list them with "
            "DescribeAvailabilityZones.",
        )
    by_id = id.removeprefix(prefix)
    if name not in (None, by_id):
        raise ec2_error(
            "InvalidParameterCombination",
            f"AvailabilityZone is {name[:100] if name else name}, and AvailabilityZoneId is that "
            f"of {by_id[:100]}. Send one of them.",
        )
    return by_id


def _prefix(region: str) -> str:
    found = _REGION.fullmatch(region)
    directions = _DIRECTION.findall(found[2]) if found is not None else []
    if found is None or "".join(directions) != found[2]:
        return region
    first, *rest = found[1].split("-")
    prefix = first + "".join(word[0] for word in rest)
    return f"{prefix}{''.join(word[0] for word in directions)}{found[3]}"


def _zone(place: Place, zone: ZoneView) -> Document:
    return {
        "ZoneName": zone.name,
        "ZoneId": zone_id(place.region, zone.name),
        "RegionName": place.region,
        "GroupName": place.region,
        "NetworkBorderGroup": place.region,
        "OptInStatus": OPT_IN_NOT_REQUIRED,
        "State": AVAILABLE,
        "ZoneType": ZONE_TYPE,
        "Messages": [{"Message": SIMULATED}] if zone.is_simulated else [],
    }


def _fields(zone: Document) -> dict[str, Field]:
    return {
        "group-name": zone["GroupName"],
        "message": [each["Message"] for each in zone["Messages"]],
        "opt-in-status": zone["OptInStatus"],
        "region-name": zone["RegionName"],
        "state": zone["State"],
        "zone-id": zone["ZoneId"],
        "zone-name": zone["ZoneName"],
        "zone-type": zone["ZoneType"],
    }


def _asked_for(params: Document, name: str) -> frozenset[str]:
    return frozenset(params.get(name, ()))


def _refuse_unknown(kind: str, given: frozenset[str], known: set[str]) -> None:
    unknown = sorted(given - known)
    if unknown:
        raise ec2_error(
            "InvalidParameterValue",
            f"Invalid availability {kind}: [{unknown[0][:100]}]. There are {sorted(known)}.",
        )
