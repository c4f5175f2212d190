"""Accounts, projects and keys. Members see their own account's; operators make and see all."""

from typing import Any

import msgspec

from craton.access.contract import CreateAccount, CreateKey, CreateProject, NewKey, RevokeKey
from craton.access.policy import ADMINISTER
from craton.access.records import AccessKey, Account, ApiKey, KeyState, Project, Role
from craton.apis.native.contract import (
    AccountPage,
    ById,
    Identity,
    KeyKind,
    KeyPage,
    KeyView,
    NewAccount,
    NewKeyPair,
    NewProject,
    Nothing,
    OwnedPaging,
    Paging,
    ProjectPage,
)
from craton.apis.native.operation import READ, Caller, Operation
from craton.apis.native.paging import page
from craton.kernel.errors import AccessDenied, NotFound

REVOKE = "craton:RevokeKey"


async def get_identity(caller: Caller, _: Nothing) -> Identity:
    """Say who the caller is."""
    principal = caller.principal
    account = caller.services.directory.accounts.get(principal.account)
    name = account.name if account else ""
    return Identity(principal.account, name, principal.project, principal.key, principal.role)


async def list_accounts(caller: Caller, asked: Paging) -> AccountPage:
    """The accounts the caller may see."""
    own = caller.scope(None)
    visible = {
        id: account
        for id, account in caller.services.directory.accounts.items()
        if own is None or id == own
    }
    return AccountPage(*page(visible, after=asked.after, limit=asked.limit))


async def get_account(caller: Caller, asked: ById) -> Account:
    """One account, by id or name."""
    account = caller.scope(asked.id)
    assert account is not None, "an account was named, so the scope is one account"
    return caller.services.directory.accounts[account]


async def create_account(caller: Caller, new: NewAccount) -> Account:
    """Make an account."""
    return await caller.services.state.call("create_account", CreateAccount(new.name), Account)


async def list_projects(caller: Caller, asked: OwnedPaging) -> ProjectPage:
    """The projects the caller may see."""
    account = caller.scope(asked.account)
    visible = {
        id: project
        for id, project in caller.services.directory.projects.items()
        if account is None or project.account == account
    }
    return ProjectPage(*page(visible, after=asked.after, limit=asked.limit))


async def create_project(caller: Caller, new: NewProject) -> Project:
    """Make a project."""
    command = CreateProject(new.account or caller.principal.account, new.name)
    return await caller.services.state.call("create_project", command, Project)


async def list_keys(caller: Caller, asked: OwnedPaging) -> KeyPage:
    """The keys the caller may see, without their secrets."""
    account = caller.scope(asked.account)
    directory = caller.services.directory
    every: list[AccessKey | ApiKey] = [
        *directory.access_keys.values(),
        *directory.api_keys.values(),
    ]
    visible: dict[str, AccessKey | ApiKey] = {
        key.id: key for key in every if account is None or key.account == account
    }
    keys, following = page(visible, after=asked.after, limit=asked.limit)
    return KeyPage([key_view(key) for key in keys], following)


async def create_key(caller: Caller, new: NewKeyPair) -> NewKey:
    """Make an access key and an API key; the answer is the only time their secrets are told."""
    command = CreateKey(
        new.account or caller.principal.account, new.name, project=new.project, role=new.role
    )
    return await caller.services.state.call("create_key", command, NewKey)


async def revoke_key(caller: Caller, asked: ById) -> KeyView:
    """Revoke a key: it is refused everywhere before this answers."""
    directory = caller.services.directory
    key = directory.access_keys.get(asked.id) or directory.api_keys.get(asked.id)
    account = caller.scope(None)
    if key is None or (account is not None and key.account != account):
        raise NotFound(f"There is no key {asked.id!r}. List yours with `craton keys`.")
    if not caller.is_operator and key.role is Role.OPERATOR:
        raise AccessDenied(
            f"Key {caller.principal.key} is a member's and can't revoke the operator's key "
            f"{key.id}. Use an operator's key."
        )
    await caller.services.state.call("revoke_key", RevokeKey(key.id, account), RevokeKey)
    return msgspec.structs.replace(key_view(key), state=KeyState.REVOKED)


def key_view(key: AccessKey | ApiKey) -> KeyView:
    """A key as it is shown."""
    is_api_key = isinstance(key, ApiKey)
    return KeyView(
        id=key.id,
        kind=KeyKind.API_KEY if is_api_key else KeyKind.ACCESS_KEY,
        name=key.name,
        account=key.account,
        project=key.project,
        role=key.role,
        state=key.state,
        hint=key.hint if is_api_key else None,
        created_ms=key.created_ms,
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="GetIdentity",
        method="GET",
        path="/identity",
        summary="Who the caller is",
        action=READ,
        takes=Nothing,
        returns=Identity,
        run=get_identity,
    ),
    Operation(
        name="ListAccounts",
        method="GET",
        path="/accounts",
        summary="List accounts; a member's key lists its own",
        action=READ,
        takes=Paging,
        returns=AccountPage,
        run=list_accounts,
    ),
    Operation(
        name="CreateAccount",
        method="POST",
        path="/accounts",
        summary="Make an account and its project `default`",
        action=ADMINISTER,
        takes=NewAccount,
        returns=Account,
        run=create_account,
        status=201,
    ),
    Operation(
        name="GetAccount",
        method="GET",
        path="/accounts/{id}",
        summary="One account, by id or name",
        action=READ,
        takes=ById,
        returns=Account,
        run=get_account,
    ),
    Operation(
        name="ListProjects",
        method="GET",
        path="/projects",
        summary="List projects",
        action=READ,
        takes=OwnedPaging,
        returns=ProjectPage,
        run=list_projects,
    ),
    Operation(
        name="CreateProject",
        method="POST",
        path="/projects",
        summary="Make a project in an account",
        action=ADMINISTER,
        takes=NewProject,
        returns=Project,
        run=create_project,
        status=201,
    ),
    Operation(
        name="ListKeys",
        method="GET",
        path="/keys",
        summary="List keys without their secrets",
        action=READ,
        takes=OwnedPaging,
        returns=KeyPage,
        run=list_keys,
    ),
    Operation(
        name="CreateKey",
        method="POST",
        path="/keys",
        summary="Make an access key and an API key; their secrets are told this once",
        action=ADMINISTER,
        takes=NewKeyPair,
        returns=NewKey,
        run=create_key,
        status=201,
    ),
    Operation(
        name="RevokeKey",
        method="DELETE",
        path="/keys/{id}",
        summary="Revoke a key; it is refused everywhere before this answers",
        action=REVOKE,
        takes=ById,
        returns=KeyView,
        run=revoke_key,
    ),
)
