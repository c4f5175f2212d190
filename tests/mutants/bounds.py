"""Sabotages of budgets and limits: each lets too much pass, or keeps out what would fit."""

from tests.mutants.catalogue import CLIENT, INFERENCE, LEDGER, PIPELINE, Edit, Mutant

BUDGETS = "src/craton/economics/budgets.py"
LIMITS = "src/craton/economics/limits.py"
ADMISSION = "src/craton/economics/admission.py"
BUDGETS_TEST = "tests/unit/economics/test_budgets.py::"
LIMITS_TEST = "tests/unit/economics/test_limits.py::"
ADMISSION_TEST = "tests/unit/economics/test_admission.py::"
IN_PIPELINE_TEST = "tests/unit/economics/test_bounds_in_the_pipeline.py::"
BOUNDED_TURN = "tests/unit/apis/test_inference_bounds.py::"

MUTANTS = (
    Mutant(
        "a hold that isn't waited for",
        (
            Edit(
                INFERENCE,
                "                await self._admit(turn, principal)\n",
                "                self._hold(turn, principal, now_ms)\n",
            ),
        ),
        BOUNDED_TURN + "test_the_engine_begins_only_when_the_hold_was_granted",
    ),
    Mutant(
        "the engine may generate more than is held",
        (
            Edit(
                INFERENCE,
                "turn.asked = msgspec.structs.replace(asked, max_tokens=output_tokens)",
                "pass",
            ),
        ),
        BOUNDED_TURN + "test_the_engine_may_generate_as_much_as_is_held_and_no_more",
    ),
    Mutant(
        "a hold that wasn't granted is said again",
        (
            Edit(
                INFERENCE,
                " for turn in turns if turn.hold is not None]",
                " for turn in turns]",
            ),
        ),
        BOUNDED_TURN + "test_only_a_granted_hold_is_said_again_with_the_moment_it_was_taken",
    ),
    Mutant(
        "a refused post keeps its hold",
        (
            Edit(
                INFERENCE,
                "            turn.is_posting = error.code == UNANSWERED",
                "            turn.is_posting = True",
            ),
        ),
        BOUNDED_TURN
        + "test_a_post_that_was_refused_frees_its_hold_and_one_that_may_yet_come_keeps_it",
    ),
    Mutant(
        "a budget that forgets open holds",
        (
            Edit(
                BUDGETS,
                "if state.spent + state.held + rated.amount > state",
                "if state.spent + rated.amount > state",
            ),
        ),
        BUDGETS_TEST + "test_open_holds_count_and_a_post_releases_what_was_not_used",
    ),
    Mutant(
        "a budget that forgets what was spent",
        (Edit(BUDGETS, "state.spent += rated.amount", "pass"),),
        BUDGETS_TEST + "test_a_request_passes_that_fits_to_the_last_nano_and_none_that_does_not",
    ),
    Mutant(
        "a budget that is read from no postings at the start",
        (Edit(BUDGETS, "                    state.spent = _sum", "                    _sum"),),
        BUDGETS_TEST + "test_the_sum_is_read_from_postings_by_a_new_state_process",
    ),
    Mutant(
        "a post sent again is spent again",
        (
            Edit(
                LEDGER,
                "                spent.append((record, rated))\n",
                "                pass\n",
            ),
            Edit(
                LEDGER,
                "            if rated.amount and record.request_id not in known:\n",
                "            spent.append((record, rated))\n"
                "            if rated.amount and record.request_id not in known:\n",
            ),
        ),
        BUDGETS_TEST + "test_a_post_sent_again_after_a_restart_counts_once",
    ),
    Mutant(
        "what was not committed is spent",
        (
            Edit(
                LEDGER,
                "            transaction.after_commit.append(lambda: budgets.posted(spent))\n",
                "            budgets.posted(spent)\n",
            ),
        ),
        IN_PIPELINE_TEST + "test_a_post_that_was_not_committed_is_not_spent_and_frees_its_hold",
    ),
    Mutant(
        "a budget never renews",
        (Edit(BUDGETS, " and now_ms >= self.end_ms:", " and now_ms < 0:"),),
        BUDGETS_TEST + "test_a_day_renews_at_midnight_and_an_open_hold_counts_on_both_sides",
    ),
    Mutant(
        "a budget in another currency is passed over",
        (Edit(BUDGETS, "            if not same:\n", "            if False:\n"),),
        BUDGETS_TEST + "test_a_budget_in_another_currency_bounds_nothing_so_nothing_passes",
    ),
    Mutant(
        "a refused budget bounds all the same",
        (Edit(PIPELINE, "                del transaction.after_commit[after:]\n", ""),),
        IN_PIPELINE_TEST + "test_a_refused_budget_bounds_nobody",
    ),
    Mutant(
        "a new state process asks nobody what they hold",
        (
            Edit(
                ADMISSION,
                "        self._awaited = set(awaited)\n",
                "        self._awaited = set()\n",
            ),
        ),
        IN_PIPELINE_TEST
        + "test_after_a_restart_nobody_is_let_in_before_every_worker_said_what_it_holds",
    ),
    Mutant(
        "a worker says hello before it says what it holds",
        (
            Edit(
                CLIENT,
                "        if self.before_calls is not None:\n",
                "        channel.send(self._hello)\n        if self.before_calls is not None:\n",
            ),
        ),
        IN_PIPELINE_TEST
        + "test_after_a_restart_nobody_is_let_in_before_every_worker_said_what_it_holds",
    ),
    Mutant(
        "a dead worker's hold goes before the post it sent",
        (
            Edit(
                PIPELINE,
                "        if self._pending:\n            self._gone",
                "        if False:\n            self._gone",
            ),
        ),
        IN_PIPELINE_TEST
        + "test_the_hold_of_a_worker_that_died_lasts_until_the_post_it_sent_is_committed",
    ),
    Mutant(
        "a request that was given up takes its hold later",
        (
            Edit(
                ADMISSION,
                "for waiting in self._waiting if waiting.hold.request_id != id]",
                "for waiting in self._waiting]",
            ),
        ),
        ADMISSION_TEST + "test_a_request_that_was_given_up_while_it_waited_takes_no_hold",
    ),
    Mutant(
        "a limit that counts in whole minutes of the clock",
        (
            Edit(
                LIMITS,
                "self._times[0] <= now_ms - WINDOW_MS:",
                "self._times[0] < now_ms - now_ms % WINDOW_MS:",
            ),
        ),
        LIMITS_TEST + "test_no_sixty_seconds_see_more_than_the_limit_and_none_is_refused_that_fits",
    ),
    Mutant(
        "a limit that isn't corrected by the post",
        (
            Edit(
                LIMITS,
                "            moment.tokens += tokens\n            self.tokens",
                "            self.tokens",
            ),
        ),
        LIMITS_TEST + "test_what_was_used_counts_from_when_it_was_admitted",
    ),
    Mutant(
        "a limit that forgets the minute before a restart",
        (Edit(LIMITS, "        self._recount(connection, states)\n", ""),),
        LIMITS_TEST + "test_a_new_state_process_counts_the_last_minutes_records_and_the_open_holds",
    ),
)
