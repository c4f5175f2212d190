"""Microseconds that policies cost a request, on one core.

.venv/bin/python benchmarks/policies/bench.py

"asked" is one decision of the compiled statements, "remembered" the same once it is known, "whole"
all that a request to a model spends on permissions (making the permit, admission, the model).
"""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from craton.access.directory import Directory
from craton.access.policies import VARYING_KEYS
from craton.access.policy_document import read_document
from craton.access.policy_set import CompiledPolicy, PolicySet
from craton.access.records import (
    API_KEYS,
    POLICIES,
    AccountId,
    ApiKey,
    KeyId,
    Level,
    Policy,
    Principal,
    ProjectId,
    Role,
)
from craton.apis.permit import INVOKE, Permits, Place
from craton.http import Headers, HttpRequest
from craton.kernel.clock import SystemClock
from craton.messages import Request
from craton.store.kind import Change

ROUNDS = 60
CALLS = 300
MODEL = "huggingfacetb.smollm2-135m-instruct"
ARN = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
ACCOUNT = AccountId("123456789012")
TEXT = b"sk-craton-benchmark"

Json = dict[str, Any]


def microseconds(call: Callable[[], object]) -> float:
    """The best of some rounds: other work on the machine only ever adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started_ns = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter_ns() - started_ns) / CALLS)
    return best / 1000


def statements(count: int, condition: Json) -> list[Json]:
    """Denials of other models, and at last one that allows: all must be looked at."""
    found: list[Json] = [
        {
            "Effect": "Deny",
            "Action": ["bedrock:Invoke*", "bedrock:CountTokens"],
            "Resource": [
                f"arn:aws:bedrock:*::foundation-model/lab-{number}.*",
                f"arn:aws:bedrock:*:*:inference-profile/*lab-{number}*",
            ],
            **condition,
        }
        for number in range(count - 1)
    ]
    allow = {"Effect": "Allow", "Action": "bedrock:*", "Resource": "*", **condition}
    return [*found, allow]


def text_of(given: list[Json]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": given})


def compiled(given: list[Json]) -> PolicySet:
    document = read_document(text_of(given))
    return PolicySet([(Level.KEY, [CompiledPolicy("p", document)])], varying=VARYING_KEYS)


SOURCE = {"Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}}
ALWAYS_MATCHING: Json = {
    "Effect": "Deny",
    "Action": "bedrock:Invoke*",
    "Resource": "*",
    "Condition": {
        "NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"},
        "StringLike": {"aws:UserAgent": "curl*"},
    },
}
FACTS = {"aws:sourceip": "10.1.2.3", "aws:useragent": "OpenAI/Python 3.54.0"}


def directory(policies: list[Json]) -> tuple[Directory, Principal]:
    """A worker's snapshot with one key, bound by one policy or by none."""
    made = Directory()
    digest = hashlib.sha256(TEXT).digest()
    key = ApiKey(
        KeyId("key-a"), "a", ACCOUNT, ProjectId("proj-a"), Role.MEMBER, digest, "mark", 1
    )  # fmt: skip
    made.apply(Change(API_KEYS.name, key.id, msgspec.json.encode(key)))
    if policies:
        document = json.dumps({"Version": "2012-10-17", "Statement": policies})
        policy = Policy(
            id="policy-a", account=ACCOUNT, level=Level.KEY, target="a", name="p",
            document=document, created_ms=1, updated_ms=1,
        )  # fmt: skip
        made.apply(Change(POLICIES.name, policy.id, msgspec.json.encode(policy)))
    return made, made.bearer(TEXT)


def whole(policies: list[Json]) -> float:
    made, principal = directory(policies)
    clock = SystemClock()
    permits = Permits(made, clock, place=Place("us-east-1", is_secure=False))
    headers = Headers([(b"user-agent", b"OpenAI/Python 3.54.0")])
    request = HttpRequest("POST", b"/v1/chat/completions", b"", headers, b"{}", "10.1.2.3")
    asked = Request(model=MODEL, messages=[])

    def call() -> None:
        permit = permits.of(principal, request)
        permit.admit(INVOKE, None)
        permit.use_model(MODEL, asked)

    return microseconds(call)


def main() -> None:
    for name, given in (
        ("1 statement", statements(1, {})),
        ("20 statements, none with a condition", statements(20, {})),
        ("20 statements, each with a condition", statements(20, SOURCE)),
        ("20 statements whose conditions are all read", [ALWAYS_MATCHING] * 19 + statements(1, {})),
        ("50 statements, none with a condition", statements(50, {})),
    ):
        document = json.dumps({"Version": "2012-10-17", "Statement": given})
        # What fits into one document; larger ones are several policies in earnest.
        policies = compiled(given) if len(document) < 6000 else split(given)
        asked = microseconds(lambda p=policies: p.decide(INVOKE, ARN, FACTS))
        print(f"{name:45} asked {asked:6.2f} us")
    policy = CompiledPolicy("p", read_document(text_of(statements(20, {}))))
    first = microseconds_few(lambda: PolicySet([(Level.KEY, [policy])]).decide(INVOKE, ARN, FACTS))
    print(f"{'20 statements, the first time for a model':45} asked {first:6.2f} us")
    stable = compiled(statements(20, {}))
    stable.decide(INVOKE, ARN, FACTS)
    print(f"{'remembered':45}       {microseconds(lambda: stable.known(INVOKE, ARN)):6.2f} us")
    print(f"{'whole, no policies anywhere':45}       {whole([]):6.2f} us")
    print(f"{'whole, 20 statements, remembered':45}       {whole(statements(20, {})):6.2f} us")
    print(
        f"{'whole, 10 statements with conditions':45}       {whole(statements(10, SOURCE)):6.2f} us"
    )
    text = text_of(statements(20, {}))
    reading = microseconds_few(lambda: CompiledPolicy("p", read_document(text)))
    print(f"{'reading and compiling 20 statements':45}       {reading:6.0f} us")


def split(given: list[Json]) -> PolicySet:
    """Several policies of ten statements each."""
    policies = [
        CompiledPolicy(
            str(begin),
            read_document(
                json.dumps({"Version": "2012-10-17", "Statement": given[begin : begin + 10]})
            ),
        )
        for begin in range(0, len(given), 10)
    ]
    return PolicySet([(Level.KEY, policies)], varying=VARYING_KEYS)


def microseconds_few(call: Callable[[], object]) -> float:
    """The best of 20 single calls of something slow."""
    best = float("inf")
    for _ in range(20):
        started_ns = time.perf_counter_ns()
        call()
        best = min(best, time.perf_counter_ns() - started_ns)
    return best / 1000


if __name__ == "__main__":
    main()
