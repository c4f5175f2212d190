"""Sabotages of the exchange with llama.cpp's server."""

from tests.mutants.catalogue import one

EXCHANGE = "src/craton/models/engines/embedded/llama_exchange.py"
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
)
