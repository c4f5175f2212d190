"""Every operation of the services that Craton answers for: `operations.json`, typed.

The table says where an operation lives on the wire and which errors it declares, so that one which
isn't built can be known and refused properly without reading its service's model. A test compares
it with botocore's models.
"""

import importlib.resources
from functools import lru_cache

import msgspec

REST_JSON = "rest-json"


class Entry(msgspec.Struct, frozen=True):
    """One operation as the wire knows it."""

    name: str
    family: str
    priority: str
    """must, should or rare: a judgement of how much it is used."""
    method: str
    uri: str
    status: int
    errors: dict[str, int]
    """Declared errors: code to HTTP status."""
    service: str = ""
    protocol: str = ""
    signing_name: str = ""
    api_version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Service and operation name."""
        return self.service, self.name


class _Service(msgspec.Struct, frozen=True):
    protocol: str
    signing_name: str
    api_version: str
    operations: list[Entry]


class _Table(msgspec.Struct, frozen=True):
    source: str
    services: dict[str, _Service]


@lru_cache(maxsize=1)
def entries() -> tuple[Entry, ...]:
    """All operations of all services."""
    text = (importlib.resources.files("craton.apis.aws") / "operations.json").read_bytes()
    table = msgspec.json.decode(text, type=_Table)
    return tuple(
        msgspec.structs.replace(
            entry,
            service=name,
            protocol=service.protocol,
            signing_name=service.signing_name,
            api_version=service.api_version,
        )
        for name, service in table.services.items()
        for entry in service.operations
    )


BUILT = frozenset(
    {
        ("bedrock-runtime", "Converse"),
        ("bedrock-runtime", "ConverseStream"),
        ("bedrock-runtime", "InvokeModel"),
        ("bedrock-runtime", "InvokeModelWithResponseStream"),
        ("bedrock-runtime", "CountTokens"),
        ("bedrock", "ListFoundationModels"),
        ("bedrock", "GetFoundationModel"),
        ("bedrock", "GetFoundationModelAvailability"),
        ("bedrock", "ListInferenceProfiles"),
        ("bedrock", "GetInferenceProfile"),
        ("sts", "GetCallerIdentity"),
        ("ec2", "CancelCapacityReservation"),
        ("ec2", "CancelCapacityReservationFleets"),
        ("ec2", "CreateCapacityReservation"),
        ("ec2", "CreateCapacityReservationBySplitting"),
        ("ec2", "CreateCapacityReservationFleet"),
        ("ec2", "CreateTags"),
        ("ec2", "DeleteTags"),
        ("ec2", "DescribeAvailabilityZones"),
        ("ec2", "DescribeCapacityBlockExtensionHistory"),
        ("ec2", "DescribeCapacityBlockExtensionOfferings"),
        ("ec2", "DescribeCapacityBlockOfferings"),
        ("ec2", "DescribeCapacityBlockStatus"),
        ("ec2", "DescribeCapacityBlocks"),
        ("ec2", "DescribeCapacityReservationFleets"),
        ("ec2", "DescribeCapacityReservationTopology"),
        ("ec2", "DescribeCapacityReservations"),
        ("ec2", "DescribeInstanceTypeOfferings"),
        ("ec2", "DescribeInstanceTypes"),
        ("ec2", "DescribeRegions"),
        ("ec2", "DescribeTags"),
        ("ec2", "GetCapacityReservationUsage"),
        ("ec2", "GetGroupsForCapacityReservation"),
        ("ec2", "ModifyCapacityReservation"),
        ("ec2", "ModifyCapacityReservationFleet"),
        ("ec2", "ModifyInstanceCapacityReservationAttributes"),
        ("ec2", "MoveCapacityReservationInstances"),
        ("ec2", "PurchaseCapacityBlock"),
        ("ec2", "PurchaseCapacityBlockExtension"),
        ("ec2", "RunInstances"),
    }
)
"""The operations that are served; docs/coverage.md says what was seen of each."""
