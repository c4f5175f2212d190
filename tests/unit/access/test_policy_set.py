import json
from typing import Any

import pytest

from craton.access.policy_document import read_document
from craton.access.policy_patterns import Value
from craton.access.policy_set import CompiledPolicy, PolicySet
from craton.access.records import Level

ACTION = "bedrock:InvokeModel"
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/lab.m"
NOTHING: dict[str, Value] = {}
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENY = {**ALLOW, "Effect": "Deny"}
OTHER = {**ALLOW, "Action": "s3:*"}
FROM_HOME = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}


def policy(name: str, *statements: dict[str, Any]) -> CompiledPolicy:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return CompiledPolicy(name, read_document(json.dumps(document)))


def policies(**levels: list[dict[str, Any]]) -> PolicySet:
    return PolicySet([(Level(name), [policy(name, *s)]) for name, s in levels.items() if s])


@pytest.mark.parametrize(
    ("account", "project", "key", "expected"),
    [
        ([], [], [ALLOW], (True, False, Level.KEY)),
        ([], [], [OTHER], (False, False, Level.KEY)),
        ([], [], [ALLOW, DENY], (False, True, Level.KEY)),
        ([ALLOW], [], [], (True, False, Level.ACCOUNT)),
        ([ALLOW], [OTHER], [ALLOW], (False, False, Level.PROJECT)),
        ([OTHER], [OTHER], [ALLOW], (False, False, Level.ACCOUNT)),
        ([ALLOW], [ALLOW], [ALLOW], (True, False, Level.KEY)),
        ([ALLOW], [ALLOW], [OTHER], (False, False, Level.KEY)),
        ([ALLOW, DENY], [ALLOW], [ALLOW], (False, True, Level.ACCOUNT)),
        ([OTHER], [ALLOW], [ALLOW, DENY], (False, True, Level.KEY)),
    ],
)
def test_a_denial_decides_and_else_every_level_with_policies_must_allow(
    account: list[Any], project: list[Any], key: list[Any], expected: tuple[bool, bool, Level]
) -> None:
    bound = policies(account=account, project=project, key=key)
    decision = bound.decide(ACTION, MODEL, NOTHING)
    assert (decision.is_allowed, decision.is_explicit, decision.level) == expected


def test_of_several_policies_of_one_level_one_that_allows_is_enough() -> None:
    both = [policy("one", OTHER), policy("two", {**ALLOW, "Sid": "Yes"})]
    decision = PolicySet([(Level.KEY, both)]).decide(ACTION, MODEL, NOTHING)
    assert (decision.is_allowed, decision.policy) == (True, "two")
    assert decision.statement == "statement 'Yes'"


def test_a_decision_names_the_policy_and_the_statement_that_denied() -> None:
    decision = policies(key=[ALLOW, DENY]).decide(ACTION, MODEL, NOTHING)
    assert (decision.policy, decision.statement) == ("key", "statement 2")


def test_not_action_and_not_resource_are_about_everything_else() -> None:
    bound = policies(
        key=[
            {"Effect": "Allow", "NotAction": "s3:*", "NotResource": "arn:aws:x:::*"},
        ]
    )
    assert bound.decide(ACTION, MODEL, NOTHING).is_allowed
    assert not bound.decide("s3:GetObject", MODEL, NOTHING).is_allowed
    assert not bound.decide(ACTION, "arn:aws:x:::y", NOTHING).is_allowed


def test_every_condition_of_a_statement_must_hold() -> None:
    conditions = {"StringEquals": {"a:b": "1", "a:c": "2"}, "Bool": {"a:d": "true"}}
    bound = policies(key=[{**ALLOW, "Condition": conditions}])
    facts: dict[str, Value] = {"a:b": "1", "a:c": "2", "a:d": "true"}
    assert bound.decide(ACTION, MODEL, facts).is_allowed
    for key in facts:
        assert not bound.decide(ACTION, MODEL, {**facts, key: "x"}).is_allowed


def test_guard_rails_do_not_bind_what_operators_do_to_craton_itself() -> None:
    """Or a mistake in one could be taken back by nobody."""
    attached = [(Level.ACCOUNT, [policy("a", DENY)]), (Level.PROJECT, [policy("p", DENY)])]
    operator = PolicySet(attached, is_operator=True)
    assert operator.decide("craton:Administer", "*", NOTHING).is_allowed
    assert not operator.decide(ACTION, MODEL, NOTHING).is_allowed
    assert not PolicySet(attached).decide("craton:Read", "*", NOTHING).is_allowed
    own = PolicySet([(Level.KEY, [policy("k", DENY)])], is_operator=True)
    assert not own.decide("craton:Administer", "*", NOTHING).is_allowed


def test_a_decision_is_remembered_only_if_no_fact_of_a_request_can_change_it() -> None:
    attached = [(Level.KEY, [policy("k", ALLOW, {**DENY, **FROM_HOME, "Resource": MODEL})])]
    bound = PolicySet(attached, varying={"aws:sourceip"})
    assert bound.decide(ACTION, MODEL, {"aws:sourceip": "11.0.0.1"}).is_allowed
    assert bound.known(ACTION, MODEL) is None
    assert not bound.decide(ACTION, MODEL, {"aws:sourceip": "10.0.0.1"}).is_allowed
    other = MODEL + "-2"
    assert bound.known(ACTION, other) is None
    decision = bound.decide(ACTION, other, NOTHING)
    assert bound.known(ACTION, other) == decision
    assert bound.known("bedrock:CountTokens", other) is None


def test_a_variable_in_a_resource_counts_as_a_fact_that_may_vary() -> None:
    home = {**ALLOW, "Resource": "arn:aws:bedrock:*::foundation-model/${aws:SourceIp}"}
    bound = PolicySet([(Level.KEY, [policy("k", home)])], varying={"aws:sourceip"})
    arn = "arn:aws:bedrock:us-east-1::foundation-model/10.0.0.1"
    assert bound.decide(ACTION, arn, {"aws:sourceip": "10.0.0.1"}).is_allowed
    assert not bound.decide(ACTION, arn, {"aws:sourceip": "10.0.0.2"}).is_allowed
