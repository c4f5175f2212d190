"""Converse with a union's member where it doesn't belong: read, or refused; never a fault of ours.

Members that botocore's model doesn't have are kept for servers that are newer than it. In a union
such a member may have a name that means something elsewhere, with a value that nothing has checked.
"""

import copy
import json
from typing import Any

import pytest

from craton.apis.aws.model import Shape
from craton.apis.aws.wire import AwsWire
from craton.dialects.converse import ConverseServer
from craton.kernel.errors import BadRequest
from tests.fuzz.documents import places
from tests.fuzz.templates import CONVERSE, PLAIN_CONVERSE

WIRE, DIALECT = AwsWire(), ConverseServer()
PATH = b"/model/a.b-c/converse"


def read(document: Any) -> None:
    body = json.dumps(document).encode()
    match = WIRE.find("POST", PATH, b"", {}, body)
    assert match is not None
    DIALECT.read_request(WIRE.parse(match, b"", {}, body), stream=False)


def unions() -> dict[str, list[str]]:
    """Every union that Converse's input can hold, with its members' names."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    waiting = [WIRE._models.operation("bedrock-runtime", "Converse").input]
    while waiting:
        shape = waiting.pop()
        if shape is None or shape.name in seen:
            continue
        seen.add(shape.name)
        if shape.is_union:
            found[shape.name] = sorted(shape.members)
        inner: list[Shape | None] = [member.shape for member in shape.members.values()]
        waiting += [*inner, shape.element, shape.value]
    return found


UNIONS = unions()
NAMES = sorted({name for names in UNIONS.values() for name in names} | {"somethingNew"})
VALUES: tuple[Any, ...] = (1, "x", {"a": 1})


def used(document: Any) -> set[str]:
    return {key for container, key in places(document) if isinstance(container, dict)}


def test_the_templates_are_read_and_hold_every_union() -> None:
    names: set[str] = set()
    for document in (PLAIN_CONVERSE, *CONVERSE):
        read(document)
        names |= used(document)
    missing = {union for union, members in UNIONS.items() if not names & set(members)}
    assert missing == set()


@pytest.mark.parametrize("number", range(len(CONVERSE)))
def test_a_member_in_the_wrong_union_is_read_or_refused(number: int) -> None:
    refused = 0
    for place, (container, key) in enumerate(places(CONVERSE[number])):
        value = container[key]
        if not isinstance(value, dict) or len(value) != 1:  # what is no union's
            continue
        for name in NAMES:
            for value in VALUES:
                document = copy.deepcopy(CONVERSE[number])
                its_container, its_key = places(document)[place]
                its_container[its_key] = {name: value}
                try:
                    read(document)
                except BadRequest:
                    refused += 1
    assert refused > 100
