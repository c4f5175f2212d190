"""Random policies and requests, and what Craton decides of them.

Small pools of names, so that a good part of the patterns match a good part of the requests. Left
out is where the peer is known to differ from IAM's documentation, which Craton follows; each of
these has a unit test of its own in tests/unit/access:

- it resolves variables in documents of the old version, where `${…}` is plain text;
- it lets `…Not…` operators fail where a variable of theirs has no value ("do match against a null
  value", says "Policy variables with no value" in the IAM User Guide);
- it takes a variable whose value is the empty text as one without a value;
- it compares moments in seconds with moments as dates by different units;
- NotIpAddress with an address of the other family holds for its ranges and fails for its addresses;
- `String…Equals…` doesn't know `${*}` and `${?}`;
- `0.0.0.0/0` holds no address;
- NotResource with a variable that has no value still matches what differs before the sixth part;
- a kind of resource (the sixth part up to its slash) takes no wildcards;
- an ARN of fewer than six parts never counts as different in NotResource.
"""

import json
import random
from typing import Any

from craton.access.policy_document import read_document
from craton.access.policy_set import CompiledPolicy, Decision, PolicySet
from craton.access.records import Level

Json = dict[str, Any]

ACCOUNT = "123456789012"
PRINCIPAL = f"arn:aws:iam::{ACCOUNT}:user/proj-a/ann"

ACTIONS = [
    "bedrock:InvokeModel",
    "bedrock:InvokeModelWithResponseStream",
    "bedrock:ListFoundationModels",
    "bedrock:GetFoundationModel",
    "bedrock:CountTokens",
    "bedrock:CallWithBearerToken",
    "craton:Read",
    "s3:GetObject",
]
ACTION_PATTERNS = [
    *ACTIONS,
    "*",
    "bedrock:*",
    "bedrock:Invoke*",
    "BEDROCK:invokemodel",
    "bedrock:*Model*",
    "bedrock:*Stream",
    "bedrock:Get?oundationModel",
    "bedrock:InvokeModel?",
    "bedrock:???????????",
    "s3:*",
    "craton:*",
    "bedrock:*o*e*",
]
MODELS = ["lab.model-1", "lab.model-2", "lab.Model-1", "other.big-70b", "ann", "team/x:y", "a"]
RESOURCES = [
    *[f"arn:aws:bedrock:us-east-1::foundation-model/{model}" for model in MODELS],
    f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:inference-profile/us.lab.model-1",
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/ann",
    "arn:aws:s3:::bucket/ann/file",
    "*",
]
RESOURCE_PATTERNS = [
    *RESOURCES,
    "*",
    "arn:aws:bedrock:*::foundation-model/*",
    "arn:aws:bedrock:*:*:*",
    "arn:aws:bedrock:us-east-1::*",
    "arn:aws:bedrock:us-*-1::foundation-model/lab.*",
    "arn:aws:bedrock:us-east-?::foundation-model/lab.model-?",
    "arn:aws:bedrock:*:*:inference-profile/*",
    "arn:aws:s3:::bucket/*",
    "arn:*:*:*:*:*model*1",
    "arn:aws:bedrock:us-east-1::foundation-model/${aws:username}",
    "arn:aws:bedrock:*:*:foundation-model/${aws:PrincipalTag/team}*",
    "arn:aws:bedrock:*:*:inference-profile/${aws:userid}",
    "arn:aws:s3:::bucket/${aws:username}/*",
    "arn:aws:bedrock:us-east-1::foundation-model/${*}",
    "arn:aws:bedrock:*::foundation-model/${aws:PrincipalTag/none, 'a'}",
    "arn:aws:bedrock:*::foundation-model/lab.*l-*1*",
]
WORDS = ["ann", "bob", "Ann", "blue", "blue team", "a*", "*", "an?", "", "x/y", "true", "10"]
WORD_PATTERNS = [
    *WORDS, "a*n", "?nn", "*e*", "${aws:username}", "${aws:PrincipalTag/team}*", "${*}", "${?}nn",
    "${aws:PrincipalTag/none}", "${aws:PrincipalTag/none, 'ann'}", "b${aws:username}", "$", "bl*am",
    "${aws:userid}", "${aws:userid}*", "*${aws:USERID}",
]  # fmt: skip
NUMBERS = ["0", "1", "10", "10.0", "9.5", "-3", "1000000", "0.1"]
MOMENTS = [
    "2026-01-01T00:00:00Z", "2026-06-30T12:00:00Z", "2026-06-30T14:00:00+02:00",
    "2026-01-01T00:00:01Z", "2027-01-01T00:00:00Z", "2026-06-30", "2026-06-30T12:00:00.5Z",
]  # fmt: skip
ADDRESSES = ["10.1.2.3", "10.200.0.1", "192.168.1.77", "203.0.113.9"]
NETWORKS = [
    "10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "192.168.1.0/24", "128.0.0.0/1", "203.0.113.8/30",
]  # fmt: skip
WIDE_ADDRESSES = ["2001:db8::1", "2001:db8:0:1::", "fd00::7:1"]
WIDE_NETWORKS = ["2001:db8::/32", "2001:db8::/64", "fd00::/16", "2001:db8::1", "fd00::7:1"]
ARNS = [
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.lab.model-1",
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/ann",
    f"arn:aws:iam::{ACCOUNT}:user/proj-a/ann",
    "arn:aws:sns:us-east-1:999999999999:topic:with:colons",
]
ARN_PATTERNS = [
    *ARNS, "arn:aws:bedrock:*:*:inference-profile/*", "arn:aws:iam::*:user/*", "arn:*:*:*:*:*",
    "arn:aws:bedrock:us-east-?:*:inference-profile/${aws:username}",
    "arn:aws:sns:us-east-1:999999999999:topic:*", "arn:aws:*:us-east-1:*:*ann",
    "arn:aws:bedrock:*:*:inference-profile/${aws:userid}",
]  # fmt: skip
FLAGS = ["true", "false"]
BYTES = ["YWJj", "eHl6", "YQ=="]

