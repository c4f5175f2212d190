"""Sabotages of how an answer leaves the engine's process, and of the exchange with llama.cpp."""

from tests.mutants.catalogue import one

EXCHANGE = "src/craton/models/engines/embedded/llama_exchange.py"
PACING = "src/craton/models/engines/embedded/pacing.py"
PROCESS = "src/craton/models/engines/embedded/process.py"
PACED = "tests/unit/models/test_embedded_pacing.py::test_"
TEST = "tests/unit/models/test_llama_exchange.py::test_"

MUTANTS = (
    one(
        "a slow answer of a model is taken for silence",
        EXCHANGE,
        "            return\n        self._heard_at = self._loop.time()\n",
        "            return\n",
        TEST + "silence_is_waited_for_so_long_and_a_slow_answer_for_ever",
    ),
    one(
        "a model that says nothing is waited for without end",
        EXCHANGE,
        "        if self._loop.time() < due_at:\n",
        "        if True:\n",
        TEST + "silence_is_waited_for_so_long_and_a_slow_answer_for_ever",
    ),
    one(
        "who hangs up doesn't wait until the model has let go",
        EXCHANGE,
        "            await self._gone\n",
        "",
        TEST + "who_wants_no_more_says_so_and_waits_until_the_server_lets_go",
    ),
    one(
        "half an answer of a model counts as a whole one",
        EXCHANGE,
        "        if self._is_half_closed and self._error is None:\n",
        "        if self._error is None:\n",
        TEST + "an_answer_that_breaks_off_fails_after_what_came_of_it",
    ),
    one(
        "a model's answer may fill the memory",
        EXCHANGE,
        "        if self._bytes > ANSWER_BYTES_MAX:\n",
        "        if False:\n",
        TEST + "an_answer_without_end_is_refused",
    ),
    one(
        "the first word of an answer waits for others",
        PACING,
        "if self._sent_at is None or now >=",
        "if self._sent_at is not None and now >=",
        PACED + "the_first_words_leave_at_once",
    ),
    one(
        "each word of an answer wakes the gateway",
        PACING,
        "now >= self._sent_at + PACE_S:",
        "now >= self._sent_at:",
        PACED + "what_comes_soon_after_leaves_together_with_what_comes_when_the_time_is_over",
    ),
    one(
        "a word that nothing follows isn't told before the end",
        PACING,
        "            self._timer = self._loop.call_at(now + PACE_S, self.flush)\n",
        "            pass\n",
        PACED + "what_nothing_follows_waits_no_longer_than_the_pace",
    ),
    one(
        "the last words before a model failed are lost",
        PROCESS,
        "        finally:\n            pace.flush()\n",
        "        finally:\n            pass\n",
        "tests/unit/models/test_embedded_client.py::"
        "test_what_was_made_before_the_model_failed_is_told_before_that",
    ),
)
