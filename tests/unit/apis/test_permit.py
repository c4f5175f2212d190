"""What a caller may do, from a request and the policies that bind it."""

import json
from typing import Any

import msgspec
import pytest

from craton.access.directory import Directory
from craton.access.policy import ADMINISTER
from craton.access.records import (
    POLICIES,
    AccountId,
    Credential,
    KeyId,
    Level,
    Policy,
    Principal,
    ProjectId,
    Role,
)
from craton.apis.permit import COUNT_TOKENS, INVOKE, Permit, Permits, Place, model_arns
from craton.http import Headers, HttpRequest
from craton.kernel.clock import ManualClock
from craton.kernel.errors import AccessDenied
from craton.messages import Request
from craton.messages.request import Guardrail
from craton.store.kind import Change

ACCOUNT = AccountId("123456789012")
MODEL = "lab.small-1"
ARN = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/gpt-5"
PLACE = Place("us-east-1", is_secure=False)
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def principal(credential: Credential = Credential.SIGNATURE, role: Role = Role.MEMBER) -> Principal:
    return Principal(ACCOUNT, ProjectId("proj-a"), KeyId("key-a"), role, credential)


def directory(*statements: dict[str, Any], level: Level = Level.ACCOUNT) -> Directory:
    made = Directory()
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        target = {Level.ACCOUNT: ACCOUNT, Level.PROJECT: "proj-a", Level.KEY: ""}[level]
        policy = Policy(
            id="policy-1",
            account=ACCOUNT,
            level=level,
            target=target,
            name="rules",
            document=document,
            created_ms=1,
            updated_ms=1,
        )
        made.apply(Change(POLICIES.name, policy.id, msgspec.json.encode(policy)))
    return made


def permit(
    *statements: dict[str, Any],
    caller: Principal | None = None,
    level: Level = Level.ACCOUNT,
    headers: list[tuple[bytes, bytes]] | None = None,
    peer: str = "10.0.0.1",
    is_secure: bool = False,
) -> Permit:
    request = HttpRequest("POST", b"/", b"", Headers(headers or []), b"", peer)
    clock = ManualClock(1_782_820_800 * 1_000_000_000)
    place = Place("us-east-1", is_secure=is_secure)
    permits = Permits(directory(*statements, level=level), clock, place=place)
    return permits.of(caller or principal(), request)


def asked(name: str = MODEL, **members: Any) -> Request:
    return Request(model=name, messages=[], **members)


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(AccessDenied) as caught:
        call(*arguments)
    return caught.value.message


def test_without_policies_the_role_alone_decides() -> None:
    permit().admit(INVOKE, "*")
    permit().use_model(MODEL, asked())
    assert "key-a" in refusal(permit().admit, ADMINISTER, "*")
    permit(caller=principal(role=Role.OPERATOR)).admit(ADMINISTER, "*")


def test_no_policy_gives_a_member_what_its_role_lacks() -> None:
    assert "Use an operator's key" in refusal(permit(ALLOW).admit, ADMINISTER, "*")


def test_the_refusal_is_awss_sentence_with_the_statement_that_denied() -> None:
    deny = {**ALLOW, "Sid": "NoSmall", "Effect": "Deny", "Resource": ARN}
    message = refusal(permit(ALLOW, deny).use_model, MODEL, asked())
    assert message.startswith(
        f"User: arn:aws:iam::{ACCOUNT}:user/proj-a/key-a is not authorized to perform: "
        f"bedrock:InvokeModel on resource: {ARN} with an explicit deny in a service control policy"
    )
    assert "statement 'NoSmall' of the policy 'rules' of account 123456789012" in message


def test_a_refusal_for_want_of_an_allow_says_so() -> None:
    only = {**ALLOW, "Action": "bedrock:CountTokens"}
    message = refusal(permit(only, level=Level.KEY).use_model, MODEL, asked())
    assert "because no identity-based policy allows the bedrock:InvokeModel action" in message
    assert "craton policies" in message


