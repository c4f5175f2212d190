"""Types of hosts as EC2 describes instance types: only what is known of them, nothing made up.

EC2's shapes have room for EC2's own names only. Types that are Craton's own (`craton.…`) are
reserved and offered by their names like any other, and described by the native API.
"""

from typing import Any

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.filters import Field, Filters
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged
from craton.apis.ec2.regions import zone_id
from craton.fleet.lookup import State
from craton.fleet.reservation_contract import InstanceTypeView, Offered, OfferedQuery

TYPES_MAX = 100
USAGE_CLASSES = ["on-demand", "capacity-block"]
NEURON = "AWS"
GPU_VENDORS = ("AMD", "NVIDIA")
_TYPE_FILTERS = (
    "instance-type",
    "memory-info.size-in-mib",
    "supported-usage-class",
    "vcpu-info.default-vcpus",
)
_OFFERING_FILTERS = ("instance-type", "location")
_LOCATIONS = ("region", "availability-zone", "availability-zone-id")


class InstanceTypeOperations:
    """The operations on instance types."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> dict[str, Ec2Operation]:
        """By the operation's name."""
        return {
            "DescribeInstanceTypes": Ec2Operation(
                self.describe, paged=Paged("InstanceTypes", ("InstanceType",), TYPES_MAX)
            ),
            "DescribeInstanceTypeOfferings": Ec2Operation(
                self.offerings,
                paged=Paged("InstanceTypeOfferings", ("InstanceType", "Location")),
            ),
        }

    async def _types(self, asked: Asked) -> list[InstanceTypeView]:
        offered = await self._state.call("offered", OfferedQuery(asked.account), Offered)
        return [each for each in offered.types if not each.is_own]

    async def describe(self, asked: Asked, params: Document) -> Document:
        """The types in the fleet, or with `IncludeUnsupportedInRegion` all that are known."""
        filters = Filters(params.get("Filters"), names=_TYPE_FILTERS)
        wanted: list[str] = params.get("InstanceTypes", [])
        is_all: bool = params.get("IncludeUnsupportedInRegion", False)
        there = [each for each in await self._types(asked) if each.zones or is_all]
        missing = sorted(set(wanted) - {each.name for each in there})
        if missing:
            raise ec2_error(
                "InvalidInstanceType",
                f"The following supplied instance types do not exist: [{', '.join(missing[:10])}]. "
                "List those of this fleet with DescribeInstanceTypes.",
            )
        return {
            "InstanceTypes": [
                _described(each)
                for each in there
                if (not wanted or each.name in wanted) and filters.admit(_fields(each))
            ]
        }

    async def offerings(self, asked: Asked, params: Document) -> Document:
        """Where each type of the fleet is."""
        filters = Filters(params.get("Filters"), names=_OFFERING_FILTERS)
        kind: str = params.get("LocationType", "region")
        if kind not in _LOCATIONS:
            raise ec2_error("Unsupported", f"LocationType is {kind}; there are no Outposts here.")
        region = asked.place.region
        found: list[Document] = []
        for each in await self._types(asked):
            places = {
                "region": [region] if each.zones else [],
                "availability-zone": each.zones,
                "availability-zone-id": [zone_id(region, zone) for zone in each.zones],
            }[kind]
            found += [
                {"InstanceType": each.name, "LocationType": kind, "Location": place}
                for place in places
                if filters.admit({"instance-type": each.name, "location": place})
            ]
        return {"InstanceTypeOfferings": found}


def _described(view: InstanceTypeView) -> Document:
    document: Document = {
        "InstanceType": view.name,
        "SupportedInRegion": bool(view.zones),
    }
    if view.zones:
        document["SupportedUsageClasses"] = USAGE_CLASSES
    if view.vcpus is not None:
        document["VCpuInfo"] = {"DefaultVCpus": view.vcpus}
    if view.memory_gib is not None:
        document["MemoryInfo"] = {"SizeInMiB": view.memory_gib * 1024}
    return document | _chips(view)


def _chips(view: InstanceTypeView) -> dict[str, Any]:
    """The chips of a host, under the name that EC2 has for their kind."""
    if not view.chip_memory_mib:
        return {}
    chip: Document = {
        "Name": view.chip_title.removeprefix(f"{view.vendor} "),
        "Count": view.chips,
        "MemoryInfo": {"SizeInMiB": view.chip_memory_mib},
    }
    total_mib = view.chips * view.chip_memory_mib
    if view.vendor == NEURON:
        return {"NeuronInfo": {"NeuronDevices": [chip], "TotalNeuronDeviceMemoryInMiB": total_mib}}
    if view.vendor in GPU_VENDORS:
        gpu = {**chip, "Manufacturer": view.vendor}
        return {"GpuInfo": {"Gpus": [gpu], "TotalGpuMemoryInMiB": total_mib}}
    return {}


def _fields(view: InstanceTypeView) -> dict[str, Field]:
    fields: dict[str, Field] = {
        "instance-type": view.name,
        "supported-usage-class": USAGE_CLASSES if view.zones else (),
    }
    if view.vcpus is not None:
        fields["vcpu-info.default-vcpus"] = view.vcpus
    if view.memory_gib is not None:
        fields["memory-info.size-in-mib"] = view.memory_gib * 1024
    return fields
