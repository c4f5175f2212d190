"""What can be done to policies. A worker is told of each before it is acknowledged."""

import hashlib
import re

import msgspec

from craton.access.commands import resolve_account
from craton.access.contract import DeletePolicy, PutPolicy
from craton.access.policy_document import read_document
from craton.access.records import (
    ACCESS_KEYS,
    API_KEYS,
    POLICIES,
    PROJECTS,
    AccessKey,
    AccountId,
    ApiKey,
    KeyId,
    Level,
    Policy,
)
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.store.documents import Transaction

POLICIES_MAX = 10_000
PER_TARGET_MAX = 10
"""As many as IAM attaches to a user."""
NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,128}")


class Target(msgspec.Struct, frozen=True):
    """What a policy binds."""

    account: AccountId
    level: Level
    name: str
    """As in `Policy.target`."""


def put_policy(transaction: Transaction, command: PutPolicy) -> Policy:
    """Attach a policy, in the place of the one of its name if there is one."""
    _check_name(command.name)
    read_document(command.document)
    target = resolve_target(transaction, command.level, command.id)
    if target == _target_of_key(transaction, command.by):
        raise Conflict(
            f"Key {command.by} can't put a policy on itself: a mistake in it could leave nobody "
            "who may take it back. Use another operator's key."
        )
    id = policy_id(target, command.name)
    old = transaction.find(POLICIES, id)
    policy = Policy(
        id=id,
        account=target.account,
        level=target.level,
        target=target.name,
        name=command.name,
        document=command.document,
        created_ms=old.created_ms if old else transaction.now_ms,
        updated_ms=transaction.now_ms,
    )
    if old is not None:
        transaction.put(POLICIES, id, policy)
        return policy
    _check_room(transaction, target)
    name = f"{target.level}/{target.name}/{command.name}"
    transaction.add(POLICIES, id, policy, account=target.account, name=name)
    return policy


def delete_policy(transaction: Transaction, command: DeletePolicy) -> Policy:
    """Detach a policy."""
    target = resolve_target(transaction, command.level, command.id)
    found = transaction.find(POLICIES, policy_id(target, command.name))
    if found is None:
        raise NotFound(
            f"The {command.level} {command.id} has no policy {command.name!r}. `craton policies` "
            "lists them."
        )
    transaction.remove(POLICIES, found.id)
    return found


def policy_id(target: Target, name: str) -> str:
    """The id of a policy: there is one of a name for each target."""
    text = f"{target.account}/{target.level}/{target.name}/{name}"
    return "policy-" + hashlib.sha256(text.encode()).hexdigest()[:32]


def resolve_target(transaction: Transaction, level: Level, id: str) -> Target:
    """What an id names: an account (by id or name), a project, or a key and its twin."""
    if level is Level.ACCOUNT:
        account = resolve_account(transaction, id).id
        return Target(account, level, account)
    if level is Level.PROJECT:
        project = transaction.find(PROJECTS, id)
        if project is None:
            raise NotFound(f"There is no project {id!r}. List them with `craton projects`.")
        return Target(project.account, level, project.id)
    target = _target_of_key(transaction, KeyId(id))
    if target is None:
        raise NotFound(f"There is no key {id!r}. List them with `craton keys`.")
    return target


def _target_of_key(transaction: Transaction, id: KeyId) -> Target | None:
    key: AccessKey | ApiKey | None = transaction.find(ACCESS_KEYS, id)
    key = key or transaction.find(API_KEYS, id)
    return None if key is None else Target(key.account, Level.KEY, key.name)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"The policy name {name!r} must have 1 to 128 letters, digits or any of + = , . @ _ -"
        )


def _check_room(transaction: Transaction, target: Target) -> None:
    every = transaction.list(POLICIES, limit=POLICIES_MAX)
    if len(every) >= POLICIES_MAX:
        raise Conflict(f"There are {POLICIES_MAX} policies, which is the most. Delete some first.")
    here = [policy for policy in every if _is_on(policy, target)]
    if len(here) >= PER_TARGET_MAX:
        raise Conflict(
            f"The {target.level} {target.name!r} has {PER_TARGET_MAX} policies, which is the most. "
            "Put the statements together, or delete one."
        )


def _is_on(policy: Policy, target: Target) -> bool:
    return (policy.account, policy.level, policy.target) == (
        target.account,
        target.level,
        target.name,
    )