def test_a_streamed_answer_needs_the_action_of_streams() -> None:
    only = {**ALLOW, "Action": "bedrock:InvokeModel"}
    permit(only).use_model(MODEL, asked())
    message = refusal(permit(only).use_model, MODEL, asked(stream=True))
    assert "bedrock:InvokeModelWithResponseStream" in message


def test_a_model_is_left_for_later_when_a_caller_is_let_in() -> None:
    only = {**ALLOW, "Resource": ARN}
    permit(only).admit(INVOKE, None)
    permit(only).use_model(MODEL, asked())
    refusal(permit(only).admit, INVOKE, "*")
    refusal(permit(only).use_model, "lab.big-1", asked("lab.big-1"))


def test_a_model_asked_by_another_name_needs_both_allowed() -> None:
    model, alias = {**ALLOW, "Resource": ARN}, {**ALLOW, "Resource": PROFILE}
    permit(model, alias).use_model(MODEL, asked("gpt-5"))
    message = refusal(permit(model).use_model, MODEL, asked("gpt-5"))
    assert f"on resource: {PROFILE}" in message
    assert "a model asked by another name" in message
    assert f"on resource: {ARN}" in refusal(permit(alias).use_model, MODEL, asked("gpt-5"))


def test_a_model_can_be_allowed_through_one_profile_only() -> None:
    through = {"ArnEquals": {"bedrock:InferenceProfileArn": PROFILE}}
    rules = [{**ALLOW, "Resource": PROFILE}, {**ALLOW, "Resource": ARN, "Condition": through}]
    permit(*rules).use_model(MODEL, asked("gpt-5"))
    refusal(permit(*rules).use_model, MODEL, asked())


def test_a_denied_model_is_denied_by_every_name() -> None:
    deny = {**ALLOW, "Effect": "Deny", "Resource": ARN}
    for name in (MODEL, "gpt-5", ARN, PROFILE):
        refusal(permit(ALLOW, deny).use_model, MODEL, asked(name))


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        (MODEL, None),
        (ARN, None),
        ("gpt-5", PROFILE),
        (PROFILE, PROFILE),
        ("arn:aws:bedrock:us-east-1::foundation-model/gpt-5", PROFILE),
        (PROFILE.replace("gpt-5", MODEL), PROFILE.replace("gpt-5", MODEL)),
        ("org/alias", PROFILE.replace("gpt-5", "org/alias")),
    ],
)
def test_every_name_but_the_models_own_is_a_profile(name: str, profile: str | None) -> None:
    assert model_arns(MODEL, name, place=PLACE, account=ACCOUNT) == (profile, ARN)


@pytest.mark.parametrize(
    ("credential", "token"),
    [(Credential.API_KEY, "LONG_TERM"), (Credential.SHORT_TERM_KEY, "SHORT_TERM")],
)
def test_whoever_calls_with_a_bearer_token_needs_that_allowed_too(
    credential: Credential, token: str
) -> None:
    caller = principal(credential)
    only = {**ALLOW, "Action": "bedrock:InvokeModel"}
    permit(only).admit(INVOKE, None)
    message = refusal(permit(only, caller=caller).admit, INVOKE, None)
    assert "bedrock:CallWithBearerToken on resource: *" in message
    assert "besides the call's own" in message
    kind = {"StringEquals": {"bedrock:BearerTokenType": token}}
    gate = {**ALLOW, "Action": "bedrock:CallWithBearerToken", "Condition": kind}
    permit(only, gate, caller=caller).admit(INVOKE, None)
    other = {"StringNotEquals": {"bedrock:BearerTokenType": token}}
    refusal(permit(only, {**gate, "Condition": other}, caller=caller).admit, INVOKE, None)


def test_craton_itself_is_asked_with_a_bearer_token_without_that() -> None:
    only = {**ALLOW, "Action": "craton:Read"}
    permit(only, caller=principal(Credential.API_KEY)).admit("craton:Read", "*")


def test_everyone_may_ask_who_it_is() -> None:
    deny = {**ALLOW, "Effect": "Deny"}
    permit(deny, caller=principal(Credential.API_KEY)).admit("sts:GetCallerIdentity", "*")


