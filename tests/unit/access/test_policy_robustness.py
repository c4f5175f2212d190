"""Whatever a document says, it is read or refused; whatever was read can be asked."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from craton.access.policy_conditions import OPERATORS
from craton.access.policy_document import Document, read_document
from craton.access.policy_set import CompiledPolicy, PolicySet
from craton.access.records import Level
from craton.kernel.errors import BadRequest

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "*",
        "${aws:username}",
        "${a:b, 'c'}",
        "${*}",
        "arn:aws:x:::${aws:username}/*",
        "arn:aws",
        "10.0.0.0/8",
        "true",
        "10",
        "2026-01-01",
        "YQ==",
        "bedrock:Invoke*",
        "arn:*:*:*:*:*",
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MANY = st.one_of(TEXTS, st.lists(TEXTS, max_size=3), ANYTHING)
OPERATOR = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(sorted(OPERATORS)),
    st.sampled_from(["", "", "IfExists"]),
)
CONDITION = st.dictionaries(
    OPERATOR, st.dictionaries(st.sampled_from(["aws:username", "x:y"]), MANY, max_size=2)
)
STATEMENT = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"])},
    optional={
        "Sid": TEXTS,
        "Action": MANY | st.just("*"),
        "NotAction": MANY,
        "Resource": MANY | st.just("*"),
        "NotResource": MANY,
        "Condition": CONDITION,
    },
)
DOCUMENT = st.fixed_dictionaries(
    {"Statement": st.lists(STATEMENT, max_size=3) | STATEMENT},
    optional={"Version": st.sampled_from(["2012-10-17", "2008-10-17"]), "Id": TEXTS},
)
FACTS = st.dictionaries(
    st.sampled_from(["aws:username", "x:y"]), TEXTS | st.lists(TEXTS, max_size=3)
)


def read(text: str) -> Document | None:
    try:
        return read_document(text)
    except BadRequest as refused:
        refused.message.encode()  # it must be possible to tell it
        return None


@settings(max_examples=300, deadline=None)
@given(DOCUMENT | ANYTHING, FACTS, TEXTS)
def test_any_json_is_read_or_refused_and_what_was_read_decides(
    document: Any, facts: dict[str, Any], resource: str
) -> None:
    found = read(json.dumps(document))
    if found is not None:
        bound = PolicySet([(Level.KEY, [CompiledPolicy("p", found)])])
        decision = bound.decide("bedrock:InvokeModel", resource, facts)
        assert decision.is_allowed is (
            bound.decide("bedrock:InvokeModel", resource, facts).is_allowed
        )


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)
