"""Sabotages of the fleet's promises: notice, order, credit, bills, fences, shares, maintenance."""

from tests.mutants.catalogue import Edit, Mutant, one

FLEET = "src/craton/fleet/"
LEASES, LIFECYCLE, LOSSES = FLEET + "leases.py", FLEET + "lifecycle.py", FLEET + "losses.py"
ROOM, SHARES, OFFERS = FLEET + "room.py", FLEET + "shares.py", FLEET + "offers.py"
BOOK, OFFERING, REPLACED = FLEET + "pool_book.py", FLEET + "offering.py", FLEET + "replacement.py"
MAINTENANCE, WATCH, VIEWS = FLEET + "maintenance.py", FLEET + "watch.py", FLEET + "views.py"
RESERVATIONS, STATE = FLEET + "reservations.py", FLEET + "fleet.py"
CHARGES = FLEET + "charges.py"

UNIT = "tests/unit/fleet/"
LEASES_TEST, LIFE_TEST = UNIT + "test_leases.py::", UNIT + "test_lifecycle.py::"
LOSSES_TEST, OFFERS_TEST = UNIT + "test_losses.py::", UNIT + "test_offers.py::"
PROMISES_TEST, SHARES_TEST = UNIT + "test_reservations.py::", UNIT + "test_shares.py::"
AWAY_TEST, WATCH_TEST = UNIT + "test_maintenance.py::", UNIT + "test_watch.py::"
VIEWS_TEST, REPLACED_TEST = UNIT + "test_views.py::", UNIT + "test_replacement.py::"
BOOK_TEST = UNIT + "test_pool_book.py::"


