"""Limits: operators make them, members see those of their own account."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from craton.access.policy import ADMINISTER
from craton.apis.native.bounded import OfSubject, changed, subject
from craton.apis.native.contract import ById, Id, OwnedPaging, Removed, Taken
from craton.apis.native.operation import READ, Caller, Operation
from craton.economics.contract import (
    BoundsQuery,
    CreateLimit,
    DeleteLimit,
    LimitPage,
    LimitStatus,
    UpdateLimit,
)
from craton.kernel.errors import BadRequest, NotFound

COUNT_MAX = 2**53

Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]


class NewLimit(OfSubject, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast an account, project or key may use models; in force once answered.

    A minute is any 60 seconds. Tokens are input and output together.
    """

    model: Annotated[
        str | None, Meta(description="Only this model's requests count; its id or an alias.")
    ] = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    requests_at_once: Count | None = None


class LimitChange(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other numbers for a limit: one that is left out stays, null takes it away."""

    id: Id
    requests_per_minute: Count | msgspec.UnsetType | None = msgspec.UNSET
    tokens_per_minute: Count | msgspec.UnsetType | None = msgspec.UNSET
    requests_at_once: Count | msgspec.UnsetType | None = msgspec.UNSET


async def list_limits(caller: Caller, asked: OwnedPaging) -> LimitPage:
    """The limits the caller may see, and what counts against them."""
    query = BoundsQuery(caller.scope(asked.account), None, asked.after, asked.limit)
    return await caller.services.state.call("limits", query, LimitPage)


async def get_limit(caller: Caller, asked: ById) -> LimitStatus:
    """One limit, and what counts against it."""
    query = BoundsQuery(caller.scope(None), asked.id)
    page = await caller.services.state.call("limits", query, LimitPage)
    if not page.limits:
        raise NotFound(f"There is no limit {asked.id!r}. List them with `craton limits`.")
    return page.limits[0]


async def create_limit(caller: Caller, new: NewLimit) -> LimitStatus:
    """Make a limit; the last minute counts already."""
    whose = subject(caller, new)
    model = None if new.model is None else caller.services.router.card(new.model).id
    command = CreateLimit(
        name=new.name,
        account=whose.account,
        scope=whose.scope,
        subjects=whose.ids,
        model=model,
        requests_per_minute=new.requests_per_minute,
        tokens_per_minute=new.tokens_per_minute,
        requests_at_once=new.requests_at_once,
    )
    _refuse_none(command)
    return await caller.services.state.call("create_limit", command, LimitStatus)


async def update_limit(caller: Caller, change: LimitChange) -> LimitStatus:
    """Give a limit other numbers."""
    old = await get_limit(caller, ById(id=change.id))
    command = UpdateLimit(
        change.id,
        requests_per_minute=changed(change.requests_per_minute, old.requests_per_minute),
        tokens_per_minute=changed(change.tokens_per_minute, old.tokens_per_minute),
        requests_at_once=changed(change.requests_at_once, old.requests_at_once),
    )
    _refuse_none(command)
    return await caller.services.state.call("update_limit", command, LimitStatus)


async def delete_limit(caller: Caller, asked: ById) -> Removed:
    """Take a limit away."""
    await caller.services.state.call("delete_limit", DeleteLimit(asked.id), DeleteLimit)
    return Removed(asked.id)


def _refuse_none(command: CreateLimit | UpdateLimit) -> None:
    if not (command.requests_per_minute or command.tokens_per_minute or command.requests_at_once):
        raise BadRequest(
            "A limit needs at least one of requests_per_minute, tokens_per_minute and "
            "requests_at_once."
        )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListLimits",
        method="GET",
        path="/limits",
        summary="List limits, and what counts against them",
        action=READ,
        takes=OwnedPaging,
        returns=LimitPage,
        run=list_limits,
    ),
    Operation(
        name="CreateLimit",
        method="POST",
        path="/limits",
        summary="Bound how fast an account, project or key may use models",
        action=ADMINISTER,
        takes=NewLimit,
        returns=LimitStatus,
        run=create_limit,
        status=201,
    ),
    Operation(
        name="UpdateLimit",
        method="POST",
        path="/limits/update",
        summary="Give a limit other numbers",
        action=ADMINISTER,
        takes=LimitChange,
        returns=LimitStatus,
        run=update_limit,
    ),
    Operation(
        name="GetLimit",
        method="GET",
        path="/limits/{id}",
        summary="One limit, and what counts against it",
        action=READ,
        takes=ById,
        returns=LimitStatus,
        run=get_limit,
    ),
    Operation(
        name="DeleteLimit",
        method="DELETE",
        path="/limits/{id}",
        summary="Take a limit away",
        action=ADMINISTER,
        takes=ById,
        returns=Removed,
        run=delete_limit,
    ),
)
