"""EC2's operations on instances, all refused: what runs here holds a lease, and is no instance."""

from typing import NoReturn

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.operation import Asked, Document, Ec2Operation

INSTEAD = (
    "There are no instances here. Run a command on chips, inside a reservation or of what is free, "
    "with `craton run`, or hold them with `craton leases request` or POST /craton/v1/leases."
)


async def run_instances(asked: Asked, params: Document) -> NoReturn:
    """Refused: it says what to use."""
    del asked, params
    raise ec2_error("Unsupported", INSTEAD)


async def modify_attributes(asked: Asked, params: Document) -> NoReturn:
    """Refused: whatever instance it names, there is none."""
    del asked
    raise ec2_error(
        "InvalidInstanceID.NotFound",
        f"The instance ID {params['InstanceId'][:60]!r} does not exist. {INSTEAD} A lease names "
        "its reservation when it is asked for.",
    )


ROWS = {
    "ModifyInstanceCapacityReservationAttributes": Ec2Operation(modify_attributes),
    "RunInstances": Ec2Operation(run_instances),
}
