"""Accounts, projects and keys, as they are kept.

An API key is kept only as the SHA-256 of its text: it has 256 bits of randomness, so a plain hash
is enough. The secret of an access key is needed to check a signature, so it is kept encrypted
(`vault.py`) and shown once, when it is made.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from craton.store.kind import Kind

AccountId = NewType("AccountId", str)
ProjectId = NewType("ProjectId", str)
KeyId = NewType("KeyId", str)


class Role(StrEnum):
    """What a key may do beyond using models: an operator's key administers this Craton."""

    OPERATOR = "operator"
    MEMBER = "member"


class KeyState(StrEnum):
    """Whether a key is honoured."""

    ACTIVE = "active"
    REVOKED = "revoked"


KEY_TRANSITIONS = {KeyState.ACTIVE: {KeyState.REVOKED}, KeyState.REVOKED: set[KeyState]()}


class Account(msgspec.Struct, frozen=True):
    """Who pays. The id is twelve digits, since it stands in ARNs."""

    id: AccountId
    name: str
    created_ms: int


class Project(msgspec.Struct, frozen=True):
    """A part of an account, to which use is attributed."""

    id: ProjectId
    account: AccountId
    name: str
    created_ms: int


class AccessKey(msgspec.Struct, frozen=True):
    """A SigV4 key pair. `secret` is encrypted in the store and clear in a worker's snapshot."""

    id: KeyId
    name: str
    account: AccountId
    project: ProjectId
    role: Role
    secret: bytes
    created_ms: int
    state: KeyState = KeyState.ACTIVE


class ApiKey(msgspec.Struct, frozen=True):
    """A bearer key. `digest` is the SHA-256 of its text; `hint` its last four characters."""

    id: KeyId
    name: str
    account: AccountId
    project: ProjectId
    role: Role
    digest: bytes
    hint: str
    created_ms: int
    state: KeyState = KeyState.ACTIVE


class Level(StrEnum):
    """What a policy is attached to."""

    ACCOUNT = "account"
    PROJECT = "project"
    KEY = "key"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as it is kept: its document in the words it was given in, and what it binds.

    `target` is the account's id, the project's id, or the name that an access key and an API key
    share: the two are one identity with two credentials, and are bound alike.
    """

    id: str
    account: AccountId
    level: Level
    target: str
    name: str
    document: str
    created_ms: int
    updated_ms: int


class Credential(StrEnum):
    """How a caller proved who it is; policies tell these apart."""

    SIGNATURE = "signature"
    """A request signed with an access key."""
    API_KEY = "api_key"
    """A bearer token that is good until it is revoked."""
    SHORT_TERM_KEY = "short_term_key"
    """A bearer token that expires by itself, made from an access key."""


class Principal(msgspec.Struct, frozen=True):
    """Who makes a request, as its credential says."""

    account: AccountId
    project: ProjectId
    key: KeyId
    role: Role
    credential: Credential = Credential.SIGNATURE


ACCOUNTS = Kind("account", "account", Account)
PROJECTS = Kind("project", "project", Project)
ACCESS_KEYS = Kind("access_key", "access key", AccessKey)
API_KEYS = Kind("api_key", "API key", ApiKey)
POLICIES = Kind("policy", "policy", Policy)
