"""docs/coverage.md says what was seen, and every operation that is built was seen."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from craton.apis.anthropic.endpoints import anthropic_endpoints
from craton.apis.aws.operations import BUILT, entries
from craton.apis.openai.endpoints import openai_endpoints
from tests.conformance import rows
from tests.conformance.operations import ONLY_REFUSE, RAW, ROUTES, STREAMED
from tests.conformance.page import built, page, unexpected, unproven
from tests.conformance.rows import Row

ROOT = Path(__file__).parents[2]
RECORDED = rows.read()


def test_the_page_is_what_the_record_and_the_tables_say() -> None:
    found = (ROOT / "docs/coverage.md").read_text(encoding="utf-8")
    assert found == page(), "docs/coverage.md is stale. Run: make docs"


def test_every_built_operation_was_answered_to_a_real_client() -> None:
    assert unproven(RECORDED) == [], "write a test with a real client, then: make conformance"


def test_nothing_was_answered_that_is_not_declared() -> None:
    assert unexpected(RECORDED) == []


def test_the_record_is_of_modules_that_are_there() -> None:
    gone = [module for module in RECORDED if not (ROOT / module).is_file()]
    assert gone == [], "run: make conformance"


def without(key: tuple[str, str], *, keeping: str = "") -> rows.Rows:
    """The record without an operation, but for what one kind of client or outcome says."""
    return {
        module: {row for row in found if row[:2] != key or (keeping and keeping in row)}
        for module, found in RECORDED.items()
    }


@pytest.mark.parametrize("key", built(), ids=" ".join)
def test_an_operation_that_nobody_answered_would_be_named(key: tuple[str, str]) -> None:
    (fault,) = unproven(without(key))
    assert fault.startswith(" ".join(key))
    assert unproven(without(key, keeping=RAW)), "a test that speaks HTTP itself is no real client"


@pytest.mark.parametrize("key", sorted(STREAMED), ids=" ".join)
def test_a_stream_that_nobody_saw_would_be_named(key: tuple[str, str]) -> None:
    (fault,) = unproven(without(key, keeping="answered"))
    assert fault.startswith(" ".join(key))


def test_an_answer_of_an_operation_that_is_not_declared_would_be_named() -> None:
    row = Row("bedrock", "ListGuardrails", "boto3", "answered")
    assert unexpected({"m": {row}}) == ["bedrock ListGuardrails"]
    assert unexpected({"m": {row._replace(outcome="not built")}}) == []


def test_every_fixed_path_of_openai_and_anthropic_stands_in_the_table() -> None:
    services: Any = SimpleNamespace(router=None, inference=None)
    known = {request for table in ROUTES.values() for request in table.values()}
    for endpoints in (openai_endpoints(services), anthropic_endpoints(services)):
        for method, raw_path in endpoints:
            path = raw_path.decode()
            if method != "HEAD":  # a greeting, which is no operation
                plain = "/v1" + path.partition("/v1")[2]
                assert (method, plain) in known


def test_operations_that_only_refuse_and_streams_are_built() -> None:
    assert set(ONLY_REFUSE) | STREAMED <= set(built())


def test_the_page_tells_what_is_built_from_what_is_not() -> None:
    one = next(entry for entry in entries() if entry.name == "Converse")
    row = Row(*one.key, "boto3", "answered")
    refused = row._replace(outcome="refused: ValidationException")
    told = page([one], {"m": {row, refused}}, BUILT)
    assert "| Converse | inference | must | boto3 | ValidationException |" in told
    assert "| Converse | inference | must |\n" in page([one], {}, frozenset())
