"""Sabotages of contracts over years: what they keep, count, bill and forbid."""

from tests.mutants.catalogue import Edit, Mutant

FLEET = "src/craton/fleet/"
TERMS = FLEET + "commitment_terms.py"
CAPACITY = FLEET + "commitment_capacity.py"
DESK = FLEET + "commitments.py"
POSTINGS = FLEET + "commitment_postings.py"
FILE = FLEET + "commitment_file.py"
CHARGES = FLEET + "charges.py"
NATIVE = "src/craton/apis/native/commitments.py"
TESTS = "tests/unit/fleet/test_commitments.py::"
TERMS_TEST = "tests/unit/fleet/test_commitment_terms.py::"
FILE_TEST = "tests/unit/fleet/test_commitment_file.py::"
WORLDS_TEST = "tests/unit/fleet/test_commitment_worlds.py::"
NATIVE_TEST = "tests/unit/apis/native/test_native_commitments.py::"

MUTANTS = (
    Mutant(
        "a commitment's months are each rounded for themselves",
        (
            Edit(
                TERMS,
                "return _steps([amount * each // (sums[-1] or 1) for each in sums])",
                "return [amount * each // (sums[-1] or 1) for each in weights]",
            ),
        ),
        TERMS_TEST + "test_the_months_amounts_add_up_to_the_total",
    ),
    Mutant(
        "a commitment's parts of chip-hours are each rounded for themselves",
        (
            Edit(
                TERMS,
                " - delivered_by(unit, delivery, start_s)",
                " * 0 + delivered_by(unit, delivery, delivery.start_s + max(0, min(end_s, "
                "delivery.end_s) - max(start_s, delivery.start_s)))",
            ),
        ),
        TERMS_TEST + "test_the_months_quantities_add_up_to_what_is_delivered",
    ),
    Mutant(
        "rounding makes a commitment's month cost more than the whole",
        (Edit(TERMS, "extra=min(extra, counted.amount - due + credit),", "extra=extra,"),),
        TERMS_TEST + "test_any_months_bill_is_fair",
    ),
    Mutant(
        "a commitment credits nothing for what wasn't delivered",
        (
            Edit(
                TERMS,
                "credit = -(-due * (committed - counted.delivered)",
                "credit = -(-due * 0",
            ),
        ),
        TESTS + "test_what_the_operator_didnt_deliver_is_credited",
    ),
    Mutant(
        "what a commitment rolls over is never used up",
        (
            Edit(
                TERMS,
                "return counted.banked - made.drawn + made.unused",
                "return counted.banked + made.unused",
            ),
        ),
        TESTS + "test_what_wasnt_used_rolls_over_until_the_year_ends",
    ),
    Mutant(
        "what a commitment rolls over lasts beyond the year",
        (Edit(TERMS, "if following.year != month.year:", "if False:"),),
        TERMS_TEST + "test_what_rolls_over_ends_with_its_time",
    ),
    Mutant(
        "a commitment's month is posted before what runs is counted",
        (Edit(DESK, "        self._count_running(transaction, commitment)\n", ""),),
        TESTS + "test_months_that_nobody_was_there_for_are_posted_one_by_one",
    ),
    Mutant(
        "use of a commitment all counts in the month in which it is billed",
        (
            Edit(
                DESK,
                "overlap_s = min(end_s, month.end_s) - max(begin_s, month.start_s)",
                "overlap_s = end_s - begin_s if month.start_s < end_s <= month.end_s else 0",
            ),
        ),
        TESTS + "test_a_lease_over_the_end_of_a_month_counts_in_both_to_the_second",
    ),
    Mutant(
        "use of a commitment stays counted though its commit failed",
        (
            Edit(
                DESK,
                "        _keep(self.uses, id, use, transaction.undo)",
                "        _keep(self.uses, id, use, [])",
            ),
        ),
        TESTS + "test_a_month_whose_commit_fails_is_posted_once_when_it_doesnt",
    ),
    Mutant(
        "what a commitment covers is billed on demand besides",
        (
            Edit(CHARGES, "chip_s - free_s", "chip_s"),
            Edit(CHARGES, "if chip_s > free_s and self", "if self"),
        ),
        "tests/unit/fleet/test_commitments.py::test_use_outside_burns_the_commitment_down_too",
    ),
    Mutant(
        "what nobody began counts as delivered",
        (Edit(CAPACITY, "SCHEDULED:  # nobody was there to begin it", "EXPIRED:"),),
        "tests/unit/fleet/test_commitments.py::"
        "test_months_before_anybody_began_it_are_credited_and_no_month_after",
    ),
    Mutant(
        "anybody's use burns a commitment down",
        (Edit(DESK, "if each.account == payer.account and mine:", "if mine:"),),
        TESTS + "test_others_burn_nothing_down",
    ),
    Mutant(
        "a commitment that refuses more gives more",
        (Edit(DESK, "is Above.REFUSED\n", "is Above.ON_DEMAND\n"),),
        TESTS + "test_use_above_is_refused_where_the_contract_says_so",
    ),
    Mutant(
        "an exclusive commitment is forgotten at a restart",
        (Edit(DESK, "        self.enforce([])\n", ""),),
        TESTS + "test_nobody_else_gets_anything_where_the_contract_is_exclusive",
    ),
    Mutant(
        "an exclusive commitment throws others out",
        (Edit(CAPACITY, "        if holders:\n", "        if False:\n"),),
        TESTS + "test_an_exclusive_contract_is_refused_where_others_are",
    ),
    Mutant(
        "a commitment promises what the fleet doesn't have",
        (
            Edit(
                CAPACITY,
                "units = min(-(-missing // each), book.free(start_s, delivery.end_s))",
                "units = -(-missing // each)",
            ),
        ),
        TESTS + "test_what_the_fleet_cant_hold_is_missing_and_not_promised",
    ),
    Mutant(
        "a commitment's megawatts are rounded down to hosts",
        (
            Edit(
                CAPACITY,
                "units = min(-(-missing // each), book.free(start_s, delivery.end_s))",
                "units = min(missing // each, book.free(start_s, delivery.end_s))",
            ),
        ),
        TESTS + "test_megawatts_are_units_by_what_their_hosts_draw",
    ),
    Mutant(
        "trying a commitment keeps its units",
        (
            Edit(
                DESK,
                "            take_back(undo)\n",
                "            pass\n",
            ),
        ),
        TESTS + "test_a_sketch_says_the_same_and_keeps_nothing",
    ),
    Mutant(
        "hosts that break under a commitment are delivered all the same",
        (
            Edit(
                CAPACITY,
                "return found.short_s + found.short_units * since_s",
                "return found.short_s",
            ),
        ),
        TESTS + "test_hosts_that_break_and_cant_be_replaced_are_credited_by_the_second",
    ),
    Mutant(
        "a commitment that was ended keeps its units",
        (Edit(DESK, "        self.capacity.release(transaction, commitment)\n", ""),),
        TESTS + "test_ending_it_early_bills_until_then_and_lets_everything_go",
    ),
    Mutant(
        "a commitment's fee is of all that is left, not of what take-or-pay asks",
        (
            Edit(
                DESK,
                "fee = rest * terms.take_or_pay_permille * terms.termination_permille",
                "fee = rest * PERMILLE * PERMILLE",
            ),
        ),
        TESTS + "test_ending_it_before_its_term_costs_its_fee_alone",
    ),
    Mutant(
        "a month of a commitment above 64 bits is signed",
        (Edit(FILE, "if most > MONTH_NANOS_MAX:", "if False:"),),
        FILE_TEST + "test_what_is_wrong_is_refused_with_its_line",
    ),
    Mutant(
        "the lines of a commitment's month have one id",
        (
            Edit(
                POSTINGS,
                'request_id=_posting_id(at_ms, f"{commitment.id}/{month.key}/{what}"),',
                'request_id=_posting_id(at_ms, f"{commitment.id}/{month.key}"),',
            ),
        ),
        TESTS + "test_what_the_operator_didnt_deliver_is_credited",
    ),
    Mutant(
        "a member sees anybody's commitment",
        (
            Edit(
                NATIVE,
                "query = StatementQuery(asked.id, asked.month, caller.scope(None))",
                "query = StatementQuery(asked.id, asked.month, None)",
            ),
        ),
        NATIVE_TEST + "test_a_member_sees_its_own_and_an_operator_all",
    ),
)
