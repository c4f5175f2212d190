"""What a worker may ask about accounts and keys; free of any database library."""

import msgspec

from craton.access.records import AccountId, KeyId, Level, ProjectId, Role


class CreateAccount(msgspec.Struct, frozen=True):
    """Make an account."""

    name: str


class CreateProject(msgspec.Struct, frozen=True):
    """Make a project in an account (its id or name)."""

    account: str
    name: str


class CreateKey(msgspec.Struct, frozen=True):
    """Make an access key and an API key for a project of an account."""

    account: str
    name: str
    project: str = "default"
    role: Role = Role.MEMBER


class NewKey(msgspec.Struct, frozen=True):
    """The one time the secrets are told."""

    account: AccountId
    account_name: str
    project: ProjectId
    name: str
    role: Role
    access_key_id: KeyId
    secret_access_key: str
    api_key_id: KeyId
    api_key: str


class RevokeKey(msgspec.Struct, frozen=True):
    """Revoke a key; `account` limits it to that account's keys."""

    id: str
    account: str | None = None


class PutPolicy(msgspec.Struct, frozen=True):
    """Attach a policy to an account, a project or a key (by id); replaces the one of that name.

    `by` is the key that asks, which can't bind itself.
    """

    level: Level
    id: str
    name: str
    document: str
    by: KeyId


class DeletePolicy(msgspec.Struct, frozen=True):
    """Detach a policy."""

    level: Level
    id: str
    name: str
