"""Capacity blocks: searched, bought, described, made longer.

An UltraServer block is counted in UltraServers; it is one block with one reservation, of all their
instances. What is offered in a simulated zone isn't real: the zone's message says so, and so does
the tag `craton:simulated` of what was bought.
"""

from collections.abc import Sequence
from datetime import datetime

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.capacity_found import blocks, reservation, reservations
from craton.apis.ec2.capacity_words import (
    HOLDING,
    TENANCY,
    available_hosts,
    fee,
    moment,
    moment_text,
    reservation_arn,
    reservation_document,
    seconds_of,
    tag_list,
    tags_of,
)
from craton.apis.ec2.filters import Field, Filters
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged
from craton.apis.ec2.regions import ZONE_TYPE, zone_id
from craton.apis.ec2.tags import given_tags
from craton.fleet.contract import (
    BuyOffer,
    Offer,
    Offers,
    ReservationView,
    SearchExtensions,
    SearchOffers,
)
from craton.fleet.lookup import State
from craton.fleet.records import PROMISING, Extension
from craton.kernel.errors import BadRequest

PREFERENCES_MAX = 20
PAID = "payment-succeeded"
_TAGGED = ("capacity-block", "capacity-reservation")
_HOUR_S = 3600
_BLOCK_FILTERS = (
    "availability-zone",
    "capacity-block-id",
    "create-date",
    "end-date",
    "start-date",
    "state",
    "ultraserver-type",
)
_EXTENSION_FILTERS = (
    "availability-zone",
    "availability-zone-id",
    "capacity-block-extension-offering-id",
    "capacity-block-extension-status",
    "capacity-reservation-id",
    "instance-type",
)


def _new(asked: Asked, params: Document) -> Sequence[str]:
    del params
    return [reservation_arn(asked)]


def _extended(asked: Asked, params: Document) -> Sequence[str]:
    return [reservation_arn(asked, params["CapacityReservationId"])]


