"""What the caller of one request may do: its role's rule, then the policies that bind it.

Actions and resources are named as IAM names them. A request to a model is asked about the model
that will answer, whatever name it was asked by; asked by another name (an alias, an inference
profile), it must be allowed for that one, too, as Bedrock does it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from craton.access.directory import Directory
from craton.access.policies import (
    ANY_RESOURCE,
    CALL_WITH_BEARER_TOKEN,
    PROFILE,
    VARYING_KEYS,
    Bound,
    bearer_token_type,
    denied,
)
from craton.access.policy import authorize
from craton.access.policy_patterns import Value
from craton.access.policy_set import OWN_ACTIONS
from craton.access.records import AccountId, Credential, Principal
from craton.http import HttpRequest
from craton.kernel.clock import Clock
from craton.messages import Request

INVOKE = "bedrock:InvokeModel"
INVOKE_STREAM = "bedrock:InvokeModelWithResponseStream"
GET_MODEL = "bedrock:GetFoundationModel"
LIST_MODELS = "bedrock:ListFoundationModels"
COUNT_TOKENS = "bedrock:CountTokens"
ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})
"""Whoever has a good key may ask who it is; IAM has it so as well."""

_SIGNATURE = Credential.SIGNATURE


class Place(NamedTuple):
    """Where this Craton answers."""

    region: str
    is_secure: bool
    """Whether clients reach it over TLS."""


def model_arns(
    model: str, name: str, *, place: Place, account: AccountId
) -> tuple[str | None, str]:
    """The inference profile that a name stands for, if any, and the model behind it."""
    arn = f"arn:aws:bedrock:{place.region}::foundation-model/{model}"
    if name == model:
        return None, arn
    if name.startswith("arn:"):
        is_profile = PROFILE in name
        name = name.partition("/")[2]
        if name == model and not is_profile:
            return None, arn
    return f"arn:aws:bedrock:{place.region}:{account}{PROFILE}{name}", arn


class Permit:
    """Asked before anything is done for a caller. Every method raises AccessDenied to say no."""

    __slots__ = ("_asked", "_bound", "_clock", "_place", "_profile", "_request", "principal")

    def __init__(
        self,
        principal: Principal,
        bound: Bound | None,
        request: HttpRequest,
        *,
        place: Place,
        clock: Clock,
    ) -> None:
        self.principal = principal
        self._bound = bound
        self._request = request
        self._place = place
        self._clock = clock
        self._asked: Request | None = None
        self._profile: str | None = None

    def admit(self, action: str, resource: str | None) -> None:
        """Let a caller in to do one thing; `resource` None leaves the model to be asked later."""
        authorize(self.principal, action)
        if self._bound is None or action in ALWAYS_ALLOWED:
            return
        if self.principal.credential is not _SIGNATURE and not action.startswith(OWN_ACTIONS):
            self._require(self._bound, CALL_WITH_BEARER_TOKEN, ANY_RESOURCE)
        if resource is not None:
            self._require(self._bound, action, resource)

    def use_model(self, model: str, asked: Request) -> None:
        """Let a caller have an answer of a model; `asked.model` is the name it used."""
        if self._bound is not None:
            self._asked = asked
            self._about_model(INVOKE_STREAM if asked.stream else INVOKE, model, asked.model)

    def about_model(self, action: str, model: str, name: str) -> None:
        """Let a caller do something else with a model, asked for by some name."""
        if self._bound is not None:
            self._about_model(action, model, name)

    def _about_model(self, action: str, model: str, name: str) -> None:
        bound = self._bound
        assert bound is not None, "only asked where there are policies"
        account = self.principal.account
        self._profile, arn = model_arns(model, name, place=self._place, account=account)
        if self._profile is not None:
            self._require(bound, action, self._profile)
        self._require(bound, action, arn)

    def _require(self, bound: Bound, action: str, resource: str) -> None:
        decision = bound.policies.known(action, resource)
        if decision is None:
            decision = bound.policies.decide(action, resource, self)
        if not decision.is_allowed:
            raise denied(self.principal, action, resource, decision)

    # What conditions read.

    def get(self, key: str, /) -> Value | None:
        """The value of a condition key, given in lower case, in this request."""
        read = _READERS.get(key)
        if read is not None:
            return read(self)
        if self._bound is not None:
            return self._bound.facts.get(key)
        return None

    @property
    def source_ip(self) -> str | None:
        """Where the request came from."""
        return self._request.peer or None

    @property
    def user_agent(self) -> str | None:
        """What the client calls itself."""
        value = self._request.headers.get(b"user-agent")
        return value.decode("latin-1") if value else None

    @property
    def seconds(self) -> int:
        """Now, since the epoch."""
        return self._clock.now_ns() // 1_000_000_000

    @property
    def moment(self) -> str:
        """Now, as IAM writes it."""
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def is_secure(self) -> str:
        """Whether it came over TLS."""
        return "true" if self._place.is_secure else "false"

    @property
    def region(self) -> str:
        """The region it was sent to."""
        return self._place.region

    @property
    def profile(self) -> str | None:
        """The inference profile that the model was asked by."""
        return self._profile

    @property
    def service_tier(self) -> str | None:
        """The tier a model was asked on."""
        return self._asked.service_tier if self._asked is not None else None

    @property
    def guardrail(self) -> str | None:
        """The guardrail to apply, as an ARN with its version if that is a number."""
        guardrail = self._asked.guardrail if self._asked is not None else None
        if guardrail is None or not guardrail.identifier:
            return None
        arn = guardrail.identifier
        if not arn.startswith("arn:"):
            place, account = self._place, self.principal.account
            arn = f"arn:aws:bedrock:{place.region}:{account}:guardrail/{arn}"
        version = guardrail.version
        return f"{arn}:{version}" if version and version.isdigit() else arn


_READERS: Mapping[str, Callable[[Permit], Value | None]] = {
    "aws:currenttime": lambda permit: permit.moment,
    "aws:epochtime": lambda permit: str(permit.seconds),
    "aws:requestedregion": lambda permit: permit.region,
    "aws:securetransport": lambda permit: permit.is_secure,
    "aws:sourceip": lambda permit: permit.source_ip,
    "aws:useragent": lambda permit: permit.user_agent,
    "bedrock:bearertokentype": lambda permit: bearer_token_type(permit.principal),
    "bedrock:guardrailidentifier": lambda permit: permit.guardrail,
    "bedrock:inferenceprofilearn": lambda permit: permit.profile,
    "bedrock:servicetier": lambda permit: permit.service_tier,
}
assert _READERS.keys() - {"aws:requestedregion"} == VARYING_KEYS, (
    "a decision is kept only if no key of the request can change it"
)


class Permits:
    """Makes the permit of each request, from the worker's snapshot of policies."""

    def __init__(self, directory: Directory, clock: Clock, *, place: Place) -> None:
        self._directory = directory
        self._clock = clock
        self._place = place

    def of(self, principal: Principal, request: HttpRequest) -> Permit:
        """What a caller may do in a request."""
        bound = self._directory.bound(principal)
        return Permit(principal, bound, request, place=self._place, clock=self._clock)
