"""Sabotages of what becomes of what is over: found by whoever asks, and no cost to anybody else."""

from tests.mutants.catalogue import one

FLEET = "src/craton/fleet/"
STATE, LIFECYCLE, CALENDAR = FLEET + "fleet.py", FLEET + "lifecycle.py", FLEET + "calendar.py"
PAST, OFFICE, VIEWS = FLEET + "past.py", FLEET + "office.py", FLEET + "views.py"
ENDED = "src/craton/bootstrap/migrations/versions/r0003_ended_leases.py"

OVER_TEST = "tests/unit/fleet/test_over.py::"
CALENDAR_TEST = "tests/unit/fleet/test_calendar.py::"
MIGRATE_TEST = "tests/unit/store/test_migrate.py::"

LEAVES = OVER_TEST + (
    "test_a_reservation_leaves_memory_a_month_after_its_end_and_its_id_still_finds_it"
)
TOKEN = OVER_TEST + (
    "test_a_client_token_makes_another_reservation_once_the_first_is_over_for_long"
)
MOVES = MIGRATE_TEST + "test_leases_that_are_over_move_and_the_highest_token_stays_known"


MUTANTS = (
    one(
        "every lease that ever ended is read at each start",
        STATE,
        "transaction.move(LEASES, ENDED_LEASES, record.id, record, name=_name(record))",
        "transaction.put(LEASES, record.id, record)",
        OVER_TEST + "test_a_start_reads_what_goes_on_however_much_is_over",
    ),
    one(
        "the token of a lease that is over makes another lease",
        STATE,
        "    for kind in (LEASES, ENDED_LEASES):\n",
        "    for kind in (LEASES,):\n",
        OVER_TEST + "test_a_lease_that_is_over_is_found_by_id_and_by_token_and_ends_once",
    ),
    one(
        "a token that is a lease's id gets that lease",
        STATE,
        "        if found is not None and found.client_token != token:\n",
        "        if found is not None and found.id != token:\n",
        OVER_TEST + "test_a_client_token_that_is_the_id_of_a_lease_is_refused",
    ),
    one(
        "fencing tokens of a commit that failed count as written down",
        STATE,
        "            self.token, self._tokens_end = before, end_before\n",
        "            self.token = before\n",
        OVER_TEST + "test_no_fencing_token_is_given_out_twice_whatever_was_kept",
    ),
    one(
        "fencing tokens are written down once",
        STATE,
        "        if self.token > end_before:\n",
        "        if not end_before:\n",
        OVER_TEST + "test_fencing_tokens_go_on_where_those_written_ahead_are_used_up",
    ),
    one(
        "who was let in goes on waiting",
        STATE,
        "            del self._waiting[before.id]\n",
        "            pass\n",
        OVER_TEST + "test_who_waits_is_known_whatever_was_taken_back",
    ),
    one(
        "a lease that ended is still inside its reservation",
        STATE,
        "            del inside[before.id]\n",
        "            pass\n",
        OVER_TEST + "test_a_lease_whose_end_was_not_kept_is_as_it_was",
    ),
    one(
        "what is over stays in the calendars",
        LIFECYCLE,
        "        transaction.after_commit.append(lambda: self.fleet.forget(now_s))\n",
        "",
        OVER_TEST + "test_a_year_of_blocks_and_leases_leaves_few_steps_in_the_calendars",
    ),
    one(
        "the calendars forget what may still be taken back",
        LIFECYCLE,
        "        transaction.after_commit.append(lambda: self.fleet.forget(now_s))\n",
        "        self.fleet.forget(now_s)\n",
        OVER_TEST + "test_the_calendars_are_as_they_were_where_forgetting_was_not_kept",
    ),
    one(
        "a clock that is set back finds no calendar",
        CALENDAR,
        "            self._times[0] = beginning\n",
        "",
        CALENDAR_TEST + "test_a_clock_that_is_set_back_finds_the_past_as_it_is_known_now",
    ),
    one(
        "leases that ended before are read for ever",
        ENDED,
        'if lease.state == "ended"]',
        'if lease.state == "over"]',
        MOVES,
    ),
    one(
        "fencing tokens begin anew in a database of before",
        ENDED,
        "        highest = max(highest, *(lease.token for _, _, lease in leases))\n",
        "",
        MOVES,
    ),
    one(
        "reservations that are over stay in memory",
        PAST,
        "    for each in found:\n        fleet.retire(transaction, each)\n",
        "",
        LEAVES,
    ),
    one(
        "a reservation leaves memory when it ends",
        PAST,
        "ended_s + KEPT_S <= now_s",
        "ended_s <= now_s",
        LEAVES,
    ),
    one(
        "whoever asks is told of a reservation that is over for long",
        OFFICE,
        'find(PAST_RESERVATIONS, query.id or "")\n'
        "        if found is None or query.account not in (None, found.account):\n",
        'find(PAST_RESERVATIONS, query.id or "")\n        if found is None:\n',
        LEAVES,
    ),
    one(
        "what was given back before its end goes on being idle",
        VIEWS,
        "        ended_s = over_s(reservation) or reservation.end_s\n",
        "        ended_s = reservation.end_s\n",
        LEAVES,
    ),
    one(
        "the client token of what is over for long stays in its name",
        STATE,
        "PAST_RESERVATIONS, over.id, over, name=over.id)",
        "PAST_RESERVATIONS, over.id, over, name=_name(over))",
        TOKEN,
    ),
    one(
        "client tokens stay in memory for ever",
        STATE,
        "            _set(self.by_token, (over.account, over.client_token), None, "
        "transaction.undo)\n",
        "            pass\n",
        TOKEN,
    ),
    one(
        "a reservation leaves memory with a commit that failed",
        STATE,
        "        _set(self.reservations, over.id, None, transaction.undo)\n",
        "        del self.reservations[over.id]\n",
        OVER_TEST + "test_a_reservation_whose_leaving_was_not_kept_stays",
    ),
    one(
        "a fleet of reservations loses what it had",
        PAST,
        "    if reservation.commitment is not None or reservation.fleet is not None:\n",
        "    if reservation.commitment is not None:\n",
        OVER_TEST + "test_what_a_fleet_of_reservations_has_stays_with_it",
    ),
    one(
        "all that is over leaves in one commit",
        PAST,
        "islice(over, AT_ONCE_MAX)",
        "islice(over, None)",
        OVER_TEST + "test_more_than_leave_at_once_leave_one_look_after_the_other",
    ),
)
