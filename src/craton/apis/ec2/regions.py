"""Where this cloud is: its one region, and the zones of it."""

import re

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.filters import Field, Filters
from craton.apis.ec2.operation import Asked, Document, Place

OPT_IN_NOT_REQUIRED = "opt-in-not-required"
AVAILABLE = "available"
ZONE_TYPE = "availability-zone"

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


async def describe_availability_zones(asked: Asked, params: Document) -> Document:
    """The zones of the region, all of them usable."""
    place = asked.place
    filters = Filters(params.get("Filters"), names=_ZONE_FILTERS)
    names, ids = _asked_for(params, "ZoneNames"), _asked_for(params, "ZoneIds")
    zones = [_zone(place, number) for number in range(len(place.zones))]
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


def zone_names(place: Place) -> list[str]:
    """The names of a place's zones."""
    return [f"{place.region}{letter}" for letter in place.zones]


def zone_id(region: str, number: int) -> str:
    """A zone's id as AWS makes them of the region's name: `use1-az1` in us-east-1.

    Directions are cut to their first letters, whatever stands before them to its own.
    """
    found = _REGION.fullmatch(region)
    directions = _DIRECTION.findall(found[2]) if found is not None else []
    if found is None or "".join(directions) != found[2]:
        return f"{region}-az{number + 1}"
    first, *rest = found[1].split("-")
    prefix = first + "".join(word[0] for word in rest)
    return f"{prefix}{''.join(word[0] for word in directions)}{found[3]}-az{number + 1}"


def _zone(place: Place, number: int) -> Document:
    return {
        "ZoneName": zone_names(place)[number],
        "ZoneId": zone_id(place.region, number),
        "RegionName": place.region,
        "GroupName": place.region,
        "NetworkBorderGroup": place.region,
        "OptInStatus": OPT_IN_NOT_REQUIRED,
        "State": AVAILABLE,
        "ZoneType": ZONE_TYPE,
        "Messages": [],
    }


def _fields(zone: Document) -> dict[str, Field]:
    return {
        "group-name": zone["GroupName"],
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
