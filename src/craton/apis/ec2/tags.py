"""Tags of reservations, blocks and fleets of reservations: given when they are made, or later."""

from collections.abc import Collection

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.capacity_words import arn, check_id, tags_of
from craton.apis.ec2.filters import Field, Filters
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged
from craton.fleet.contract import Reservations, ReservationsQuery
from craton.fleet.lookup import State
from craton.fleet.reservation_contract import (
    FleetsOfReservations,
    FleetsQuery,
    Tagged,
    TagReservations,
)

TAGS_MAX = 50
KEY_CHARACTERS_MAX = 128
VALUE_CHARACTERS_MAX = 256
RESERVED = ("aws:", "craton:")
RESOURCES_MAX = 1000
_KINDS = {
    "cr": "capacity-reservation",
    "cb": "capacity-block",
    "crf": "capacity-reservation-fleet",
}
_FILTERS = ("key", "resource-id", "resource-type", "value")


def given_tags(params: Document, kinds: Collection[str]) -> dict[str, str]:
    """The tags of `TagSpecifications`; InvalidParameterValue for those of another kind of thing."""
    tags: dict[str, str] = {}
    for one in params.get("TagSpecifications", ()):
        kind = one.get("ResourceType")
        if kind not in kinds:
            raise ec2_error(
                "InvalidParameterValue",
                f"'{kind}' is not a valid taggable resource type for this operation. It makes "
                f"{' or '.join(sorted(kinds))}.",
            )
        for key, value in _pairs(one.get("Tags", ())).items():
            if key in tags:
                raise ec2_error("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
            tags[key] = value or ""
    if len(tags) > TAGS_MAX:
        raise ec2_error("TagLimitExceeded", f"{len(tags)} tags were given; {TAGS_MAX} is the most.")
    return tags


def _pairs(given: Collection[Document]) -> dict[str, str | None]:
    """Tags by their keys, each of which may be one; None where no value came."""
    pairs: dict[str, str | None] = {}
    for one in given:
        key: str | None = one.get("Key")
        value: str | None = one.get("Value")
        if not key:
            raise ec2_error("InvalidParameterValue", "Tag key cannot be null or empty.")
        if len(key) > KEY_CHARACTERS_MAX or len(value or "") > VALUE_CHARACTERS_MAX:
            raise ec2_error(
                "InvalidParameterValue",
                f"The tag '{key[:40]}' is too long: keys have {KEY_CHARACTERS_MAX} characters at "
                f"most, values {VALUE_CHARACTERS_MAX}.",
            )
        if key.lower().startswith(RESERVED):
            raise ec2_error(
                "InvalidParameterValue",
                f"Tag keys starting with '{key.partition(':')[0].lower()}:' are reserved for "
                "internal use.",
            )
        if key in pairs:
            raise ec2_error("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        pairs[key] = value
    return pairs


def resources_of(asked: Asked, params: Document) -> list[str]:
    """The ARNs of what is to be tagged."""
    return [
        arn(asked, _KINDS.get(id.partition("-")[0], "*"), id) for id in params.get("Resources", ())
    ]


class TagOperations:
    """The operations on tags."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> dict[str, Ec2Operation]:
        """By the operation's name."""
        return {
            "CreateTags": Ec2Operation(self.create, resources_of),
            "DeleteTags": Ec2Operation(self.delete, resources_of),
            "DescribeTags": Ec2Operation(self.describe, paged=Paged("Tags", ("ResourceId", "Key"))),
        }

    async def create(self, asked: Asked, params: Document) -> Document:
        """Put tags on things: on all of them, or none."""
        put = {key: value or "" for key, value in _pairs(params["Tags"]).items()}
        command = TagReservations(account=asked.account, ids=self._checked(params), put=put)
        await self._state.call("tag_reservations", command, Tagged)
        return {}

    async def delete(self, asked: Asked, params: Document) -> Document:
        """Take tags off some things; without `Tags`, all of them."""
        given = params.get("Tags")
        command = TagReservations(
            account=asked.account,
            ids=self._checked(params),
            removed=_pairs(given or ()),
            is_emptied=not given,
        )
        await self._state.call("tag_reservations", command, Tagged)
        return {}

    @staticmethod
    def _checked(params: Document) -> list[str]:
        ids: list[str] = params["Resources"]
        if not 1 <= len(ids) <= RESOURCES_MAX:
            raise ec2_error(
                "InvalidParameterValue", f"Name 1 to {RESOURCES_MAX} resources; {len(ids)} came."
            )
        for id in ids:
            prefix = id.partition("-")[0]
            if prefix not in _KINDS:
                raise ec2_error(
                    "InvalidID",
                    f"The ID '{id[:60]}' is not valid. Tags are kept on capacity reservations "
                    "(cr-…), capacity blocks (cb-…) and fleets of reservations (crf-…).",
                )
            check_id(prefix, id)
        return ids

    async def describe(self, asked: Asked, params: Document) -> Document:
        """All tags of the caller's things; a block has those of its reservation."""
        filters = Filters(params.get("Filters"), names=_FILTERS, has_tags=True)
        found: list[tuple[str, str, dict[str, str]]] = []
        reservations = await self._state.call(
            "reservations", ReservationsQuery(asked.account), Reservations
        )
        for view in reservations.reservations:
            found.append((view.id, _KINDS["cr"], tags_of(view)))
            if view.block is not None:
                found.append((view.block, _KINDS["cb"], tags_of(view)))
        fleets = await self._state.call(
            "reservation_fleets", FleetsQuery(asked.account), FleetsOfReservations
        )
        found += [(fleet.id, _KINDS["crf"], fleet.tags) for fleet in fleets.fleets]
        tags: list[Document] = []
        for id, kind, of_one in found:
            for key, value in of_one.items():
                fields: dict[str, Field] = {
                    "key": key, "resource-id": id, "resource-type": kind, "value": value,
                }  # fmt: skip
                if filters.admit(fields, {key: value}):
                    tags.append(
                        {"Key": key, "ResourceId": id, "ResourceType": kind, "Value": value}
                    )
        return {"Tags": tags}
