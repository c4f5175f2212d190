import json

import msgspec
import pytest

from craton.access.contract import CreateProject, DeletePolicy, PutPolicy
from craton.access.directory import Directory, principal_of
from craton.access.policy_commands import PER_TARGET_MAX, delete_policy, put_policy
from craton.access.records import POLICIES, KeyId, Level, Policy, Principal, Role
from craton.kernel.errors import BadRequest, Conflict, NotFound
from craton.store.kind import Change
from tests.unit.access.office import Office

ACTION = "bedrock:InvokeModel"
DENY = json.dumps({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})
ALLOW = DENY.replace("Deny", "Allow")
BY = KeyId("key-of-an-operator")


def put(
    office: Office,
    level: Level,
    id: str,
    *,
    name: str = "p",
    document: str = DENY,
    by: KeyId = BY,
) -> Policy:
    return office.do(put_policy, PutPolicy(level, id, name, document, by))


def is_allowed(office: Office, principal: Principal) -> bool:
    bound = office.directory.bound(principal)
    return bound is None or bound.policies.decide(ACTION, "*", bound.facts).is_allowed


def test_a_policy_binds_what_it_is_attached_to_and_nobody_else(office: Office) -> None:
    account, other = office.account("mine"), office.account("other")
    key, neighbour, stranger = (
        office.key("mine", "a"),
        office.key("mine", "b"),
        office.key("other", "a"),
    )
    people = [office.directory.bearer(each.api_key.encode()) for each in (key, neighbour, stranger)]
    put(office, Level.KEY, key.api_key_id)
    assert [is_allowed(office, p) for p in people] == [False, True, True]
    office.do(delete_policy, DeletePolicy(Level.KEY, key.api_key_id, "p"))
    assert [is_allowed(office, p) for p in people] == [True, True, True]
    put(office, Level.PROJECT, key.project)
    assert [is_allowed(office, p) for p in people] == [False, False, True]
    put(office, Level.ACCOUNT, "other")
    assert [is_allowed(office, p) for p in people] == [False, False, False]
    assert put(office, Level.ACCOUNT, account.id).target == account.id
    assert put(office, Level.ACCOUNT, other.id).target == other.id


def test_a_projects_policy_does_not_bind_the_accounts_other_projects(office: Office) -> None:
    account = office.account("mine")
    key = office.key("mine")
    other = office.do(office.access.create_project, CreateProject(account.id, "other"))
    put(office, Level.PROJECT, other.id)
    assert is_allowed(office, office.directory.bearer(key.api_key.encode()))


def test_both_credentials_of_a_name_are_bound_by_either_id(office: Office) -> None:
    office.account()
    key = office.key()
    put(office, Level.KEY, key.access_key_id)
    signing = principal_of(office.directory.access_key(key.access_key_id))
    assert not is_allowed(office, signing)
    assert not is_allowed(office, office.directory.bearer(key.api_key.encode()))
    office.do(delete_policy, DeletePolicy(Level.KEY, key.api_key_id, "p"))
    assert is_allowed(office, signing)


def test_a_policy_of_the_same_name_takes_the_place_of_the_old_one(office: Office) -> None:
    office.account()
    key = office.key()
    first = put(office, Level.KEY, key.api_key_id)
    second = put(office, Level.KEY, key.api_key_id, document=ALLOW)
    assert second.id == first.id
    assert len(office.directory.policies) == 1
    assert is_allowed(office, office.directory.bearer(key.api_key.encode()))


def test_a_document_is_kept_in_the_words_it_came_in(office: Office) -> None:
    office.account("mine")
    document = '{ "Statement" : {"Effect":"Deny","Action":"*",\n"Resource":"*"} }'
    assert put(office, Level.ACCOUNT, "mine", document=document).document == document


def test_a_bad_document_or_name_changes_nothing(office: Office) -> None:
    office.account("mine")
    with pytest.raises(BadRequest, match="Statement"):
        put(office, Level.ACCOUNT, "mine", document="{}")
    for name in ("", "no spaces", "x" * 129, "a/b"):
        with pytest.raises(BadRequest, match="policy name"):
            put(office, Level.ACCOUNT, "mine", name=name)
    assert len(office.directory.policies) == 0


def test_what_is_not_there_cannot_be_bound_or_freed(office: Office) -> None:
    office.account("mine")
    for level in Level:
        with pytest.raises(NotFound, match=f"There is no {level} 'none'"):
            put(office, level, "none")
    with pytest.raises(NotFound, match="no policy 'p'"):
        office.do(delete_policy, DeletePolicy(Level.ACCOUNT, "mine", "p"))


def test_a_key_cannot_bind_itself_nor_its_twin(office: Office) -> None:
    office.account()
    key = office.key(role=Role.OPERATOR)
    for id in (key.api_key_id, key.access_key_id):
        with pytest.raises(Conflict, match="another operator's key"):
            put(office, Level.KEY, id, by=key.api_key_id)
    put(office, Level.KEY, key.api_key_id, by=BY)


def test_there_is_a_most_of_policies_on_one_thing(office: Office) -> None:
    office.account("mine")
    office.account("other")
    for number in range(PER_TARGET_MAX):
        put(office, Level.ACCOUNT, "mine", name=f"p{number}")
    with pytest.raises(Conflict, match="is the most"):
        put(office, Level.ACCOUNT, "mine", name="one-more")
    put(office, Level.ACCOUNT, "mine", name="p0")
    put(office, Level.ACCOUNT, "other", name="one-more")


def test_a_stored_policy_that_cannot_be_read_denies_everything(office: Office) -> None:
    office.account("mine")
    key = office.key("mine")
    policy = put(office, Level.ACCOUNT, "mine")
    damaged = msgspec.structs.replace(policy, document="{")
    office.directory.apply(Change(POLICIES.name, policy.id, msgspec.json.encode(damaged)))
    bound = office.directory.bound(office.directory.bearer(key.api_key.encode()))
    assert bound is not None
    decision = bound.policies.decide(ACTION, "*", {})
    assert (decision.is_allowed, decision.statement) == (False, "statement 'Unreadable'")


def test_conditions_may_read_who_calls(office: Office) -> None:
    account = office.account("mine")
    key = office.key("mine", "ann")
    put(office, Level.ACCOUNT, "mine")
    bound = office.directory.bound(office.directory.bearer(key.api_key.encode()))
    assert bound is not None
    assert bound.facts == {
        "aws:principalaccount": account.id,
        "aws:principalarn": f"arn:aws:iam::{account.id}:user/{key.project}/{key.api_key_id}",
        "aws:principaltag/project": "default",
        "aws:principaltag/role": "member",
        "aws:principaltype": "User",
        "aws:userid": key.api_key_id,
        "aws:username": "ann",
    }


def test_without_any_policy_nothing_is_looked_up() -> None:
    made = Directory()
    principal = Principal("1", "p", KeyId("k"), Role.MEMBER)  # type: ignore[arg-type]
    assert made.bound(principal) is None
