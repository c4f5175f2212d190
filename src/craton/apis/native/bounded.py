"""What budgets and limits share here: whom they bound, by the names people use."""

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from craton.apis.native.contract import OfAccount, Taken
from craton.apis.native.operation import Caller
from craton.economics.bounds import Scope
from craton.kernel.errors import BadRequest, NotFound

Project = Annotated[str, Meta(max_length=256, description="Bound this project; its id or name.")]
Key = Annotated[
    str,
    Meta(
        max_length=256,
        description="Bound this key; its id or name. A pair's two keys are bounded together.",
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=64, description="Unique in the account.")]


class OfSubject(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds an account; or one of its projects or keys, if that is named."""

    name: Name
    account: OfAccount | None = None
    project: Project | None = None
    key: Key | None = None


class Subject(NamedTuple):
    """Whose use is bounded."""

    account: str
    scope: Scope
    ids: tuple[str, ...]


def subject(caller: Caller, asked: OfSubject) -> Subject:
    """Whom the caller means; NotFound or BadRequest if that is nobody, or unclear."""
    name = asked.name
    if not name.isprintable() or name != name.strip():
        raise BadRequest(f"The name {name!r} must be printable, with no space at either end.")
    account = caller.find_account(asked.account or caller.principal.account)
    if asked.project is not None and asked.key is not None:
        raise BadRequest("Name a project or a key, not both: make one for each.")
    if asked.project is not None:
        return Subject(account, Scope.PROJECT, (_project(caller, account, asked.project),))
    if asked.key is not None:
        return Subject(account, Scope.KEY, _keys(caller, account, asked.key))
    return Subject(account, Scope.ACCOUNT, (account,))


def _project(caller: Caller, account: str, id_or_name: str) -> str:
    for project in caller.services.directory.projects.values():
        if project.account == account and id_or_name in (project.id, project.name):
            return project.id
    raise NotFound(
        f"Account {account} has no project {id_or_name!r}. List them with `craton projects`."
    )


def _keys(caller: Caller, account: str, id_or_name: str) -> tuple[str, ...]:
    directory = caller.services.directory
    every = [*directory.access_keys.values(), *directory.api_keys.values()]
    mine = [key for key in every if key.account == account]
    names = {key.name for key in mine if id_or_name in (key.id, key.name)}
    if not names:
        raise NotFound(
            f"Account {account} has no key {id_or_name!r}. List them with `craton keys`."
        )
    return tuple(sorted(key.id for key in mine if key.name in names))


def changed(value: int | msgspec.UnsetType | None, old: int | None) -> int | None:
    """A number as it will be: as it was, unless the caller says another or None."""
    return old if isinstance(value, msgspec.UnsetType) else value
