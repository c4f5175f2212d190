"""What a worker knows of accounts and keys: a snapshot, kept current by the state process."""

import hashlib

from craton.access.records import (
    ACCESS_KEYS,
    ACCOUNTS,
    API_KEYS,
    PROJECTS,
    AccessKey,
    Account,
    ApiKey,
    Credential,
    KeyState,
    Principal,
    Project,
)
from craton.kernel.errors import Unauthenticated
from craton.store.kind import Body, Change, Kind

RECENT_MAX = 10_000


class Directory:
    """Accounts, projects and keys, found in constant time."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.projects: dict[str, Project] = {}
        self.access_keys: dict[str, AccessKey] = {}
        self.api_keys: dict[str, ApiKey] = {}
        self._by_digest: dict[bytes, tuple[ApiKey, Principal]] = {}
        self._recent: dict[bytes, Principal] = {}
        """Principals by the text of keys that were just good: hashing costs more than the rest."""

    def apply(self, change: Change) -> None:
        """Take a change of one of the kinds kept here; others are not this snapshot's."""
        if change.kind == API_KEYS.name:
            self._apply_api_key(change)
        elif change.kind == ACCESS_KEYS.name:
            _keep(self.access_keys, ACCESS_KEYS, change)
        elif change.kind == ACCOUNTS.name:
            _keep(self.accounts, ACCOUNTS, change)
        elif change.kind == PROJECTS.name:
            _keep(self.projects, PROJECTS, change)

    def _apply_api_key(self, change: Change) -> None:
        self._recent.clear()
        old = self.api_keys.get(change.id)
        if old is not None:
            self._by_digest.pop(old.digest, None)
        _keep(self.api_keys, API_KEYS, change)
        new = self.api_keys.get(change.id)
        if new is not None:
            self._by_digest[new.digest] = (new, principal_of(new))

    def bearer(self, text: bytes) -> Principal:
        """Who an API key belongs to; Unauthenticated if it is unknown or revoked."""
        recent = self._recent.get(text)
        if recent is not None:
            return recent
        found = self._by_digest.get(hashlib.sha256(text).digest())
        if found is None:
            raise Unauthenticated(
                f"The API key {_hint(text)} is not known here. Get one with `craton keys create`."
            )
        key, principal = found
        if key.state is not KeyState.ACTIVE:
            raise Unauthenticated(
                f"The API key {_hint(text)} was revoked. Get one with `craton keys create`."
            )
        if len(self._recent) >= RECENT_MAX:
            self._recent.clear()
        self._recent[text] = principal
        return principal

    def access_key(self, access_key_id: str) -> AccessKey:
        """The access key of that id; Unauthenticated if it is unknown or revoked."""
        key = self.access_keys.get(access_key_id)
        if key is None or key.state is not KeyState.ACTIVE:
            raise Unauthenticated(
                "The security token included in the request is invalid.",
                code="UnrecognizedClientException",
            )
        return key


def principal_of(key: AccessKey | ApiKey) -> Principal:
    """Who a key speaks for."""
    credential = Credential.API_KEY if isinstance(key, ApiKey) else Credential.SIGNATURE
    return Principal(key.account, key.project, key.id, key.role, credential)


def _hint(text: bytes) -> str:
    return "****" + text[-4:].decode("ascii", "replace") if len(text) > 12 else "(too short)"


def _keep(table: dict[str, Body], kind: Kind[Body], change: Change) -> None:
    if change.body is None:
        table.pop(change.id, None)
    else:
        table[change.id] = kind.decode(change.body)
