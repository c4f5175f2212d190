"""Sabotages of divided hosts: parts of chips, processors and memory."""

from tests.mutants.catalogue import one

FLEET = "src/craton/fleet/"
DEMAND = FLEET + "lease_demand.py"
PARTS, BOOK, ROOM = FLEET + "part_book.py", FLEET + "pool_book.py", FLEET + "room.py"
LEASES, CHARGES, PLACER = FLEET + "leases.py", FLEET + "charges.py", FLEET + "placement_divided.py"
KEPT, LOCKS = FLEET + "kept_room.py", "src/craton/bootstrap/shim_locks.py"
TEST = "tests/unit/fleet/test_divided.py::test_"
PLACED = "tests/unit/fleet/test_placement_divided.py::test_"
SHIM = "tests/unit/bootstrap/test_shim_parts.py::test_"


MUTANTS = (
    one(
        "a chip is free again when the first of its parts is given back",
        PARTS,
        "before ^ self._open(host))",
        "before | self._open(host))",
        TEST + "a_chip_is_free_again_when_the_last_of_its_parts_is_given_back",
    ),
    one(
        "a part without a word has no processors",
        PARTS,
        "self._cpu_milli * asked // whole if cpu is None else cpu,",
        "cpu or 0,",
        TEST + "a_part_has_its_chips_share_of_processors_and_memory_unless_it_says_more",
    ),
    one(
        "who takes all processors pays for one part of a chip",
        PARTS,
        "            -(-cpu * whole // self._cpu_milli) if self._cpu_milli else 0,\n",
        "",
        TEST + "who_takes_half_of_a_hosts_processors_pays_for_half_of_its_chips",
    ),
    one(
        "a part is billed as its chip",
        LEASES,
        "        if lease.part is not None:\n            rated",
        "        if False:\n            rated",
        TEST + "who_takes_half_of_a_hosts_processors_pays_for_half_of_its_chips",
    ),
    one(
        "each bill of a part loses what is less than a chip-second",
        CHARGES,
        "seconds = lease.milli * ended // WHOLE_MILLI - lease.milli * begun // WHOLE_MILLI",
        "seconds = lease.milli // 100 * (ended - begun) // 10",
        TEST + "a_part_that_is_billed_often_pays_no_second_more_or_less",
    ),
    one(
        "divided hosts are promised ahead",
        FLEET + "inventory.py",
        "return 0 if self.is_divided else (self",
        "return (self",
        TEST + "divided_hosts_are_not_promised_ahead_and_those_beside_them_are",
    ),
    one(
        "who has waited long for a divided host is passed",
        ROOM,
        "        if book.parts is not None:\n            return (\n",
        "        if False:\n            return (\n",
        TEST + "nobody_passes_who_has_waited_long_for_a_divided_host",
    ),
    one(
        "the youngest parts make way, however many",
        ROOM,
        "        if helps(chosen):\n            return list(chosen)\n",
        "        pass\n",
        TEST + "one_large_part_makes_way_before_several_small_ones",
    ),
    one(
        "more parts are interrupted than are in the way",
        ROOM,
        "            told = rest\n    return told\n",
        "            pass\n    return told\n",
        TEST + "no_part_makes_way_for_nothing_where_several_must",
    ),
    one(
        "a machine that is whole again is kept for who waits for a part of it",
        KEPT,
        "    if lease.part is not None:\n        return False\n",
        "",
        TEST + "nothing_is_kept_of_a_whole_machine_for_who_waits_for_a_part_of_it",
    ),
    one(
        "a part is given of a chip that doesn't work",
        BOOK,
        "            self.parts.set_works(host, chip, works)\n",
        "            pass\n",
        TEST + "a_host_that_fails_ends_all_parts_of_it_and_a_chip_those_of_that_chip",
    ),
    one(
        "a part starts on a host that is drained",
        PARTS,
        "allowed = pool.usable & (",
        "allowed = (pool.usable | True) & (",
        TEST + "nothing_new_starts_on_a_divided_host_that_is_drained",
    ),
    one(
        "a part is kept although its lease couldn't be",
        PARTS,
        "        undo.append(lambda: back(demand, placement))\n",
        "",
        TEST + "a_part_that_could_not_be_kept_was_not_taken",
    ),
    one(
        "a machine is made whole under a part of it",
        FLEET + "replacement.py",
        "if each.part is not None and new is not None and not new.is_divided:",
        "if False:",
        TEST + "a_machine_is_not_made_whole_while_somebody_holds_a_part_of_it",
    ),
    one(
        "equal places are taken in the order of the hosts",
        PLACER,
        "        first = int(left.argmin())\n",
        "        first = 0\n",
        PLACED + "of_equal_places_the_fullest_host_is_taken_then_the_lowest",
    ),
    one(
        "what comes is never learned",
        PLACER,
        "        self._came[demand] += 1\n",
        "",
        PLACED + "what_usually_comes_is_learned_and_old_demands_fade",
    ),
    one(
        "every pool learns what was asked of the first",
        DEMAND,
        "_chips_of_one(command, book.plan.type.chips)",
        "_chips_of_one(command, books[0].plan.type.chips)",
        TEST + "a_pool_learns_what_is_asked_of_it_and_not_of_hosts_of_another_size",
    ),
    one(
        "parts of a chip wait for each other",
        LOCKS,
        "kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX",
        "kind = fcntl.LOCK_EX",
        SHIM
        + "workloads_on_parts_of_a_chip_share_it_in_any_order_and_with_nobody_who_has_it_whole",
    ),
    one(
        "an old lease of a whole chip starts after newer parts of it",
        LOCKS,
        "                seen = max(seen, _read(parts))\n",
        "                pass\n",
        SHIM + "the_highest_token_of_a_part_turns_away_a_lower_one_of_the_whole_chip_and_back",
    ),
)
