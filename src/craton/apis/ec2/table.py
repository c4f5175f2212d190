"""The table of EC2's operations that are served."""

from collections.abc import Mapping

from craton.apis.ec2 import instances
from craton.apis.ec2.capacity_blocks import CapacityBlocks
from craton.apis.ec2.capacity_fleets import CapacityFleets
from craton.apis.ec2.capacity_reservations import CapacityReservations
from craton.apis.ec2.instance_types import InstanceTypeOperations
from craton.apis.ec2.operation import Ec2Operation
from craton.apis.ec2.regions import Zones, describe_regions
from craton.apis.ec2.tags import TagOperations
from craton.fleet.lookup import State


def operations(state: State) -> Mapping[str, Ec2Operation]:
    """Every operation by its name; `state` decides on capacity."""
    return {
        "DescribeRegions": Ec2Operation(describe_regions),
        "DescribeAvailabilityZones": Ec2Operation(Zones(state).describe),
        **CapacityBlocks(state).rows(),
        **CapacityReservations(state).rows(),
        **CapacityFleets(state).rows(),
        **InstanceTypeOperations(state).rows(),
        **TagOperations(state).rows(),
        **instances.ROWS,
    }
