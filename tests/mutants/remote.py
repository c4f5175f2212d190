"""Sabotages of engines elsewhere: retries, credentials, limits, and the model that answered."""

from tests.mutants.catalogue import INFERENCE, Edit, Mutant

ENGINE = "src/craton/models/engines/remote.py"
RETRY = "src/craton/models/engines/upstream/retry.py"
CREDENTIAL = "src/craton/models/engines/upstream/credential.py"
TELEMETRY = "src/craton/bootstrap/telemetry.py"
HTTP_CLIENT = "src/craton/http/client.py"
APP = "src/craton/apis/app.py"

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
    Mutant(
        "a trace ends here, though an upstream is asked",
        (Edit(ENGINE, "target = target.with_headers(self._onward(request_id))", "pass"),),
        REMOTE_TEST + "test_each_request_takes_its_own_trace_to_the_upstream",
    ),
    Mutant(
        "the trace of the first request stays with the upstream's address",
        (
            Edit(
                HTTP_CLIENT,
                "        return replace(self, head=self.head + header_lines(headers))\n",
                '        object.__setattr__(self, "head", self.head + header_lines(headers))\n'
                "        return self\n",
            ),
        ),
        REMOTE_TEST + "test_each_request_takes_its_own_trace_to_the_upstream",
    ),
    Mutant(
        "an upstream's parent is another span at each attempt",
        (Edit(TELEMETRY, "        if found.model is None:\n", "        if True:\n"),),
        TRACES_TEST + "test_an_upstream_is_told_the_models_span_as_its_parent_at_every_attempt",
    ),
    Mutant(
        "no span is begun when a request comes",
        (Edit(APP, "            self._tracing.began(exchange)\n", "            pass\n"),),
        "tests/system/test_traces.py::"
        "test_one_trace_goes_from_the_caller_through_to_the_server_behind_a_remote_model",
    ),
    Mutant(
        "of two traceparents the first is believed",
        (Edit(TELEMETRY, ' or headers.is_repeated(b"traceparent")', ""),),
        TRACES_TEST + "test_of_two_traceparents_none_is_believed",
    ),
)
