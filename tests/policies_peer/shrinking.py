"""Makes a disagreement small: takes pieces away for as long as the two still disagree."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]


def shrunk(case: Json, disagreeing: Callable[[list[Json]], Json | None]) -> Json:
    """The smallest case found; `disagreeing` returns the first of some that still disagrees."""
    while (smaller := disagreeing(list(_smaller(case)))) is not None:
        case = smaller
    return case


def _smaller(case: Json) -> Iterator[Json]:
    for level, documents in case["policies"].items():
        for place, document in enumerate(documents):
            yield _edited(case, level, lambda found, at=place: found.pop(at))
            statements = document["Statement"]
            if isinstance(statements, dict):
                yield from _smaller_statement(case, level, place, None, statements)
                continue
            for number, statement in enumerate(statements):
                if len(statements) > 1:
                    yield _edited(
                        case, level, lambda f, at=place, n=number: f[at]["Statement"].pop(n)
                    )
                yield from _smaller_statement(case, level, place, number, statement)
    for name in case["facts"]:
        yield {**case, "facts": {k: v for k, v in case["facts"].items() if k != name}}


def _smaller_statement(
    case: Json, level: str, place: int, number: int | None, statement: Json
) -> Iterator[Json]:
    def at(documents: list[Json]) -> Json:
        found = documents[place]["Statement"]
        return found if number is None else found[number]

    for name in ("Action", "Resource"):
        if name in statement and statement[name] != "*":
            yield _edited(case, level, lambda f, n=name: at(f).update({n: "*"}))
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        value = statement.get(name)
        if isinstance(value, list) and len(value) > 1:
            for index in range(len(value)):
                yield _edited(case, level, lambda f, n=name, i=index: at(f)[n].pop(i))
    for operator, lines in statement.get("Condition", {}).items():
        yield _edited(case, level, lambda f, o=operator: at(f)["Condition"].pop(o))
        for key, value in lines.items():
            if isinstance(value, list) and len(value) > 1:
                for index in range(len(value)):
                    yield _edited(
                        case,
                        level,
                        lambda f, o=operator, k=key, i=index: at(f)["Condition"][o][k].pop(i),
                    )


def _edited(case: Json, level: str, edit: Callable[[list[Json]], object]) -> Json:
    made = copy.deepcopy(case)
    edit(made["policies"][level])
    return made
