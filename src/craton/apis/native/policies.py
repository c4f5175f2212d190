"""Policies of accounts, projects and keys, and a way to ask what they would decide.

Everyone sees the policies of its own account; operators see, set and delete all of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from craton.access.contract import DeletePolicy, PutPolicy
from craton.access.directory import principal_of
from craton.access.policies import (
    ANY_RESOURCE,
    CALL_WITH_BEARER_TOKEN,
    Bound,
    bearer_token_type,
    denied,
)
from craton.access.policy import ADMINISTER, authorize
from craton.access.policy_patterns import Value
from craton.access.policy_set import OWN_ACTIONS
from craton.access.records import (
    AccessKey,
    AccountId,
    ApiKey,
    Credential,
    Level,
    Policy,
    Principal,
)
from craton.apis.native.contract import OwnedPaging
from craton.apis.native.operation import READ, Caller, Operation
from craton.apis.native.paging import page
from craton.apis.native.policy_contract import (
    Check,
    NamedPolicy,
    NewPolicy,
    NewTest,
    OfOne,
    PolicyPage,
    PolicyTest,
    PolicyView,
)
from craton.apis.permit import ALWAYS_ALLOWED, Place, model_arns
from craton.kernel.errors import AccessDenied, BadRequest, NotFound

CONTEXT_KEYS_MAX = 100


class _Target(msgspec.Struct, frozen=True):
    account: AccountId
    level: Level
    name: str


async def list_policies(caller: Caller, asked: OwnedPaging) -> PolicyPage:
    """The policies the caller may see."""
    account = caller.scope(asked.account)
    return _page(
        caller,
        lambda policy: account is None or policy.account == account,
        after=asked.after,
        limit=asked.limit,
    )


def _lister(level: Level) -> Callable[[Caller, OfOne], Awaitable[PolicyPage]]:
    async def run(caller: Caller, asked: OfOne) -> PolicyPage:
        target = _target(caller, level, asked.id)
        return _page(
            caller, lambda policy: _is_on(policy, target), after=asked.after, limit=asked.limit
        )

    return run


def _getter(level: Level) -> Callable[[Caller, NamedPolicy], Awaitable[PolicyView]]:
    async def run(caller: Caller, asked: NamedPolicy) -> PolicyView:
        target = _target(caller, level, asked.id)
        for policy in caller.services.directory.policies.records.values():
            if policy.name == asked.name and _is_on(policy, target):
                return _view(policy)
        raise NotFound(
            f"The {level} {asked.id} has no policy {asked.name!r}. `craton policies` lists them."
        )

    return run


def _putter(level: Level) -> Callable[[Caller, NewPolicy], Awaitable[PolicyView]]:
    async def run(caller: Caller, new: NewPolicy) -> PolicyView:
        command = PutPolicy(level, new.id, new.name, new.document, by=caller.principal.key)
        return _view(await caller.services.state.call("put_policy", command, Policy))

    return run


def _deleter(level: Level) -> Callable[[Caller, NamedPolicy], Awaitable[PolicyView]]:
    async def run(caller: Caller, asked: NamedPolicy) -> PolicyView:
        command = DeletePolicy(level, asked.id, asked.name)
        return _view(await caller.services.state.call("delete_policy", command, Policy))

    return run


async def rehearse(caller: Caller, asked: NewTest) -> PolicyTest:
    """Decide as if the key had sent such a request, at this moment and over the given context."""
    if asked.resource is not None and asked.model is not None:
        raise BadRequest("Name `resource` or `model`, not both.")
    if len(asked.context) > CONTEXT_KEYS_MAX:
        raise BadRequest(f"`context` has more than {CONTEXT_KEYS_MAX} keys. Send fewer.")
    principal = principal_of(_key(caller, asked.key))
    try:
        authorize(principal, asked.action)
    except AccessDenied as refusal:
        return PolicyTest(allowed=False, reason=refusal.message, checks=[])
    bound = caller.services.directory.bound_anew(principal)
    if bound is None:
        role = f"No policy binds key {principal.key}; its role ({principal.role}) allows this."
        return PolicyTest(allowed=True, reason=role, checks=[])
    return _decided(principal, bound, _asked_of(caller, principal, asked), _facts(caller, asked))


def _decided(
    principal: Principal,
    bound: Bound,
    wanted: list[tuple[str, str, str | None]],
    given: Mapping[str, Value],
) -> PolicyTest:
    checks: list[Check] = []
    reason = ""
    for action, resource, profile in wanted:
        facts: dict[str, Value] = {**bound.facts}
        token = bearer_token_type(principal)
        if token is not None:
            facts["bedrock:bearertokentype"] = token
        if profile is not None:
            facts["bedrock:inferenceprofilearn"] = profile
        decision = bound.policies.decide(action, resource, {**facts, **given})
        if not decision.is_allowed and not reason:
            reason = denied(principal, action, resource, decision).message
        checks.append(
            Check(
                action=action,
                resource=resource,
                allowed=decision.is_allowed,
                explicit=decision.is_explicit,
                level=decision.level,
                policy=decision.policy,
                statement=decision.statement,
            )
        )
    is_allowed = all(check.allowed for check in checks)
    return PolicyTest(allowed=is_allowed, reason=reason or "Its policies allow it.", checks=checks)


def _asked_of(
    caller: Caller, principal: Principal, asked: NewTest
) -> list[tuple[str, str, str | None]]:
    """What must be allowed: actions, resources, and the inference profile in use."""
    wanted: list[tuple[str, str, str | None]] = []
    if asked.action in ALWAYS_ALLOWED:
        return wanted
    is_bearer = principal.credential is not Credential.SIGNATURE
    is_gated = asked.action != CALL_WITH_BEARER_TOKEN and not asked.action.startswith(OWN_ACTIONS)
    if is_bearer and is_gated:
        wanted.append((CALL_WITH_BEARER_TOKEN, ANY_RESOURCE, None))
    if asked.model is None:
        return [*wanted, (asked.action, asked.resource or ANY_RESOURCE, None)]
    card = caller.services.router.card(asked.model)
    place = Place(caller.services.region, is_secure=False)
    profile, arn = model_arns(card.id, asked.model, place=place, account=principal.account)
    if profile is not None:
        wanted.append((asked.action, profile, profile))
    return [*wanted, (asked.action, arn, profile)]


def _facts(caller: Caller, asked: NewTest) -> dict[str, Value]:
    """The time and the region, then whatever the context says."""
    services = caller.services
    seconds = services.clock.now_ns() // 1_000_000_000
    facts: dict[str, Value] = {
        "aws:currenttime": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(seconds),
        "aws:requestedregion": services.region,
    }
    return {**facts, **{name.lower(): value for name, value in asked.context.items()}}


def _key(caller: Caller, id: str) -> AccessKey | ApiKey:
    directory = caller.services.directory
    key = directory.access_keys.get(id) or directory.api_keys.get(id)
    account = caller.scope(None)
    if key is None or (account is not None and key.account != account):
        raise NotFound(f"There is no key {id!r}. List yours with `craton keys`.")
    return key


def _target(caller: Caller, level: Level, id: str) -> _Target:
    if level is Level.ACCOUNT:
        account = caller.scope(id)
        assert account is not None, "an account was named, so the scope is one account"
        return _Target(account, level, account)
    if level is Level.PROJECT:
        project = caller.services.directory.projects.get(id)
        own = caller.scope(None)
        if project is None or (own is not None and project.account != own):
            raise NotFound(f"There is no project {id!r}. List yours with `craton projects`.")
        return _Target(project.account, level, project.id)
    key = _key(caller, id)
    return _Target(key.account, level, key.name)


def _is_on(policy: Policy, target: _Target) -> bool:
    mine = (policy.account, policy.level, policy.target)
    return mine == (target.account, target.level, target.name)


def _page(
    caller: Caller, chosen: Callable[[Policy], bool], *, after: str | None, limit: int
) -> PolicyPage:
    found = {
        policy.id: policy
        for policy in caller.services.directory.policies.records.values()
        if chosen(policy)
    }
    policies, following = page(found, after=after, limit=limit)
    return PolicyPage([_view(policy) for policy in policies], following)


def _view(policy: Policy) -> PolicyView:
    return PolicyView(
        name=policy.name,
        level=policy.level,
        target=policy.target,
        account=policy.account,
        document=msgspec.Raw(policy.document.encode()),
        created_ms=policy.created_ms,
        updated_ms=policy.updated_ms,
    )


def _operations(level: Level, plural: str, which: str) -> tuple[Operation[Any], ...]:
    noun, folder = level.capitalize(), f"/{plural}/{{id}}/policies"
    return (
        Operation(
            name=f"List{noun}Policies",
            method="GET",
            path=folder,
            summary=f"List the policies of {which}",
            action=READ,
            takes=OfOne,
            returns=PolicyPage,
            run=_lister(level),
        ),
        Operation(
            name=f"Get{noun}Policy",
            method="GET",
            path=folder + "/{name}",
            summary=f"One policy of {which}",
            action=READ,
            takes=NamedPolicy,
            returns=PolicyView,
            run=_getter(level),
        ),
        Operation(
            name=f"Put{noun}Policy",
            method="PUT",
            path=folder + "/{name}",
            summary=f"Attach a policy to {which}; it binds everywhere before this answers",
            action=ADMINISTER,
            takes=NewPolicy,
            returns=PolicyView,
            run=_putter(level),
            whole_body="document",
        ),
        Operation(
            name=f"Delete{noun}Policy",
            method="DELETE",
            path=folder + "/{name}",
            summary=f"Detach a policy from {which}",
            action=ADMINISTER,
            takes=NamedPolicy,
            returns=PolicyView,
            run=_deleter(level),
        ),
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListPolicies",
        method="GET",
        path="/policies",
        summary="List policies; a member's key lists its own account's",
        action=READ,
        takes=OwnedPaging,
        returns=PolicyPage,
        run=list_policies,
    ),
    Operation(
        name="TestPolicies",
        method="POST",
        path="/policies/test",
        summary="Ask what the policies of a key would decide",
        action=READ,
        takes=NewTest,
        returns=PolicyTest,
        run=rehearse,
    ),
    *_operations(Level.ACCOUNT, "accounts", "an account"),
    *_operations(Level.PROJECT, "projects", "a project"),
    *_operations(Level.KEY, "keys", "a key"),
)