MUTANTS = (
    one(
        "a block starts before another leaves its hosts",
        LIFECYCLE,
        "(due, _is_begun(record), record.id)",
        "(due, not _is_begun(record), record.id)",
        LIFE_TEST + "test_one_block_starts_on_the_hosts_another_leaves_that_moment",
    ),
    one(
        "a block starts without notice to who is in its way",
        LIFECYCLE,
        "    return reservation.start_s - NOTICE_S\n",
        "    return reservation.start_s\n",
        LIFE_TEST + "test_what_may_be_interrupted_has_two_minutes_before_a_block_starts",
    ),
    one(
        "what a block needs in two minutes is given away",
        ROOM,
        "        if not units:\n            return False\n",
        "        if units >= 0:\n            return False\n",
        LIFE_TEST + "test_nothing_new_starts_on_what_a_block_needs_in_two_minutes",
    ),
    one(
        "a block that lacks hosts isn't told of its end",
        LIFECYCLE,
        "return min(next_s, reservation.retry_s) if state",
        "return reservation.retry_s if state",
        LIFE_TEST + "test_a_block_that_lacks_hosts_is_told_of_its_end_all_the_same",
    ),
    one(
        "what is missing isn't credited",
        LIFECYCLE,
        "        self._credit(transaction, reservation)\n        closed",
        "        closed",
        LIFE_TEST + "test_what_was_missing_to_the_end_is_credited_to_the_end",
    ),
    one(
        "what was missing before a repair isn't credited",
        LOSSES,
        "            short_s=reservation.short_s + missed_s,\n",
        "",
        LIFE_TEST + "test_what_could_not_be_given_is_credited_to_the_nano",
    ),
    one(
        "a late start isn't credited",
        LIFECYCLE,
        "short_s=late_s * reservation.units if late_s >= LATE_S else 0",
        "short_s=0",
        LIFE_TEST + "test_a_block_that_starts_late_is_credited_for_the_time_before",
    ),
    one(
        "nothing is given where not all can be",
        LOSSES,
        "        low, high = (middle, high) if can(middle) else (low, middle)\n",
        "        high = middle\n",
        LIFE_TEST
        + "test_a_block_gets_as_many_hosts_as_there_are_and_the_rest_when_they_are_repaired",
    ),
    Mutant(
        "what wasn't kept isn't due again",
        (
            Edit(
                LIFECYCLE,
                "            heapq.heappush(self._agenda, entry)\n",
                "            del entry\n",
            ),
            Edit(STATE, "undo.append(lambda: self.on_entered(before))", "del before"),
        ),
        LIFE_TEST + "test_what_could_not_be_kept_is_due_again",
    ),
    one(
        "a lease is paid until somebody looks",
        LEASES,
        "        end_s = min(end_s, lease.until_s)\n",
        "        end_s = min(end_s, now_s)\n",
        LIFE_TEST + "test_a_lease_is_paid_until_its_own_end_however_late_that_is_seen",
    ),
    one(
        "any token ends a lease",
        LEASES,
        "        if command.token is not None and command.token != lease.token:\n",
        "        if command.token is not None and command.token > lease.token:\n",
        LEASES_TEST
        + "test_tokens_grow_over_restarts_and_whoever_shows_an_older_one_is_turned_away",
    ),
    one(
        "tokens begin anew after a restart",
        STATE,
        "            self.token = max(self.token, fencing.token)\n",
        "",
        LEASES_TEST
        + "test_tokens_grow_over_restarts_and_whoever_shows_an_older_one_is_turned_away",
    ),
    one(
        "on demand breaks a promise",
        ROOM,
        "        if lease.kind is LeaseKind.ON_DEMAND and not book.fits(",
        "        if lease.kind is LeaseKind.RESERVED and not book.fits(",
        LEASES_TEST + "test_on_demand_is_refused_where_it_would_break_a_promise",
    ),
    one(
        "more are told while room is on its way",
        ROOM,
        "        ending = [each for each in self._of(book) if each.state is LeaseState.ENDING]\n",
        "        ending: list[Lease] = []\n",
        LEASES_TEST + "test_nobody_else_is_told_while_room_is_on_its_way",
    ),
    one(
        "who can't pay is let in",
        LEASES,
        "        if not self.can_pay(granted, transaction.now_ms):\n",
        "        if False:\n",
        LEASES_TEST + "test_who_could_pay_no_more_when_room_comes_is_not_let_in",
    ),
    one(
        "a lease starts on a cordoned host of a reservation",
        LEASES,
        "            set_aside=self._room.closed(book, reservation.hosts, now_s),\n",
        "",
        LEASES_TEST + "test_nothing_new_starts_on_a_cordoned_host_of_a_reservation",
    ),
    one(
        "a reservation's loss isn't billed first",
        LOSSES,
        "        reservation = self._promises.bill(transaction, reservation, now_s)\n        held",
        "        held",
        PROMISES_TEST + "test_a_broken_reservation_is_billed_for_what_it_has_and_can_be_given_back",
    ),
    one(
        "two searches make the same offer",
        OFFERS,
        "        self._last_number += 1\n",
        "",
        PROMISES_TEST + "test_who_searches_twice_and_buys_twice_has_two_blocks",
    ),
    one(
        "an offer is sold when no notice can be given any more",
        OFFERS,
        "        return now_s > min(sealed.made_s + GOOD_FOR_S, start_s)\n",
        "        return now_s > sealed.made_s + GOOD_FOR_S\n",
        PROMISES_TEST + "test_an_offer_that_starts_at_once_holds_until_notice_must_be_given",
    ),
    one(
        "anybody buys another's offer",
        OFFERS,
        "        if sealed is None or sealed.account != account:\n",
        "        if sealed is None:\n",
        OFFERS_TEST + "test_an_offer_is_of_one_account_and_cannot_be_forged",
    ),
    one(
        "an offer is believed unsealed",
        OFFERS,
        "            if not hmac.compare_digest(seal, self._mac(body)):\n",
        "            if not seal:\n",
        OFFERS_TEST + "test_an_offer_is_of_one_account_and_cannot_be_forged",
    ),
    one(
        "what is kept for an account is offered to others",
        OFFERS,
        "            and book.plan.exclusive_to in (None, query.owner.account)\n",
        "",
        OFFERS_TEST + "test_what_is_kept_for_an_account_is_offered_to_nobody_else",
    ),
    one(
        "an account has any number of instances",
        RESERVATIONS,
        "            terms.check_total(hosts, self.fleet.in_use(owner.account))\n",
        "            terms.check_total(hosts, 0)\n",
        PROMISES_TEST + "test_an_account_has_at_most_256_instances_in_blocks",
    ),
    one(
        "a spare that stood in is kept",
        BOOK,
        "            self.set_in_use(host, False, undo)\n        self._settle",
        "            pass\n        self._settle",
        LOSSES_TEST + "test_a_block_gets_a_spare_where_all_else_is_taken_and_gives_it_back",
    ),
    one(
        "a host of an UltraServer is replaced alone",
        LOSSES,
        "if book.unit_of(h) in units], np.int32)\n",
        "if h in gone], np.int32)\n",
        LOSSES_TEST + "test_an_ultraserver_is_replaced_whole_and_all_that_ran_on_it_ends",
    ),
    one(
        "all interruptible leases are told for one UltraServer",
        ROOM,
        "            if self._suffices(book, units, chosen - {id}, now_s):\n",
        "            if chosen.update(rank):\n",
        LIFE_TEST + "test_only_leases_of_the_ultraservers_that_are_needed_are_told",
    ),
    one(
        "a silent host stops everything once it is gone",
        LOSSES,
        "            if not self._is_host(name):\n                continue\n",
        "",
        WATCH_TEST + "test_a_silent_host_that_is_in_the_fleet_no_more_is_forgotten",
    ),
    one(
        "a stale holder isn't told",
        WATCH,
        "if lease is None or lease.token != token or",
        "if lease is None or",
        WATCH_TEST + "test_a_holder_is_told_that_it_holds_nothing_any_more",
    ),
    one(
        "who is above a share takes what others borrowed",
        SHARES,
        "        if own + lease.wanted_milli > share * WHOLE_MILLI:\n",
        "        if False:\n",
        SHARES_TEST + "test_nobody_gets_others_chips_beyond_its_share",
    ),
    one(
        "an account is left less than its share",
        SHARES,
        "                if held - each.milli >= most:\n",
        "                if held > most:\n",
        SHARES_TEST + "test_nobody_is_left_less_than_its_share",
    ),
    one(
        "the queue is counted once for all",
        SHARES,
        "                held[granted.account, self._chip(granted)] += granted.milli\n",
        "                pass\n",
        SHARES_TEST + "test_what_one_is_given_counts_before_the_next_is_served",
    ),
    one(
        "what is away and broken counts twice",
        OFFERING,
        "                    gone |= each.units\n",
        "                    gone |= {-1 - unit for unit in each.units}\n",
        BOOK_TEST + "test_what_is_away_counts_for_its_time_and_together_with_what_is_broken_once",
    ),
    one(
        "maintenance breaks a promise",
        MAINTENANCE,
        "                if missing > _missing(was_short[key], start_s, end_s):\n",
        "                if missing < _missing(was_short[key], start_s, end_s):\n",
        AWAY_TEST + "test_maintenance_that_would_break_a_promise_is_refused_and_changes_nothing",
    ),
    one(
        "maintenance takes back what broke meanwhile",
        MAINTENANCE,
        "                if mark.state is HostState.MAINTENANCE and mark.note == window.id:\n",
        "                if mark:\n",
        AWAY_TEST + "test_what_broke_meanwhile_stays_set_aside",
    ),
    one(
        "a block goes to hosts that will be away",
        LOSSES,
        "        if staying is not None:\n",
        "        if staying is not None and not len(staying):\n",
        AWAY_TEST + "test_a_block_goes_to_hosts_that_stay",
    ),
    one(
        "a restart forgets maintenance",
        STATE,
        "        self.on_restored(now_s)\n",
        "",
        AWAY_TEST + "test_windows_outlive_restarts_other_files_and_late_looks",
    ),
    one(
        "hosts keep their numbers and not their names",
        REPLACED,
        "        found.append(place.first)\n",
        "        found.append(hosts[len(found)])\n",
        REPLACED_TEST + "test_what_holds_hosts_keeps_them_by_name_when_they_are_numbered_otherwise",
    ),
    one(
        "a file that takes promised units away is applied",
        REPLACED,
        "        short = book.calendar.short(now_s, FOREVER_S)\n",
        "        short = book.calendar.short(now_s, FOREVER_S)[:0]\n",
        REPLACED_TEST + "test_a_file_with_fewer_units_than_are_promised_is_refused",
    ),
    one(
        "one price that is gone stops all that is due",
        CHARGES,
        "        if chip_s > free_s and self.is_priced(resource, meter, at_ms):\n",
        "        if chip_s > free_s:\n",
        UNIT + "test_charges.py::test_a_price_that_is_gone_stops_nothing_that_is_due",
    ),
    one(
        "what is sold below its cost isn't flagged",
        VIEWS,
        "            if cost is not None and price[0] < cost:\n",
        "            if cost is not None and price[0] < 0:\n",
        VIEWS_TEST + "test_a_block_below_its_cost_is_flagged",
    ),
)
