"""Every policy, ready to be asked: a worker's snapshot, kept current by the state process."""

from collections.abc import Mapping
from dataclasses import dataclass

from craton.access.policy_document import Document, Effect, Statement, read_document
from craton.access.policy_patterns import Value
from craton.access.policy_set import CompiledPolicy, Decision, PolicySet
from craton.access.records import POLICIES, AccountId, Credential, Level, Policy, Principal
from craton.kernel.errors import AccessDenied, BadRequest
from craton.store.kind import Change

VARYING_KEYS = frozenset(
    {
        "aws:currenttime",
        "aws:epochtime",
        "aws:securetransport",
        "aws:sourceip",
        "aws:useragent",
        "bedrock:bearertokentype",
        "bedrock:guardrailidentifier",
        "bedrock:inferenceprofilearn",
        "bedrock:servicetier",
    }
)
"""Condition keys that two requests of one caller may differ in, in lower case."""

CALL_WITH_BEARER_TOKEN = "bedrock:CallWithBearerToken"  # noqa: S105 - an action's name
ANY_RESOURCE = "*"
PROFILE = ":inference-profile/"
"""What the ARN of an alias or an inference profile has before its name."""

_KINDS = {
    Level.ACCOUNT: "service control policy",
    Level.PROJECT: "service control policy",
    Level.KEY: "identity-based policy",
}
_UNREADABLE = Document(
    version="2012-10-17",
    id=None,
    statements=(
        Statement(
            number=1,
            sid="Unreadable",
            effect=Effect.DENY,
            actions=("*",),
            is_not_action=False,
            resources=("*",),
            is_not_resource=False,
            conditions=(),
        ),
    ),
)
"""Stands in for a stored document that this version can't read: it must not open any door."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The policies that bind a caller, and what conditions may read of the caller."""

    policies: PolicySet
    facts: Mapping[str, Value]


class Policies:
    """The policies by what they are attached to."""

    def __init__(self) -> None:
        self.records: dict[str, Policy] = {}
        self._attached: dict[tuple[Level, AccountId, str], dict[str, Policy]] = {}
        self._compiled: dict[str, CompiledPolicy] = {}
        """By id, made when first asked for: compiling takes a thousand times as long as asking."""

    def __len__(self) -> int:
        return len(self.records)

    def apply(self, change: Change) -> None:
        """Take a change of a policy; others are not this snapshot's."""
        if change.kind != POLICIES.name:
            return
        old = self.records.pop(change.id, None)
        if old is not None:
            del self._attached[old.level, old.account, old.target][old.name]
            self._compiled.pop(old.id, None)
        if change.body is not None:
            policy = POLICIES.decode(change.body)
            self.records[policy.id] = policy
            place = (policy.level, policy.account, policy.target)
            self._attached.setdefault(place, {})[policy.name] = policy

    def on(self, level: Level, account: AccountId, target: str) -> list[CompiledPolicy]:
        """The policies attached to one thing, by name."""
        found = self._attached.get((level, account, target), {})
        return [self._ready(found[name]) for name in sorted(found)]

    def _ready(self, policy: Policy) -> CompiledPolicy:
        ready = self._compiled.get(policy.id)
        if ready is None:
            ready = self._compiled[policy.id] = compiled(policy)
        return ready


def compiled(policy: Policy) -> CompiledPolicy:
    """A stored policy, ready to be asked."""
    try:
        document = read_document(policy.document)
    except BadRequest:
        document = _UNREADABLE
    return CompiledPolicy(policy.name, document)


def arn_of(principal: Principal) -> str:
    """The caller's ARN, as GetCallerIdentity and refusals tell it."""
    return f"arn:aws:iam::{principal.account}:user/{principal.project}/{principal.key}"


def bearer_token_type(principal: Principal) -> str | None:
    """What `bedrock:BearerTokenType` is for a caller; None if it signed its request."""
    match principal.credential:
        case Credential.SIGNATURE:
            return None
        case Credential.API_KEY:
            return "LONG_TERM"
        case Credential.SHORT_TERM_KEY:
            return "SHORT_TERM"


def denied(principal: Principal, action: str, resource: str, decision: Decision) -> AccessDenied:
    """The refusal of a decision: AWS's sentence first, then where it comes from."""
    assert decision.level is not None, "something denied it"
    kind = _KINDS[decision.level]
    what = (
        f"User: {arn_of(principal)} is not authorized to perform: {action} on resource: {resource}"
    )
    where = {
        Level.ACCOUNT: f"account {principal.account}",
        Level.PROJECT: f"project {principal.project}",
        Level.KEY: f"key {principal.key}",
    }[decision.level]
    if decision.is_explicit:
        article = "an" if kind[0] in "aeiou" else "a"
        why = (
            f"with an explicit deny in {article} {kind}. It is {decision.statement} of the policy "
            f"{decision.policy!r} of {where}"
        )
    else:
        why = f"because no {kind} allows the {action} action. The policies of {where} decide this"
        if action == CALL_WITH_BEARER_TOKEN:
            why += "; whoever calls with an API key needs that action besides the call's own"
        elif PROFILE in resource:
            why += "; a model asked by another name needs that name allowed besides the model"
    return AccessDenied(f"{what} {why}. An operator sees and changes them with `craton policies`.")
