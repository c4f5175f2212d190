"""A few cases that stand for many: each shows an operator, element or pattern with a new answer."""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

CHARACTERS_MAX = 800


class Recording:
    """Keeps the cases worth keeping, each as small as it can be told."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()
        self.cases: list[Json] = []

    def consider(self, case: Json, expected: str) -> None:
        """Keep a case if it shows something that none before it shows."""
        told = _told(case, expected)
        if len(json.dumps(told)) > CHARACTERS_MAX:
            return
        features = {(*feature, expected) for feature in _features(case)}
        if features <= self._seen:
            return
        self._seen |= features
        self.cases.append(told)

    def text(self) -> str:
        lines = [json.dumps(case, sort_keys=True) for case in self.cases]
        return "[\n" + ",\n".join(lines) + "\n]\n"


def _told(case: Json, expected: str) -> Json:
    policies = {level: found for level, found in case["policies"].items() if found}
    text = json.dumps(policies).lower()
    return {
        "action": case["action"],
        "resource": case["resource"],
        "facts": {key: value for key, value in case["facts"].items() if key.lower() in text},
        "policies": policies,
        "expected": expected,
    }


def _features(case: Json) -> Iterator[tuple[str, ...]]:
    for level, documents in case["policies"].items():
        for document in documents:
            listed = document["Statement"]
            for statement in listed if isinstance(listed, list) else [listed]:
                effect = statement["Effect"]
                yield level, effect
                for name in ("Action", "NotAction", "Resource", "NotResource"):
                    value = statement.get(name, [])
                    for text in value if isinstance(value, list) else [value]:
                        yield name, effect, text
                for operator in statement.get("Condition", {}):
                    yield operator, effect
