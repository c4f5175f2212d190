"""What an operation of EC2 is here: a function from its input to its output.

A row of the table says nothing more than what differs: the function, and which resources it is
about, where policies decide by resource. All else is done for it: reading and checking the input,
authorisation, `DryRun`, pages, rendering, errors.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from craton.access.records import Principal
from craton.apis.ec2.pages import RESULTS_MAX
from craton.fleet.contract import Owner

Document = dict[str, Any]


class Place(msgspec.Struct, frozen=True):
    """Where capacity is in this cloud: its one region. Its zones are the fleet's sites."""

    region: str


class Asked(msgspec.Struct, frozen=True):
    """Who asks, where, and when."""

    principal: Principal
    place: Place
    host: str
    """The name and port by which the client reached this cloud; empty if it didn't say."""
    now_ms: int

    @property
    def account(self) -> str:
        """Whose capacity it is about: nobody sees another account's here, operators neither."""
        return self.principal.account

    @property
    def owner(self) -> Owner:
        """Who asks, and pays."""
        return Owner(self.principal.account, self.principal.project, self.principal.key)


class Paged(msgspec.Struct, frozen=True):
    """An output of which callers are given a page at a time."""

    member: str
    """The output's list."""
    keys: tuple[str, ...]
    """The members of each of its structures that tell them apart, and by which they are sorted."""
    results_max: int = RESULTS_MAX


Run = Callable[[Asked, Document], Awaitable[Document]]
Resources = Callable[[Asked, Document], Sequence[str]]


class Ec2Operation(msgspec.Struct, frozen=True):
    """One row of the table of operations."""

    run: Run
    """From the checked input to the output; raises `ec2_error`, or any error of the tree."""
    resources: Resources | None = None
    """The ARNs it is about, each of which the caller must be allowed; None is `*`."""
    paged: Paged | None = None
    """Set where the operation has `MaxResults` and `NextToken`; `run` gives everything then."""
