"""Sabotages of amounts above 64 bits: each loses, cuts or refuses what is exact."""

from tests.mutants.catalogue import one

BODY = "src/craton/store/body.py"
DOCTOR = "src/craton/cli/examination.py"
LEDGER = "src/craton/economics/ledger.py"
PIPELINE = "src/craton/store/pipeline.py"
RESPONSES = "src/craton/models/responses_kept.py"
STATEMENTS = "src/craton/economics/statements.py"
SUMS = "src/craton/economics/sums.py"
TABLES = "src/craton/economics/tables.py"
TEST = "tests/unit/economics/test_money.py::"
PIPELINE_TEST = "tests/unit/economics/test_bounds_in_the_pipeline.py::"
ADDED = TEST + "test_a_sum_in_two_parts_is_what_python_adds"
PARTS = TEST + "test_a_record_is_as_many_postings_as_it_takes"


MUTANTS = (
    one(
        "amounts are summed plainly",
        SUMS,
        "    return func.sum(upper), func.sum(lower)\n",
        "    return func.sum(upper - upper), func.sum(amounts)\n",
        TEST + "test_the_months_of_the_largest_contract_add_up_to_the_nano_unit",
    ),
    one(
        "sums are cut to a multiple of 2^32",
        SUMS,
        "    return ((upper or 0) << 32) + (lower or 0)\n",
        "    return (upper or 0) + ((lower or 0) >> 32) << 32\n",
        ADDED,
    ),
    one(
        "sums are cut to 64 bits",
        SUMS,
        "    return ((upper or 0) << 32) + (lower or 0)\n",
        "    whole = ((upper or 0) << 32) + (lower or 0)\n"
        "    return max(-(2**63), min(whole, 2**63 - 1))\n",
        TEST + "test_a_budget_above_64_bits_is_kept_to_the_nano_unit",
    ),
    one(
        "a transaction balances whose lower bits do",
        SUMS,
        "    return or_(lower % _WHOLE != 0, upper + lower // _WHOLE != 0)\n",
        "    return or_(lower % _WHOLE != 0, upper != upper)\n",
        ADDED,
    ),
    one(
        "a record costs what its first posting says",
        TABLES,
        "POSTINGS.c.line <= CUSTOMER_LINE",
        "POSTINGS.c.line == CUSTOMER_LINE",
        PARTS,
    ),
    one(
        "what one posting doesn't hold is left out",
        LEDGER,
        "            left -= part\n",
        "            left = 0\n",
        PARTS,
    ),
    one(
        "parts of a record lie where others are",
        LEDGER,
        "                line, following = following, following + 1\n",
        "                line += 1\n",
        PARTS,
    ),
    one(
        "one post that is too much refuses its whole group",
        LEDGER,
        "                replies.append(_too_much(record, rated))\n                continue\n",
        "                raise _too_much(record, rated)\n",
        PIPELINE_TEST + "test_what_is_too_much_to_post_is_refused_and_its_group_is_kept",
    ),
    one(
        "a post that was refused is answered as done",
        PIPELINE,
        "                    if isinstance(result, CratonError)\n",
        "                    if False\n",
        PIPELINE_TEST + "test_what_is_too_much_to_post_is_refused_and_its_group_is_kept",
    ),
    one(
        "a response whose post was refused is kept",
        RESPONSES,
        "            if isinstance(reply, CratonError):\n",
        "            if False:\n",
        "tests/unit/models/test_responses_kept.py::"
        "test_what_cant_be_posted_is_not_kept_and_others_are",
    ),
    one(
        "nothing above 64 bits can be said between processes",
        BODY,
        "    except OverflowError:\n",
        "    except MemoryError:\n",
        PIPELINE_TEST + "test_money_above_64_bits_is_said_as_it_is",
    ),
    one(
        "what was over a hold is more than a snapshot of metrics takes",
        LEDGER,
        "float(rated.amount - held.amount)",
        "rated.amount - held.amount",
        TEST + "test_an_answer_above_64_bits_is_posted_beside_others_and_over_its_hold",
    ),
    one(
        "doctor sums plainly",
        DOCTOR,
        '    "HAVING sum(amount & 4294967295) % 4294967296 <> 0 OR "\n'
        '    "sum(amount >> 32) + sum(amount & 4294967295) / 4294967296 <> 0) AS unbalanced"\n',
        '    "HAVING sum(amount) <> 0) AS unbalanced"\n',
        "tests/unit/cli/test_cli_doctor.py::test_a_ledger_above_64_bits_balances_or_does_not",
    ),
    one(
        "what is told as a decimal is told as a float",
        STATEMENTS,
        "        found.append(Balance(ledger_account, currency, amount, count, decimal(amount)))\n",
        "        text = str(amount / 10**9)\n"
        "        found.append(Balance(ledger_account, currency, amount, count, text))\n",
        "tests/unit/fleet/test_commitment_money.py::"
        "test_138_thousand_million_come_out_to_the_nano_unit",
    ),
)