TEXT_KEYS = ["aws:username", "aws:PrincipalTag/team", "aws:UserAgent", "aws:PrincipalTag/none"]
FAMILIES: list[tuple[list[str], list[str], list[str]]] = [
    (
        ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"],
        TEXT_KEYS, WORD_PATTERNS,
    ),
    (["StringLike", "StringNotLike"], TEXT_KEYS, WORD_PATTERNS),
    (
        [f"Numeric{relation}" for relation in (
            "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals",
        )],
        ["craton:Tokens", "craton:Absent"], NUMBERS,
    ),
    (
        [f"Date{relation}" for relation in (
            "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals",
        )],
        ["aws:CurrentTime", "aws:TokenIssueTime"], MOMENTS,
    ),
    (["Bool"], ["aws:SecureTransport", "aws:MultiFactorAuthPresent"], FLAGS),
    (["BinaryEquals"], ["craton:Bytes"], BYTES),
    (["IpAddress", "NotIpAddress"], ["aws:SourceIp", "aws:VpcSourceIp"], NETWORKS),
    (
        ["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"],
        ["bedrock:InferenceProfileArn", "aws:PrincipalArn", "aws:SourceArn"], ARN_PATTERNS,
    ),
    (["Null"], [*TEXT_KEYS, "craton:Tokens", "aws:TagKeys"], FLAGS),
]  # fmt: skip
MANY_KEYS = ["aws:TagKeys", "craton:Labels"]


