"""Commitments: operators sign and end them; an account sees its own, and its monthly statements."""

from typing import Annotated, Any

from msgspec import Meta

from craton.access.policy import ADMINISTER
from craton.apis.native.contract import ById, Id, OfAccount, Taken
from craton.apis.native.operation import READ, Caller, Operation
from craton.fleet.commitment_contract import (
    Commitments,
    CommitmentsQuery,
    CommitmentView,
    FindCapacity,
    SignCommitment,
    StatementQuery,
    StatementView,
    TerminateCommitment,
    account_of,
)
from craton.kernel.errors import NotFound

SIGN_TIMEOUT_S = 60
"""A contract may have a thousand deliveries, each over years of the fleet's calendars."""
TOML = "application/toml"


class NewCommitment(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contract to put in force, as the text it is; or only to be tried."""

    text: str
    dry_run: bool = False


class AskCommitments(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for commitments, of one account if it is named."""

    account: OfAccount | None = None


class AskStatement(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for one month of a commitment."""

    id: Id
    month: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}$", description="Such as 2027-01.")]


async def sign_commitment(caller: Caller, new: NewCommitment) -> CommitmentView:
    """Put a contract in force, or say what that would be."""
    command = SignCommitment(
        text=new.text,
        account=caller.find_account(account_of(new.text)),
        principal=caller.principal.key,
    )
    name = "sketch_commitment" if new.dry_run else "sign_commitment"
    return await caller.services.state.call(name, command, CommitmentView, timeout_s=SIGN_TIMEOUT_S)


async def list_commitments(caller: Caller, asked: AskCommitments) -> Commitments:
    """The commitments that the caller may see."""
    query = CommitmentsQuery(caller.scope(asked.account))
    return await caller.services.state.call("commitments", query, Commitments)


async def get_commitment(caller: Caller, asked: ById) -> CommitmentView:
    """One commitment, by its id or name."""
    query = CommitmentsQuery(caller.scope(None), asked.id)
    found = await caller.services.state.call("commitments", query, Commitments)
    if not found.commitments:
        raise NotFound(
            f"There is no commitment {asked.id!r}. List them with `craton commitments list`."
        )
    return found.commitments[0]


async def get_statement(caller: Caller, asked: AskStatement) -> StatementView:
    """One month that was posted."""
    query = StatementQuery(asked.id, asked.month, caller.scope(None))
    return await caller.services.state.call("commitment_statement", query, StatementView)


async def find_capacity(caller: Caller, asked: ById) -> CommitmentView:
    """Keep units for what the fleet couldn't hold before."""
    command = FindCapacity(asked.id)
    return await caller.services.state.call(
        "find_commitment_capacity", command, CommitmentView, timeout_s=SIGN_TIMEOUT_S
    )


async def terminate_commitment(caller: Caller, asked: ById) -> CommitmentView:
    """End a contract now."""
    command = TerminateCommitment(asked.id)
    return await caller.services.state.call(
        "terminate_commitment", command, CommitmentView, timeout_s=SIGN_TIMEOUT_S
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="SignCommitment",
        method="PUT",
        path="/commitments",
        summary="Put a contract over years in force, or with dry_run say what the fleet has for it",
        action=ADMINISTER,
        takes=NewCommitment,
        returns=CommitmentView,
        run=sign_commitment,
        whole_body="text",
        body_type=TOML,
    ),
    Operation(
        name="ListCommitments",
        method="GET",
        path="/commitments",
        summary="Contracts with what of them is delivered, used, recognised and still to come",
        action=READ,
        takes=AskCommitments,
        returns=Commitments,
        run=list_commitments,
    ),
    Operation(
        name="GetCommitment",
        method="GET",
        path="/commitments/{id}",
        summary="One contract, by id or name",
        action=READ,
        takes=ById,
        returns=CommitmentView,
        run=get_commitment,
    ),
    Operation(
        name="GetCommitmentStatement",
        method="GET",
        path="/commitments/{id}/statements/{month}",
        summary="One month of a contract as it was posted",
        action=READ,
        takes=AskStatement,
        returns=StatementView,
        run=get_statement,
    ),
    Operation(
        name="FindCommitmentCapacity",
        method="POST",
        path="/commitments/capacity",
        summary="Keep units for what the fleet could not hold of a contract before",
        action=ADMINISTER,
        takes=ById,
        returns=CommitmentView,
        run=find_capacity,
    ),
    Operation(
        name="TerminateCommitment",
        method="DELETE",
        path="/commitments/{id}",
        summary="End a contract now: bill it until now, post its fee, let go of what it has",
        action=ADMINISTER,
        takes=ById,
        returns=CommitmentView,
        run=terminate_commitment,
    ),
)
