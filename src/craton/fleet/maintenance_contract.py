"""What may be said and asked about maintenance; free of NumPy and of any database library.

Moments are seconds UTC.
"""

from enum import StrEnum

import msgspec


class MaintenanceState(StrEnum):
    """Where a maintenance window stands."""

    SCHEDULED = "scheduled"
    UNDER_WAY = "under-way"
    """Its hosts are set aside."""
    OVER = "over"
    CANCELLED = "cancelled"


class ScheduleMaintenance(msgspec.Struct, frozen=True):
    """Promise the hosts under a path to nobody from one moment to another, and set them aside then.

    Refused where a promise would lack units that spares don't make up for.
    """

    path: str
    start_s: int
    end_s: int
    note: str = ""


class CancelMaintenance(msgspec.Struct, frozen=True):
    """Give up a window, or end it now."""

    id: str


class MaintenanceQuery(msgspec.Struct, frozen=True):
    """The windows that are scheduled or under way, or with `is_all` those that are over too."""

    is_all: bool = False


class MaintenanceView(msgspec.Struct, frozen=True):
    """A maintenance window."""

    id: str
    path: str
    start_s: int
    end_s: int
    state: MaintenanceState
    note: str
    hosts: int
    created_ms: int


class MaintenanceViews(msgspec.Struct, frozen=True):
    """Windows, by their start."""

    windows: list[MaintenanceView]