class CapacityBlocks:
    """The operations on capacity blocks."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> dict[str, Ec2Operation]:
        """By the operation's name."""
        offer = ("StartDate", "AvailabilityZone", "InstanceType", "EndDate", "UltraserverType")
        extension = ("CapacityReservationId", "CapacityBlockExtensionStartDate")
        return {
            "DescribeCapacityBlockOfferings": Ec2Operation(
                self.search, paged=Paged("CapacityBlockOfferings", offer)
            ),
            "PurchaseCapacityBlock": Ec2Operation(self.buy, _new),
            "DescribeCapacityBlocks": Ec2Operation(
                self.describe, paged=Paged("CapacityBlocks", ("CapacityBlockId",))
            ),
            "DescribeCapacityBlockStatus": Ec2Operation(
                self.describe_status, paged=Paged("CapacityBlockStatuses", ("CapacityBlockId",))
            ),
            "DescribeCapacityBlockExtensionOfferings": Ec2Operation(
                self.search_extensions,
                paged=Paged("CapacityBlockExtensionOfferings", extension[1:]),
            ),
            "PurchaseCapacityBlockExtension": Ec2Operation(self.extend, _extended),
            "DescribeCapacityBlockExtensionHistory": Ec2Operation(
                self.describe_extensions, paged=Paged("CapacityBlockExtensions", extension)
            ),
        }

    async def search(self, asked: Asked, params: Document) -> Document:
        """Blocks that could be bought now."""
        start: datetime | None = params.get("StartDateRange")
        end: datetime | None = params.get("EndDateRange")
        if start is not None and end is not None and end <= start:
            raise ec2_error("InvalidParameterValue", "EndDateRange must be after StartDateRange.")
        types, ultraserver, units = _wanted(params)
        found: list[Offer] = []
        refused: list[BadRequest] = []
        for name in types:
            query = SearchOffers(
                owner=asked.owner,
                instance_type=name,
                ultraserver=ultraserver,
                units=units,
                hours=params["CapacityDurationHours"],
                start_s=seconds_of(start),
                end_s=seconds_of(end),
            )
            try:
                found += (await self._state.call("search_offers", query, Offers)).offers
            except BadRequest as error:
                refused.append(error)
        if len(refused) == len(types):
            raise refused[0]
        return {"CapacityBlockOfferings": [_offering(asked, offer) for offer in found]}

    async def buy(self, asked: Asked, params: Document) -> Document:
        """Buy a block; the same offering again gives the same block.

        One that no budget has room for comes back as `payment-failed`.
        """
        command = BuyOffer(
            owner=asked.owner,
            offer=_offer_id(params["CapacityBlockOfferingId"]),
            platform=params["InstancePlatform"],
            tags=given_tags(params, _TAGGED),
        )
        view = await self._state.call("buy_offer", command, ReservationView)
        document = reservation_document(view, asked.place)
        return {
            "CapacityReservation": document,
            "CapacityBlocks": [_block(asked, view)],
            "CapacityReservations": [document],
        }

    async def describe(self, asked: Asked, params: Document) -> Document:
        """The caller's blocks, over or not."""
        filters = Filters(params.get("Filters"), names=_BLOCK_FILTERS, has_tags=True)
        found = await blocks(self._state, asked, params.get("CapacityBlockIds"))
        return {
            "CapacityBlocks": [
                _block(asked, view)
                for view in found
                if filters.admit(_block_fields(view), tags_of(view))
            ]
        }

    async def describe_status(self, asked: Asked, params: Document) -> Document:
        """How much of each block that isn't over works; of blocks that are named, over or not."""
        filters = Filters(params.get("Filters"), names=("interconnect-status",))
        ids = params.get("CapacityBlockIds")
        found = [
            _status(view)
            for view in await blocks(self._state, asked, ids)
            if ids or view.state in PROMISING
        ]
        return {
            "CapacityBlockStatuses": [
                one
                for one in found
                if filters.admit({"interconnect-status": one["InterconnectStatus"]})
            ]
        }

    async def search_extensions(self, asked: Asked, params: Document) -> Document:
        """What a block could be made longer by."""
        view = await reservation(self._state, asked, params["CapacityReservationId"])
        hours = params["CapacityBlockExtensionDurationHours"]
        query = SearchExtensions(asked.owner, view.id, hours)
        offers = await self._state.call("search_extensions", query, Offers)
        return {
            "CapacityBlockExtensionOfferings": [
                {
                    **_where(asked, offer.instance_type, offer.hosts, offer.zone),
                    "CapacityBlockExtensionOfferingId": offer.id,
                    "StartDate": moment(view.start_s),
                    "CapacityBlockExtensionStartDate": moment(offer.start_s),
                    "CapacityBlockExtensionEndDate": moment(offer.end_s),
                    "CapacityBlockExtensionDurationHours": hours,
                    "UpfrontFee": fee(offer.amount_nanos),
                    "CurrencyCode": offer.currency,
                    "Tenancy": TENANCY,
                }
                for offer in offers.offers
            ]
        }

    async def extend(self, asked: Asked, params: Document) -> Document:
        """Make a block longer; the same offering again gives the same extension."""
        view = await reservation(self._state, asked, params["CapacityReservationId"])
        offer = _offer_id(params["CapacityBlockExtensionOfferingId"])
        command = BuyOffer(owner=asked.owner, offer=offer, extends=view.id)
        view = await self._state.call("buy_extension", command, ReservationView)
        return {
            "CapacityBlockExtensions": [
                _extension(asked, view, each) for each in view.extensions if each.offer == offer
            ]
        }

    async def describe_extensions(self, asked: Asked, params: Document) -> Document:
        """By what the caller's blocks were made longer."""
        filters = Filters(params.get("Filters"), names=_EXTENSION_FILTERS)
        found = await reservations(self._state, asked, params.get("CapacityReservationIds"))
        made = [_extension(asked, view, each) for view in found for each in view.extensions]
        return {
            "CapacityBlockExtensions": [
                one for one in made if filters.admit(_extension_fields(one))
            ]
        }


def _wanted(params: Document) -> tuple[list[str | None], str | None, int]:
    """What blocks are asked for: types of instances or None, an UltraServer, and how many."""
    one: str | None = params.get("InstanceType")
    # A type that is named twice would be offered twice.
    several: list[str] = [
        each.get("InstanceType", "") for each in params.get("InstanceTypePreferences", ())
    ]
    several = list(dict.fromkeys(several))
    ultraserver: str | None = params.get("UltraserverType")
    named = sum((one is not None, bool(several), ultraserver is not None))
    if named == 0:
        raise ec2_error(
            "MissingParameter",
            "The request must contain InstanceType, InstanceTypePreferences or UltraserverType.",
        )
    if named > 1:
        raise ec2_error(
            "InvalidParameterCombination",
            "Send one of InstanceType, InstanceTypePreferences and UltraserverType.",
        )
    if len(several) > PREFERENCES_MAX:
        raise ec2_error(
            "InvalidParameterValue",
            f"InstanceTypePreferences has {len(several)} types; {PREFERENCES_MAX} is the most.",
        )
    counted, other = "InstanceCount", "UltraserverCount"
    if ultraserver is not None:
        counted, other = other, counted
    if other in params:
        raise ec2_error(
            "InvalidParameterCombination", f"{other} doesn't go with what is asked for."
        )
    count: int | None = params.get(counted)
    if count is None:
        raise ec2_error("MissingParameter", f"The request must contain the parameter {counted}")
    if count < 1:
        raise ec2_error("InvalidParameterValue", f"{counted} is {count}; ask for one or more.")
    types: list[str | None] = [None] if ultraserver is not None else [one] if one else [*several]
    return types, ultraserver, count


