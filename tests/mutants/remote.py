"""Sabotages of engines elsewhere: retries, credentials, limits, and the model that answered."""

from tests.mutants.catalogue import INFERENCE, Edit, Mutant

ENGINE = "src/craton/models/engines/remote.py"
RETRY = "src/craton/models/engines/upstream/retry.py"
CREDENTIAL = "src/craton/models/engines/upstream/credential.py"
TELEMETRY = "src/craton/bootstrap/telemetry.py"

REMOTE_TEST = "tests/unit/models/test_remote_engine.py::"
TRACES_TEST = "tests/unit/bootstrap/test_telemetry.py::"

MUTANTS = (
    Mutant(
        "what an upstream may have served is asked again",
        (Edit(RETRY, "frozenset({429, 502, 503, 529})", "frozenset({429, 500, 502, 503, 529})"),),
        REMOTE_TEST + "test_what_may_have_been_served_is_never_asked_again",
    ),
    Mutant(
        "retries have no budget",
        (Edit(RETRY, "        self._saved -= 1.0\n", ""),),
        REMOTE_TEST + "test_retries_never_flood_an_upstream_that_is_down",
    ),
    Mutant(
        "a request without a limit reaches the upstream without one",
        (
            Edit(
                ENGINE,
                "max_tokens=request.max_tokens or self._output_tokens_default",
                "max_tokens=request.max_tokens",
            ),
        ),
        REMOTE_TEST + "test_a_request_without_a_limit_gets_the_cards_own",
    ),
    Mutant(
        "a replaced key is never read again",
        (Edit(ENGINE, "        if credential == self._credential:\n", "        if credential:\n"),),
        REMOTE_TEST + "test_a_key_that_was_replaced_is_read_again",
    ),
    Mutant(
        "a credential stands in its representation",
        (Edit(CREDENTIAL, "text: bytes = field(repr=False)", "text: bytes"),),
        REMOTE_TEST + "test_credentials_are_never_in_a_representation",
    ),
    Mutant(
        "the model that answered isn't told",
        (
            Edit(
                INFERENCE,
                "            headers.append(turn.route.header)\n            headers.append((b",
                "            headers.append((b",
            ),
        ),
        "tests/unit/apis/test_inference_turn.py::test_no_whole_answer_leaves_before_the_post_is_acknowledged",
    ),
    Mutant(
        "spans begin traces of their own, whatever the caller's",
        (Edit(TELEMETRY, "context=self._parent(exchange),", "context=None,"),),
        TRACES_TEST + "test_spans_join_the_callers_trace",
    ),
)
