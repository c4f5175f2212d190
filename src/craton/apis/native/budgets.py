"""Budgets: operators make them, members see those of their own account."""

from typing import Annotated, Any

from msgspec import Meta

from craton.access.policy import ADMINISTER
from craton.apis.native.bounded import OfSubject, subject
from craton.apis.native.contract import ById, Id, OwnedPaging, Removed, Taken
from craton.apis.native.operation import READ, Caller, Operation
from craton.economics.bounds import Period
from craton.economics.contract import (
    BoundsQuery,
    BudgetPage,
    BudgetStatus,
    CreateBudget,
    DeleteBudget,
    UpdateBudget,
)
from craton.kernel.errors import BadRequest, NotFound

AMOUNT_MAX = 10**30
"""A thousand million million million of a currency: beyond it lies only a mistake."""
SUM_TIMEOUT_S = 60
"""What was posted in the period is summed once, when the budget is made."""

# msgspec compares integers with 64 bits only: the upper bound is looked at here.
Amount = Annotated[
    int, Meta(ge=0, description="Billionths of a unit of `currency`, at most 10^30.")
]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="As the price files write it.")]


class NewBudget(OfSubject, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most an account, project or key may spend in a period; in force once answered."""

    amount_nanos: Amount
    currency: Currency = "USD"
    period: Period = Period.MONTH


class BudgetChange(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another amount for a budget. Below what is spent, nothing more passes in this period."""

    id: Id
    amount_nanos: Amount


async def list_budgets(caller: Caller, asked: OwnedPaging) -> BudgetPage:
    """The budgets the caller may see, and where they stand."""
    query = BoundsQuery(caller.scope(asked.account), None, asked.after, asked.limit)
    return await caller.services.state.call("budgets", query, BudgetPage)


async def get_budget(caller: Caller, asked: ById) -> BudgetStatus:
    """One budget, and where it stands."""
    query = BoundsQuery(caller.scope(None), asked.id)
    page = await caller.services.state.call("budgets", query, BudgetPage)
    if not page.budgets:
        raise NotFound(f"There is no budget {asked.id!r}. List them with `craton budgets`.")
    return page.budgets[0]


async def create_budget(caller: Caller, new: NewBudget) -> BudgetStatus:
    """Make a budget; what was spent in its period already counts."""
    whose = subject(caller, new)
    command = CreateBudget(
        name=new.name,
        account=whose.account,
        scope=whose.scope,
        subjects=whose.ids,
        amount_nanos=_bounded(new.amount_nanos),
        currency=new.currency,
        period=new.period,
    )
    return await caller.services.state.call(
        "create_budget", command, BudgetStatus, timeout_s=SUM_TIMEOUT_S
    )


async def update_budget(caller: Caller, change: BudgetChange) -> BudgetStatus:
    """Give a budget another amount."""
    command = UpdateBudget(change.id, _bounded(change.amount_nanos))
    return await caller.services.state.call("update_budget", command, BudgetStatus)


def _bounded(amount_nanos: int) -> int:
    if amount_nanos > AMOUNT_MAX:
        raise BadRequest("`amount_nanos` is more than 10^30. Is a unit mistaken for its billionth?")
    return amount_nanos


async def delete_budget(caller: Caller, asked: ById) -> Removed:
    """Take a budget away."""
    await caller.services.state.call("delete_budget", DeleteBudget(asked.id), DeleteBudget)
    return Removed(asked.id)


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListBudgets",
        method="GET",
        path="/budgets",
        summary="List budgets: what is spent, held and left",
        action=READ,
        takes=OwnedPaging,
        returns=BudgetPage,
        run=list_budgets,
    ),
    Operation(
        name="CreateBudget",
        method="POST",
        path="/budgets",
        summary="Bound what an account, project or key may spend",
        action=ADMINISTER,
        takes=NewBudget,
        returns=BudgetStatus,
        run=create_budget,
        status=201,
    ),
    Operation(
        name="UpdateBudget",
        method="POST",
        path="/budgets/update",
        summary="Give a budget another amount",
        action=ADMINISTER,
        takes=BudgetChange,
        returns=BudgetStatus,
        run=update_budget,
    ),
    Operation(
        name="GetBudget",
        method="GET",
        path="/budgets/{id}",
        summary="One budget: what is spent, held and left",
        action=READ,
        takes=ById,
        returns=BudgetStatus,
        run=get_budget,
    ),
    Operation(
        name="DeleteBudget",
        method="DELETE",
        path="/budgets/{id}",
        summary="Take a budget away",
        action=ADMINISTER,
        takes=ById,
        returns=Removed,
        run=delete_budget,
    ),
)
