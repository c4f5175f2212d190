"""Bodies and queries of the native API about policies."""

from typing import Annotated

import msgspec
from msgspec import Meta

from craton.access.records import AccountId, Level
from craton.apis.native.contract import After, Id, Limit, Taken


class OfOne(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a page of what is attached to one thing."""

    id: Id
    limit: Limit = 100
    after: After | None = None


class NamedPolicy(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a policy of one thing."""

    id: Id
    name: Id


class NewPolicy(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy to attach; replaces the one of that name. The body is the document itself."""

    id: Id
    name: Id
    document: str


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """A policy and what it binds: an account or a project by id, a key and its twin by name."""

    name: str
    level: Level
    target: str
    account: AccountId
    document: msgspec.Raw
    created_ms: int
    updated_ms: int


class PolicyPage(msgspec.Struct, frozen=True):
    """Policies by level, target and name."""

    policies: list[PolicyView]
    next: str | None


class NewTest(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks what would be decided of a key. Name a resource or a model, or neither."""

    key: Annotated[str, Meta(description="A key's id.", max_length=256)]
    action: Annotated[str, Meta(description="Such as bedrock:InvokeModel.", max_length=256)]
    resource: Annotated[str | None, Meta(description="An ARN; else `*`.")] = None
    model: Annotated[str | None, Meta(description="A model's id, alias or ARN.")] = None
    context: Annotated[
        dict[str, str | list[str]], Meta(description="Values of condition keys.")
    ] = {}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the key must be allowed, and what decided it; nulls where no policy has a say."""

    action: str
    resource: str
    allowed: bool
    explicit: bool
    level: Level | None
    policy: str | None
    statement: str | None


class PolicyTest(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided. `reason` is what the caller would be told if it is denied."""

    allowed: bool
    reason: str
    checks: list[Check]