def _offer_id(id: str) -> str:
    if not id.startswith("cbo-") or len(id) > 1024:
        raise ec2_error(
            "InvalidCapacityBlockOfferingIdMalformed",
            f"The offering ID {id[:60]!r} is malformed. Send one as it was described.",
        )
    return id


def _where(asked: Asked, instance_type: str, hosts: int, zone: str) -> Document:
    return {
        "InstanceType": instance_type,
        "InstanceCount": hosts,
        "AvailabilityZone": zone,
        "AvailabilityZoneId": zone_id(asked.place.region, zone),
        "ZoneType": ZONE_TYPE,
    }


def _offering(asked: Asked, offer: Offer) -> Document:
    seconds = offer.end_s - offer.start_s
    segment: Document = {
        **_where(asked, offer.instance_type, offer.hosts, offer.zone),
        "StartDate": moment(offer.start_s),
        "EndDate": moment(offer.end_s),
        "CapacityBlockDurationHours": seconds // _HOUR_S,
        "CapacityBlockDurationMinutes": seconds // 60 % 60,
        "UpfrontFee": fee(offer.amount_nanos),
        "CurrencyCode": offer.currency,
    }
    document: Document = {
        **segment,
        "CapacityBlockOfferingId": offer.id,
        "Tenancy": TENANCY,
        "CapacityBlockOfferingSegments": [segment],
    }
    # A segment has the zone's id, and the offering as a whole hasn't.
    del document["AvailabilityZoneId"]
    if offer.ultraserver is not None:
        document["UltraserverType"] = offer.ultraserver
        document["UltraserverCount"] = offer.units
    return document


def _block(asked: Asked, view: ReservationView) -> Document:
    document: Document = {
        "CapacityBlockId": view.block,
        "AvailabilityZone": view.zone,
        "AvailabilityZoneId": zone_id(asked.place.region, view.zone),
        "CapacityReservationIds": [view.id],
        "StartDate": moment(view.start_s),
        "CreateDate": moment(view.created_ms / 1000),
        "State": view.state.value,
        "Tags": tag_list(tags_of(view)),
    }
    if view.end_s is not None:
        document["EndDate"] = moment(view.end_s)
    if view.ultraserver is not None:
        document["UltraserverType"] = view.ultraserver
    return document


def _block_fields(view: ReservationView) -> dict[str, Field]:
    kind = ("instances",) if view.ultraserver is None else ("ultraservers", view.ultraserver)
    return {
        "availability-zone": view.zone,
        "capacity-block-id": view.block or "",
        "create-date": moment_text(view.created_ms // 1000),
        "end-date": moment_text(view.end_s or 0),
        "start-date": moment_text(view.start_s),
        "state": view.state.value,
        "ultraserver-type": kind,
    }


def _status(view: ReservationView) -> Document:
    """Nothing measures links: they are known to be impaired where hosts broke, and to no more."""
    is_held = view.state in HOLDING
    broken = view.broken_hosts if is_held else 0
    capacity: Document = {
        "TotalCapacity": view.total_hosts,
        "TotalAvailableCapacity": available_hosts(view),
        "TotalUnavailableCapacity": broken,
    }
    return {
        "CapacityBlockId": view.block,
        "InterconnectStatus": "impaired" if broken else "insufficient-data",
        **capacity,
        "CapacityReservationStatuses": [{"CapacityReservationId": view.id, **capacity}],
    }


def _extension(asked: Asked, view: ReservationView, extension: Extension) -> Document:
    return {
        **_where(asked, view.instance_type, view.total_hosts, view.zone),
        "CapacityReservationId": view.id,
        "CapacityBlockExtensionOfferingId": extension.offer,
        "CapacityBlockExtensionDurationHours": (extension.end_s - extension.start_s) // _HOUR_S,
        "CapacityBlockExtensionStatus": PAID,
        "CapacityBlockExtensionPurchaseDate": moment(extension.purchased_ms / 1000),
        "CapacityBlockExtensionStartDate": moment(extension.start_s),
        "CapacityBlockExtensionEndDate": moment(extension.end_s),
        "UpfrontFee": fee(extension.amount_nanos),
        "CurrencyCode": view.currency,
    }


def _extension_fields(extension: Document) -> dict[str, Field]:
    return {
        "availability-zone": extension["AvailabilityZone"],
        "availability-zone-id": extension["AvailabilityZoneId"],
        "capacity-block-extension-offering-id": extension["CapacityBlockExtensionOfferingId"],
        "capacity-block-extension-status": PAID,
        "capacity-reservation-id": extension["CapacityReservationId"],
        "instance-type": extension["InstanceType"],
    }