class Cases:
    """Makes one case after another from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._is_old = False
        """Whether the document under way is of the version that knows no variables."""
        self._is_wide = False
        """Whether the addresses of the case under way are of IPv6."""

    def case(self) -> Json:
        roll = self._random.random
        self._is_wide = roll() < 0.3
        return {
            "policies": {
                "account": self._documents() if roll() < 0.3 else [],
                "project": self._documents() if roll() < 0.25 else [],
                "key": self._documents() if roll() < 0.8 else [],
            },
            "account": ACCOUNT,
            "principal": PRINCIPAL,
            "action": self._random.choice(ACTIONS),
            "resource": self._random.choice(RESOURCES),
            "facts": self._facts(),
        }

    def _documents(self) -> list[Json]:
        return [self._document() for _ in range(self._random.choice([1, 1, 1, 2]))]

    def _document(self) -> Json:
        pick = self._random
        version = pick.choice(["2012-10-17"] * 8 + ["2008-10-17", None])
        self._is_old = version != "2012-10-17"
        statements = [self._statement() for _ in range(pick.choice([1, 1, 2, 3, 5]))]
        document: Json = {}
        if version is not None:
            document["Version"] = version
        if pick.random() < 0.2:
            document["Id"] = "some-id"
        document["Statement"] = statements[0] if len(statements) == 1 else statements
        return document

    def _statement(self) -> Json:
        pick = self._random
        statement: Json = {"Effect": pick.choice(["Allow", "Allow", "Allow", "Deny"])}
        name = "NotAction" if pick.random() < 0.15 else "Action"
        statement[name] = self._some(ACTION_PATTERNS)
        name = "NotResource" if pick.random() < 0.15 else "Resource"
        statement[name] = "*" if pick.random() < 0.3 else self._some(self._resources(name))
        if pick.random() < 0.6:
            condition: Json = {}
            for _ in range(pick.choice([1, 1, 2])):
                operator, lines = self._condition()
                condition[operator] = lines
            statement["Condition"] = condition
        return statement

    def _condition(self) -> tuple[str, Json]:
        pick = self._random
        operators, keys, values = pick.choice(FAMILIES)
        operator = pick.choice(operators)
        if "Not" in operator:
            values = [value for value in values if not _may_lack_value(value)]
        if self._is_old:
            values = [value for value in values if "$" not in value]
        if operator.startswith("String") and "Equals" in operator:
            values = [value for value in values if value not in ("${*}", "${?}nn")]
        if "IpAddress" in operator and self._is_wide:
            values = WIDE_NETWORKS
        if operator.startswith("String") and pick.random() < 0.35:
            prefix = pick.choice(["ForAllValues:", "ForAnyValue:"])
            suffix = "IfExists" if pick.random() < 0.2 else ""
            return prefix + operator + suffix, {pick.choice(MANY_KEYS): self._some(values)}
        suffix = "IfExists" if operator != "Null" and pick.random() < 0.2 else ""
        lines = {self._cased(key): self._some(values) for key in pick.sample(keys, 1)}
        if operator == "Null":
            lines = {key: pick.choice(FLAGS) for key in lines}
        return operator + suffix, lines

    def _cased(self, key: str) -> str:
        return key.lower() if self._random.random() < 0.1 and "Tag/" not in key else key

    def _resources(self, name: str) -> list[str]:
        return [
            resource
            for resource in RESOURCE_PATTERNS
            if not (self._is_old and "$" in resource)
            and not (name == "NotResource" and _may_lack_value(resource))
        ]

    def _some(self, pool: list[str]) -> Any:
        count = self._random.choice([1, 1, 1, 2, 3])
        chosen = [self._random.choice(pool) for _ in range(count)]
        return chosen[0] if count == 1 and self._random.random() < 0.7 else chosen

    def _facts(self) -> Json:
        pick = self._random
        words = [word for word in WORDS if word]
        pools: dict[str, list[str]] = {
            "aws:username": words,
            "aws:PrincipalTag/team": words,
            "aws:UserAgent": words,
            "craton:Tokens": NUMBERS,
            "aws:CurrentTime": MOMENTS,
            "aws:SecureTransport": FLAGS,
            "craton:Bytes": BYTES,
            "aws:SourceIp": WIDE_ADDRESSES if self._is_wide else ADDRESSES,
            "bedrock:InferenceProfileArn": ARNS,
        }
        facts: Json = {
            name: pick.choice(pool) for name, pool in pools.items() if pick.random() < 0.75
        }
        for key in MANY_KEYS:
            if pick.random() < 0.7:
                facts[key] = [pick.choice(words) for _ in range(pick.choice([1, 2, 3]))]
        facts["aws:PrincipalArn"] = PRINCIPAL
        facts["aws:userid"] = pick.choice(words)
        return facts


def _may_lack_value(value: str) -> bool:
    return "${aws:" in value and ", '" not in value and "userid" not in value.lower()


def decide(case: Json) -> Decision:
    """What Craton decides."""
    attached = [
        (
            level,
            [
                CompiledPolicy(str(number), read_document(json.dumps(document)))
                for number, document in enumerate(case["policies"].get(level, []))
            ],
        )
        for level in Level
    ]
    facts = {name.lower(): value for name, value in case["facts"].items()}
    return PolicySet(attached).decide(case["action"], case["resource"], facts)


def verdict(decision: Decision) -> str:
    """A decision in the peer's words."""
    if decision.is_allowed:
        return "Allowed"
    return "ExplicitlyDenied" if decision.is_explicit else "ImplicitlyDenied"
