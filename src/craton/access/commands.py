"""What can be done to accounts, projects and keys, and the names these commands go by."""

import hashlib
from collections.abc import Callable

import msgspec

from craton.access.contract import CreateAccount, CreateKey, CreateProject, NewKey, RevokeKey
from craton.access.records import (
    ACCESS_KEYS,
    ACCOUNTS,
    API_KEYS,
    KEY_TRANSITIONS,
    PROJECTS,
    AccessKey,
    Account,
    AccountId,
    ApiKey,
    KeyId,
    KeyState,
    Project,
    ProjectId,
    Role,
)
from craton.access.vault import Vault
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.kernel.ids import Ids
from craton.store.documents import Transaction
from craton.store.kind import Change

NAME_LENGTH_MAX = 64


class Access:
    """The commands; ids and the vault come in as arguments."""

    def __init__(self, ids: Ids, vault: Vault, randomness: Callable[[int], bytes]) -> None:
        self._ids = ids
        self._vault = vault
        self._randomness = randomness

    def create_account(self, transaction: Transaction, command: CreateAccount) -> Account:
        """Make an account and its default project."""
        name = checked_name(command.name)
        number = int.from_bytes(self._randomness(8), "big") % 900_000_000_000 + 100_000_000_000
        account = Account(AccountId(str(number)), name, transaction.now_ms)
        transaction.add(ACCOUNTS, account.id, account, account="", name=name)
        self.create_project(transaction, CreateProject(account.id, "default"))
        return account

    def create_project(self, transaction: Transaction, command: CreateProject) -> Project:
        """Make a project in an account."""
        account = resolve_account(transaction, command.account)
        name = checked_name(command.name)
        project = Project(
            ProjectId(self._ids.name("proj-", length=12)), account.id, name, transaction.now_ms
        )
        transaction.add(PROJECTS, project.id, project, account=account.id, name=name)
        return project

    def create_key(self, transaction: Transaction, command: CreateKey) -> NewKey:
        """Make an access key and an API key of one name; their secrets are told this once."""
        account = resolve_account(transaction, command.account)
        project = resolve_project(transaction, account.id, command.project)
        name = checked_name(command.name)
        key_id = KeyId("AKIA" + self._ids.name("", length=16).upper())
        secret = self._ids.secret(length=40)
        access_key = AccessKey(
            id=key_id,
            name=name,
            account=account.id,
            project=project.id,
            role=command.role,
            secret=self._vault.seal(secret.encode(), key_id),
            created_ms=transaction.now_ms,
        )
        text = "sk-craton-" + self._ids.secret(length=43)
        api_key = ApiKey(
            id=KeyId(self._ids.name("key-", length=16)),
            name=name,
            account=account.id,
            project=project.id,
            role=command.role,
            digest=hashlib.sha256(text.encode()).digest(),
            hint=text[-4:],
            created_ms=transaction.now_ms,
        )
        transaction.add(ACCESS_KEYS, key_id, access_key, account=account.id, name=name)
        transaction.add(API_KEYS, api_key.id, api_key, account=account.id, name=name)
        return NewKey(
            account=account.id,
            account_name=account.name,
            project=project.id,
            name=name,
            role=command.role,
            access_key_id=key_id,
            secret_access_key=secret,
            api_key_id=api_key.id,
            api_key=text,
        )

    def revoke_key(self, transaction: Transaction, command: RevokeKey) -> RevokeKey:
        """Revoke a key by its id; it is refused everywhere before this is acknowledged."""
        found: AccessKey | ApiKey | None = transaction.find(ACCESS_KEYS, command.id)
        kind = ACCESS_KEYS if found else API_KEYS
        found = found or transaction.find(API_KEYS, command.id)
        if found is None or (command.account and found.account != command.account):
            raise NotFound(f"There is no key {command.id!r}. List yours with `craton keys`.")
        if KeyState.REVOKED not in KEY_TRANSITIONS[found.state]:
            raise Conflict(f"Key {command.id!r} is {found.state} already.")
        transaction.put(kind, found.id, msgspec.structs.replace(found, state=KeyState.REVOKED))
        return command

    def publish_access_key(self, change: Change) -> Change:
        """What workers are told of an access key: the secret in clear, as signatures need it."""
        if change.body is None:
            return change
        key = ACCESS_KEYS.decode(change.body)
        clear = self._vault.open(key.secret, key.id)
        body = msgspec.json.encode(msgspec.structs.replace(key, secret=clear))
        return Change(change.kind, change.id, body)


def checked_name(name: str) -> str:
    """A name people gave; BadRequest if it is empty, too long, or not printable."""
    if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable() or name != name.strip():
        raise BadRequest(
            f"The name {name!r} must have 1 to {NAME_LENGTH_MAX} printable characters, "
            "with no space at either end."
        )
    return name


def resolve_account(transaction: Transaction, id_or_name: str) -> Account:
    """An account by its id or its name."""
    found = transaction.find(ACCOUNTS, id_or_name)
    if found is not None:
        return found
    for account in transaction.list(ACCOUNTS, limit=10_000):
        if account.name == id_or_name:
            return account
    raise NotFound(f"There is no account {id_or_name!r}. List them with `craton accounts`.")


def resolve_project(transaction: Transaction, account: AccountId, id_or_name: str) -> Project:
    """A project of an account by its id or its name."""
    for project in transaction.list(PROJECTS, limit=10_000):
        if project.account == account and id_or_name in (project.id, project.name):
            return project
    raise NotFound(f"Account {account} has no project {id_or_name!r}.")


__all__ = ["Access", "Role"]
