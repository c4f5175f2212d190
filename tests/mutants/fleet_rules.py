"""Sabotages of the rules: who waits, who is told, whose a token is, what maintenance does."""

from tests.mutants.catalogue import one

FLEET = "src/craton/fleet/"
KEPT, ROOM, MOST = FLEET + "kept_room.py", FLEET + "room.py", FLEET + "placement_most.py"
LEASES, SHARES, LOSSES = FLEET + "leases.py", FLEET + "shares.py", FLEET + "losses.py"
TOKENS, PARTS, TEAMS = (
    FLEET + "client_tokens.py",
    FLEET + "parts.py",
    FLEET + "reservation_fleets.py",
)
BOOK = FLEET + "pool_book.py"
AWAY, LIFECYCLE, STATE = FLEET + "maintenance.py", FLEET + "lifecycle.py", FLEET + "fleet.py"
BLOCKS = "src/craton/apis/ec2/capacity_blocks.py"
UPKEEP = "src/craton/apis/native/fleet_upkeep.py"

UNIT = "tests/unit/fleet/"
WAIT, DRAIN = UNIT + "test_waiting.py::test_", UNIT + "test_drain.py::test_"
EDGES, TOKEN = UNIT + "test_maintenance_edges.py::test_", UNIT + "test_client_tokens.py::test_"
SHARE, CHIPS = UNIT + "test_shares.py::test_", UNIT + "test_chip_losses.py::test_"
EC2 = "tests/unit/apis/ec2/test_ec2_capacity.py::test_"
NATIVE = "tests/unit/apis/native/test_native_fleet_upkeep.py::test_"