@pytest.mark.parametrize(
    "condition",
    [
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"DateEquals": {"aws:CurrentTime": "2026-06-30T12:00:00Z"}},
        {"NumericEquals": {"aws:EpochTime": "1782820800"}},
        {"Bool": {"aws:SecureTransport": "false"}},
        {"StringLike": {"aws:UserAgent": "Boto3/*"}},
        {"StringEquals": {"aws:RequestedRegion": "us-east-1"}},
        {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/proj-a/*"}},
        {"StringEquals": {"aws:PrincipalType": "User", "aws:userid": "key-a"}},
        {"StringEquals": {"aws:PrincipalTag/role": "member"}},
        {"Null": {"bedrock:BearerTokenType": "true", "bedrock:InferenceProfileArn": "true"}},
        {"StringEquals": {"bedrock:ServiceTier": "flex"}},
        {"ArnEquals": {"bedrock:GuardrailIdentifier": "arn:aws:bedrock:*:*:guardrail/g:7"}},
    ],
)
def test_conditions_read_these_facts_of_a_request(condition: dict[str, Any]) -> None:
    headers = [(b"user-agent", b"Boto3/1.44")]
    guardrail = Guardrail(identifier="g", version="7")
    request = asked(service_tier="flex", guardrail=guardrail)
    permit({**ALLOW, "Condition": condition}, headers=headers).use_model(MODEL, request)
    deny = {**ALLOW, "Effect": "Deny", "Condition": condition}
    refusal(permit(ALLOW, deny, headers=headers).use_model, MODEL, request)


def test_a_request_without_a_header_or_a_guardrail_lacks_their_keys() -> None:
    absent = {"Null": {"aws:UserAgent": "true", "bedrock:GuardrailIdentifier": "true"}}
    permit({**ALLOW, "Condition": absent}).use_model(MODEL, asked())
    draft = {"ArnEquals": {"bedrock:GuardrailIdentifier": "arn:aws:bedrock:*:*:guardrail/g"}}
    request = asked(guardrail=Guardrail(identifier="g", version="DRAFT"))
    permit({**ALLOW, "Condition": draft}).use_model(MODEL, request)


def test_transport_is_secure_where_clients_come_over_tls() -> None:
    secure = {"Bool": {"aws:SecureTransport": "true"}}
    permit({**ALLOW, "Condition": secure}, is_secure=True).use_model(MODEL, asked())
    refusal(permit({**ALLOW, "Condition": secure}).use_model, MODEL, asked())


def test_two_requests_of_one_caller_are_told_apart_by_where_they_come_from() -> None:
    """A decision about one address must not be remembered for another."""
    home = {**ALLOW, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    permits = Permits(directory(home), ManualClock(), place=PLACE)

    def ask(peer: str) -> None:
        request = HttpRequest("POST", b"/", b"", Headers(), b"", peer)
        permits.of(principal(), request).use_model(MODEL, asked())

    ask("10.0.0.1")
    with pytest.raises(AccessDenied):
        ask("11.0.0.1")
    ask("10.0.0.1")


def test_a_changed_policy_decides_from_the_next_request_on() -> None:
    changing = directory(ALLOW)
    permits = Permits(changing, ManualClock(), place=PLACE)
    request = HttpRequest("POST", b"/", b"", Headers(), b"", "10.0.0.1")
    permits.of(principal(), request).use_model(MODEL, asked())
    (old,) = changing.policies.records.values()
    document = old.document.replace("Allow", "Deny")
    body = msgspec.json.encode(msgspec.structs.replace(old, document=document))
    changing.apply(Change(POLICIES.name, old.id, body))
    with pytest.raises(AccessDenied):
        permits.of(principal(), request).use_model(MODEL, asked())
    changing.apply(Change(POLICIES.name, old.id, None))
    permits.of(principal(), request).use_model(MODEL, asked())


def test_counting_tokens_is_an_action_of_its_own() -> None:
    only = {**ALLOW, "Action": COUNT_TOKENS, "Resource": ARN}
    permit(only).about_model(COUNT_TOKENS, MODEL, MODEL)
    refusal(permit(only).use_model, MODEL, asked())
