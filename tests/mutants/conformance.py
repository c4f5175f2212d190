"""Sabotages of what holds answers to their models, and of what keeps the coverage page true."""

from tests.mutants.catalogue import one

JUDGES = "tests/conformance/test_conformance_judges.py::"
RECORDER = "tests/conformance/test_conformance_recorder.py::"
PAGE = "tests/conformance/test_coverage_page.py::"
FOUND = "tests/fuzz/test_fuzz_found.py::"
ENDPOINTS = "tests/sdk/test_policies_by_sdk.py::test_no_endpoint_forgets_to_ask"


MUTANTS = (
    one(
        "an answer lacks a member that no SDK misses",
        "src/craton/apis/bedrock/models.py",
        '        "entitlementAvailability": "AVAILABLE",\n',
        "",
        ENDPOINTS,
    ),
    one(
        "a model in Anthropic's list has no lifecycle",
        "src/craton/apis/anthropic/endpoints.py",
        '    lifecycle: str = "active"\n',
        "",
        "tests/sdk/test_prefixes.py::test_anthropics_sdk_finds_all_it_asks_for",
    ),
    one(
        "an error of bedrock-agentcore gives no reason",
        "src/craton/apis/aws/errors.py",
        '_REASON = {"reason": "CannotParse"}',
        "_REASON: dict[str, str] = {}",
        FOUND + "test_an_error_says_all_that_its_shape_requires",
    ),
    one(
        "a response repeats whatever tier it was asked for",
        "src/craton/dialects/openai_responses_answer.py",
        'tier if tier in _TIERS else "default"',
        'tier or "default"',
        FOUND + "test_a_document_of_a_response_repeats_no_tier_that_openai_has_not",
    ),
    one(
        "members that no model has are let through",
        "tests/conformance/shapes.py",
        "for name in sorted(value.keys() - known.keys()):",
        "for name in ():",
        JUDGES + "test_an_answer_that_breaks_its_model_is_seen",
    ),
    one(
        "frames of a stream are not judged",
        "tests/conformance/aws_answers.py",
        "for number, frame in enumerate(buffer):",
        "for number, frame in ():",
        JUDGES + "test_each_frame_of_a_stream_is_held_to_its_shape",
    ),
    one(
        "a stream that broke is recorded as whole",
        "tests/conformance/recording.py",
        "        self._pieces.append(data)\n",
        "        self._recorder.note(self._request, 200, (), data)\n",
        RECORDER + "test_a_stream_is_noted_when_it_ends_and_not_when_it_breaks",
    ),
    one(
        "what nobody sees any more stays on the page",
        "tests/conformance/plugin.py",
        "for row in sorted(kept[module] - claimed)",
        "for row in ()",
        RECORDER + "test_what_nobody_sees_any_more_is_told",
    ),
    one(
        "a test's own bytes count as a real client",
        "tests/conformance/page.py",
        "if row.client != RAW}",
        "}",
        PAGE + "test_an_operation_that_nobody_answered_would_be_named",
    ),
)