MUTANTS = (
    one(
        "a host with a broken chip is promised as a whole one",
        BOOK,
        "if self.pool.broken[first:last].any():",
        "if False:",
        CHIPS + "nobody_gets_a_chip_that_failed_and_others_of_its_host_are_given_away",
    ),
    one(
        "what runs on a chip that fails goes on",
        LOSSES,
        "if lease.masks[lease.hosts.index(hosts.first)] & mask_of(chips):",
        "if False:",
        CHIPS + "what_runs_on_a_chip_that_fails_ends_and_what_runs_beside_it_goes_on",
    ),
    one(
        "what runs beside a chip that fails ends",
        LOSSES,
        "if lease.masks[lease.hosts.index(hosts.first)] & mask_of(chips):",
        "if True:",
        CHIPS + "what_runs_on_a_chip_that_fails_ends_and_what_runs_beside_it_goes_on",
    ),
    one(
        "a promise keeps the host whose chip failed",
        LOSSES,
        "        self._replace(transaction, hosts, told, EndReason.CHIP_LOST)\n",
        "",
        CHIPS + "a_promise_is_of_whole_hosts_and_leaves_one_whose_chip_fails",
    ),
    one(
        "a new state process knows of no broken chip",
        STATE,
        "            self.broken[broken.host] = broken\n",
        "            pass\n",
        CHIPS + "broken_chips_are_known_after_a_restart_and_under_another_fleet_file",
    ),
    one(
        "a spare with a broken chip counts as one",
        BOOK,
        " and not self.pool.broken[host]",
        "",
        CHIPS + "a_spare_with_a_broken_chip_stands_in_for_nobody",
    ),
    one(
        "a chip that is mended mends the others of its host",
        LOSSES,
        "hosts, before - chips, command.note)",
        "hosts, set(), command.note)",
        CHIPS + "chips_work_again_one_by_one_or_all_with_their_host",
    ),
    one(
        "a host is taken into use again with chips that don't work",
        LOSSES,
        "                self._mend_chips(transaction, hosts)\n",
        "                pass\n",
        CHIPS + "chips_work_again_one_by_one_or_all_with_their_host",
    ),
    one(
        "a broken chip stays broken although its failure couldn't be kept",
        BOOK,
        "        self._put_chip(host, chip, not works)\n",
        "        pass\n",
        CHIPS + "a_failure_that_could_not_be_kept_did_not_happen",
    ),
    one(
        "a late second thought about maintenance lengthens what was over",
        AWAY,
        "        if window.start_s <= now_s:\n            return\n",
        "",
        EDGES + "what_was_to_end_before_is_given_no_more_time_by_a_late_second_thought",
    ),
    one(
        "what could never be had is waited for",
        ROOM,
        "if could_hold(book, lease, asked)]\n        if not could:",
        "if book]\n        if not could:",
        WAIT + "nobody_waits_for_more_than_could_ever_be_had",
    ),
    one(
        "spares are waited for",
        MOST,
        "~book.plan.spare",
        "(book.plan.spare | True)",
        WAIT + "nobody_waits_for_more_than_could_ever_be_had",
    ),
    one(
        "hosts that no row can feed are waited for",
        MOST,
        "        fed = np.minimum(fed, power.row_cap_w[layout.power_rows] // layout.draw_w)\n",
        "",
        WAIT + "the_power_of_rows_and_sites_bounds_what_is_waited_for",
    ),
    one(
        "what is broken counts as never to come back",
        MOST,
        "~book.plan.spare",
        "(book.pool.usable & ~book.plan.spare)",
        WAIT + "what_is_set_aside_comes_back_and_is_waited_for",
    ),
    one(
        "nobody looks at a larger file",
        STATE,
        "        # There may be more now than there was.\n        self.freed = True\n",
        "",
        WAIT + "who_waits_gets_what_a_larger_file_adds",
    ),
    one(
        "room is made in pools that are somebody else's",
        LEASES,
        "            and book.plan.exclusive_to in (None, lease.account)\n",
        "",
        WAIT + "nobody_makes_way_in_a_pool_that_the_asker_may_not_have",
    ),
    one(
        "small requests pass a gang for ever",
        SHARES,
        "    return now_s - lease.created_ms // 1000 >= PATIENCE_S\n",
        "    return now_s < lease.created_ms // 1000\n",
        WAIT + "no_stream_of_small_requests_starves_a_gang",
    ),
    one(
        "a gang that waits keeps the whole pool",
        KEPT,
        "    first = (_rank(pool, offering, part) < wanted) & _could",
        "    first = (_rank(pool, offering, part) >= 0) & _could",
        WAIT + "no_more_is_kept_than_was_asked_for",
    ),
    one(
        "a gang that must lie together is kept hosts anywhere",
        KEPT,
        "    if asked.is_one_leaf:\n        return np.arange(layout.leaves, dtype=np.int32)\n",
        "",
        WAIT + "a_gang_that_must_lie_together_is_kept_the_leaf_with_the_most_room",
    ),
    one(
        "nothing passes a gang, whenever it ends",
        ROOM,
        "        if lease.seconds is not None and now_s + lease.seconds <= until_s:\n",
        "        if lease.seconds is not None and now_s > until_s:\n",
        WAIT + "what_ends_before_a_gang_could_begin_passes_it",
    ),
    one(
        "what ends passes a gang however late",
        ROOM,
        "        if lease.seconds is not None and now_s + lease.seconds <= until_s:\n",
        "        if lease.seconds is not None:\n",
        WAIT + "what_ends_before_a_gang_could_begin_passes_it",
    ),
    one(
        "what may be interrupted waits behind a gang",
        KEPT,
        "    if lease.kind is not other.kind:\n        return True\n",
        "",
        WAIT + "what_may_be_interrupted_uses_what_is_kept_and_goes_when_it_is_needed",
    ),
    one(
        "whole hosts alone are kept",
        KEPT,
        "    offering = np.flatnonzero(pool.offered).astype(np.int32)\n",
        "    offering = np.flatnonzero(pool.offered == pool.full).astype(np.int32)\n",
        WAIT + "chips_of_one_host_are_kept_too",
    ),
    one(
        "what is borrowed is compared as a part of a share",
        SHARES,
        "            rank = float(max(0, has - share)) if is_above else has / max(1, share)\n",
        "            rank = has / share if share else float(has)\n",
        SHARE + "of_two_beyond_their_shares_who_borrowed_less_comes_first",
    ),
    one(
        "a share of an account that isn't there is set",
        UPKEEP,
        "caller.find_account(new.account)",
        "new.account",
        NATIVE + "a_share_is_of_an_account_that_there_is",
    ),
    one(
        "who runs inside a reservation hears nothing of a drain",
        LOSSES,
        "                    leases[lease.id] = lease\n",
        "                    leases.pop(lease.id, None)\n",
        DRAIN + "what_runs_inside_a_reservation_is_told_and_its_host_replaced_after_that",
    ),
    one(
        "a promise keeps its drained host",
        LIFECYCLE,
        "        events += self._losses.move_drained(transaction)\n",
        "",
        DRAIN + "what_runs_inside_a_reservation_is_told_and_its_host_replaced_after_that",
    ),
    one(
        "a promise leaves its drained host while something runs there",
        LOSSES,
        "        idle = {host for host in drained if book.unit_of(host) not in busy}\n",
        "        idle = drained\n",
        DRAIN + "what_runs_inside_a_reservation_is_told_and_its_host_replaced_after_that",
    ),
    one(
        "nobody looks when a drained host is empty early",
        LOSSES,
        "        return any(self._drained(each)[0] for each in self._draining())\n",
        "        return False\n",
        DRAIN + "who_ends_early_is_moved_then",
    ),
    one(
        "it isn't said that there are no other hosts",
        LOSSES,
        "not is_whole or (busy and not self._could_give(book, busy, ends_s))",
        "not is_whole",
        DRAIN + "where_there_are_no_others_it_is_said_and_credited_and_tried_again",
    ),
    one(
        "a token is good for any request",
        TOKENS,
        "    if digest is not None and digest != digest_of(command):\n",
        "    if digest is not None and not digest_of(command):\n",
        TOKEN + "a_token_is_good_for_the_same_request_by_its_account_alone",
    ),
    one(
        "the zone makes another request",
        TOKENS,
        '("owner", "account", "zone", "client_token", "is_dry_run")',
        '("owner", "account", "client_token", "is_dry_run")',
        TOKEN + "the_zone_is_no_part_of_what_is_compared",
    ),
    one(
        "a fleet's token is good for any fleet",
        TEAMS,
        "                check_same(known.digest, command, token)\n",
        "",
        TOKEN + "a_token_is_good_for_the_same_request_by_its_account_alone",
    ),
    one(
        "a move's token is good for any move",
        PARTS,
        "                    check_same(digest, command, token)\n",
        "",
        TOKEN + "hosts_are_moved_once_and_other_hosts_under_another_token",
    ),
    one(
        "minutes of a block are counted from its beginning",
        BLOCKS,
        '"CapacityBlockDurationMinutes": seconds // 60 % 60,',
        '"CapacityBlockDurationMinutes": seconds // 60,',
        EC2 + "an_offering_is_told_whole_its_length_in_hours_and_minutes",
    ),
    one(
        "a block starts before the maintenance of its hosts ends",
        LIFECYCLE,
        "return not self._agenda or (window_s, True) <= self._agenda[0][:2]",
        "return not self._agenda or (window_s, True) < self._agenda[0][:2]",
        EDGES + "a_block_that_starts_when_it_ends_has_its_hosts_that_moment",
    ),
    one(
        "maintenance given up leaves leases with its end",
        AWAY,
        "            self._lengthen_leases(transaction, window)\n",
        "",
        EDGES + "a_lease_gets_its_end_back_when_its_maintenance_is_given_up",
    ),
    one(
        "a lease made longer breaks what was sold since",
        AWAY,
        "                if not book.fits(held, now_s, until_s):\n",
        "                if not held.size:\n",
        EDGES + "it_keeps_the_earlier_end_of_another_window_and_of_what_was_sold_meanwhile",
    ),
    one(
        "the end of one window ends all",
        AWAY,
        "        self.settle(transaction)\n        return closed\n",
        "        return closed\n",
        EDGES + "hosts_of_two_windows_come_back_with_the_last_of_them",
    ),
    one(
        "a repair takes hosts out of maintenance",
        AWAY,
        "            self._check_repair(command.path)\n",
        "            pass\n",
        EDGES + "hosts_in_maintenance_are_not_repaired_out_of_it",
    ),
    one(
        "what is broken can't be planned to be repaired",
        AWAY,
        "missing > _missing(was_short[key], start_s, end_s)",
        "missing > 0",
        EDGES + "what_is_short_already_does_not_stand_in_the_way_of_repairing_it",
    ),
    one(
        "what maintenance cut short says that it expired",
        LIFECYCLE,
        "    return EndReason.EXPIRED if is_own else EndReason.MAINTENANCE\n",
        "    return EndReason.EXPIRED if lease else EndReason.MAINTENANCE\n",
        EDGES + "a_lease_that_maintenance_cut_short_says_so_however_late_that_is_seen",
    ),
    one(
        "what begins when all are told is told nothing",
        KEPT,
        "        return now_s + NOTICE_S + 1\n",
        "        return now_s + NOTICE_S\n",
        EDGES + "nothing_that_may_be_interrupted_starts_there_from_the_moment_it_is_told",
    ),
    one(
        "work begins inside a reservation where maintenance does",
        ROOM,
        "if host in book.marked or not book.pool.usable[host]}",
        "if host in book.marked}",
        EDGES + "nothing_starts_inside_a_reservation_where_it_would_have_to_end_untold",
    ),
)
