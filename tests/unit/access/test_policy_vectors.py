"""Decisions of an independent evaluator, recorded: `python -m tests.policies_peer --record`.

Each case is a fact: these policies, this request, this answer. The peer and its version are named
in tests/policies_peer/__main__.py.
"""

import json
from collections import Counter
from pathlib import Path

from craton.access.policy_conditions import OPERATORS
from tests.policies_peer.cases import decide, verdict

CASES = json.loads(Path(__file__).with_name("policy_vectors.json").read_text(encoding="utf-8"))


def test_every_recorded_case_is_decided_as_the_independent_evaluator_decided_it() -> None:
    wrong = [case for case in CASES if verdict(decide(case)) != case["expected"]]
    assert wrong == []


def test_the_recorded_cases_hold_every_operator_and_every_answer() -> None:
    text = json.dumps(CASES)
    assert [operator for operator in OPERATORS if f'"{operator}"' not in text] == []
    for part in ("ForAllValues:", "ForAnyValue:", "IfExists", "NotAction", "NotResource", "${"):
        assert part in text
    answers = Counter(case["expected"] for case in CASES)
    assert set(answers) == {"Allowed", "ExplicitlyDenied", "ImplicitlyDenied"}
    assert min(answers.values()) > 50
