"""What a worker knows of accounts and keys: a snapshot, kept current by the state process."""

import hashlib

from craton.access.policies import VARYING_KEYS, Bound, Policies, arn_of
from craton.access.policy_patterns import Value
from craton.access.policy_set import PolicySet
from craton.access.records import (
    ACCESS_KEYS,
    ACCOUNTS,
    API_KEYS,
    POLICIES,
    PROJECTS,
    AccessKey,
    Account,
    ApiKey,
    Credential,
    KeyId,
    KeyState,
    Level,
    Principal,
    Project,
    Role,
)
from craton.kernel.errors import Unauthenticated
from craton.store.kind import Body, Change, Kind

RECENT_MAX = 10_000
_BINDING = frozenset(kind.name for kind in (POLICIES, API_KEYS, ACCESS_KEYS, ACCOUNTS, PROJECTS))
"""What decides by which policies a caller is bound, and what their conditions read of it."""


class Directory:
    """Accounts, projects and keys, found in constant time."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.projects: dict[str, Project] = {}
        self.access_keys: dict[str, AccessKey] = {}
        self.api_keys: dict[str, ApiKey] = {}
        self.policies = Policies()
        self._bound: dict[KeyId, Bound | None] = {}
        self._by_digest: dict[bytes, tuple[ApiKey, Principal]] = {}
        self._recent: dict[bytes, Principal] = {}
        """Principals by the text of keys that were just good: hashing costs more than the rest."""

    def apply(self, change: Change) -> None:
        """Take a change of one of the kinds kept here; others are not this snapshot's."""
        if change.kind in _BINDING:
            self._bound.clear()
        if change.kind == POLICIES.name:
            self.policies.apply(change)
        elif change.kind == API_KEYS.name:
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
        # The messages begin as OpenAI's does: clients look for these words.
        found = self._by_digest.get(hashlib.sha256(text).digest())
        if found is None:
            raise Unauthenticated(
                f"Incorrect API key provided: {_hint(text)} is not known here. Get one with "
                "`craton keys create`."
            )
        key, principal = found
        if key.state is not KeyState.ACTIVE:
            raise Unauthenticated(
                f"Incorrect API key provided: {_hint(text)} was revoked. Get one with "
                "`craton keys create`."
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

    def bound(self, principal: Principal) -> Bound | None:
        """The policies that bind a caller; None if there are none, so that its role decides."""
        if not self.policies.records:
            return None
        if principal.key not in self._bound:
            if len(self._bound) >= RECENT_MAX:
                self._bound.clear()
            self._bound[principal.key] = self.bound_anew(principal)
        return self._bound[principal.key]

    def bound_anew(self, principal: Principal) -> Bound | None:
        """The same with no decision remembered, to be asked over facts that are made up."""
        key = self.api_keys.get(principal.key) or self.access_keys.get(principal.key)
        name = key.name if key else ""
        account = principal.account
        attached = [
            (Level.ACCOUNT, self.policies.on(Level.ACCOUNT, account, account)),
            (Level.PROJECT, self.policies.on(Level.PROJECT, account, principal.project)),
            (Level.KEY, self.policies.on(Level.KEY, account, name)),
        ]
        if not any(policies for _, policies in attached):
            return None
        is_operator = principal.role is Role.OPERATOR
        policies = PolicySet(attached, varying=VARYING_KEYS, is_operator=is_operator)
        return Bound(policies, self._facts(principal, name))

    def _facts(self, principal: Principal, key_name: str) -> dict[str, Value]:
        """What conditions may read of a caller, the same in each of its requests."""
        project = self.projects.get(principal.project)
        facts: dict[str, Value] = {
            "aws:principalaccount": principal.account,
            "aws:principalarn": arn_of(principal),
            "aws:principaltype": "User",
            "aws:principaltag/role": principal.role.value,
            "aws:userid": principal.key,
        }
        if key_name:
            facts["aws:username"] = key_name
        if project is not None:
            facts["aws:principaltag/project"] = project.name
        return facts


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
