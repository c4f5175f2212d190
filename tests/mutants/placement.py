"""Sabotages of pools and placement: chips given twice, caps forgotten, places not the best."""

from tests.mutants.catalogue import Edit, Mutant

POOL = "src/craton/fleet/pool.py"
LAYOUT = "src/craton/fleet/pool_layout.py"
PLACEMENT = "src/craton/fleet/placement.py"
CHOICE = "src/craton/fleet/placement_choice.py"
LEAVES = "src/craton/fleet/placement_leaves.py"
ROWS = "src/craton/fleet/placement_rows.py"
PARTS = "src/craton/fleet/placement_parts.py"
VICTIMS = "src/craton/fleet/placement_victims.py"
SUBSETS = "src/craton/fleet/subsets.py"
OCCUPANCY = "src/craton/fleet/occupancy.py"

POOL_TEST = "tests/unit/fleet/test_pool.py::"
PLACEMENT_TEST = "tests/unit/fleet/test_placement.py::"
LEAVES_TEST = "tests/unit/fleet/test_placement_leaves.py::"
PARTS_TEST = "tests/unit/fleet/test_placement_parts.py::"
VICTIMS_TEST = "tests/unit/fleet/test_placement_victims.py::"
OCCUPANCY_TEST = "tests/unit/fleet/test_occupancy.py::"
SUBSETS_TEST = "tests/unit/fleet/test_subsets.py::"
BRUTE_FORCE = PLACEMENT_TEST + "test_no_place_is_better_than_the_one_chosen"

MUTANTS = (
    Mutant(
        "parts open hosts without power",
        (
            Edit(
                PARTS,
                "    idle &= counted[1:] - counted[first][rows] <= fed[rows]\n",
                "    assert first.any() or rows.any() or fed.any() or True\n",
            ),
        ),
        PARTS_TEST + "test_parts_are_placed_wherever_enough_hosts_are_fed",
    ),
    Mutant(
        "a row that can't feed all of a gang's parts feeds none",
        (
            Edit(
                PARTS,
                "    idle &= idle.cumsum() <= site\n",
                "    idle &= (fed >= hosts)[rows] & (site >= hosts)\n",
            ),
        ),
        PARTS_TEST + "test_parts_spread_over_rows_none_of_which_feeds_all_of_them",
    ),
    Mutant(
        "a taken chip is given again",
        (
            Edit(
                POOL,
                "        if wrong.any() or not _ascends(hosts) or not masks.all():\n"
                '            raise Internal(f"Chips that aren\'t free',
                "        if not _ascends(hosts) or not masks.all():\n"
                '            raise Internal(f"Chips that aren\'t free',
            ),
        ),
        POOL_TEST + "test_a_chip_is_never_taken_twice",
    ),
    Mutant(
        "one host twice in a gang is taken once",
        (Edit(POOL, "(hosts[1:] > hosts[:-1])", "(hosts[1:] >= hosts[:-1])"),),
        POOL_TEST + "test_hosts_out_of_order_twice_or_without_chips_are_a_fault",
    ),
    Mutant(
        "a broken chip is offered when its lease ends",
        (
            Edit(
                POOL,
                "        after |= self.broken.take(hosts)\n",
                "",
            ),
        ),
        POOL_TEST + "test_a_chip_that_breaks_while_it_is_held_is_not_offered_when_it_comes_back",
    ),
    Mutant(
        "a whole host is free when it comes back, whatever is wrong with it",
        (Edit(POOL, " > self.broken.take(hosts)\n", "\n"),),
        POOL_TEST + "test_whole_hosts_come_back_free_but_those_that_something_is_wrong_with",
    ),
    Mutant(
        "whole hosts draw nothing",
        (Edit(POOL, "            self._draw(rows, -step * self.layout.draw_w)\n",
              "            pass\n"),),
        POOL_TEST + "test_whole_hosts_come_back_free_but_those_that_something_is_wrong_with",
    ),
    Mutant(
        "what the largest leaves hold is not counted again",
        (Edit(POOL, "        np.add.accumulate(free[::-1], out=held[1:size])\n", ""),),
        POOL_TEST + "test_counts_agree_after_any_changes_and_inverses_undo_them_all",
    ),
    Mutant(
        "a host draws again for each part of it",
        (Edit(POOL, "self._power(rows, before == 0, ", "self._power(rows, before >= 0, "),),
        POOL_TEST + "test_a_host_draws_from_its_first_chip_to_its_last",
    ),
    Mutant(
        "a row over its cap counts as having power",
        (Edit(LAYOUT, "return np.maximum(left, 0, out=left)", "return abs(left)"),),
        POOL_TEST + "test_power_below_what_is_drawn_leaves_nothing_rather_than_less",
    ),
    Mutant(
        "a row's power isn't asked",
        (Edit(PLACEMENT, "np.minimum(fed, room, out=fed)", "hosts[1]"),),
        PLACEMENT_TEST + "test_no_place_ever_draws_more_than_a_row_or_the_site_may",
    ),
    Mutant(
        "the site's power isn't asked",
        (
            Edit(
                PLACEMENT,
                "    if wanted > pool.power.site_hosts(pool.layout.draw_w):\n        return None\n",
                "",
            ),
        ),
        PLACEMENT_TEST + "test_no_place_ever_draws_more_than_a_row_or_the_site_may",
    ),
    Mutant(
        "whole leaves are broken as gladly as others",
        (Edit(CHOICE, "    rows = rows[has_fewest]\n", ""),),
        BRUTE_FORCE,
    ),
    Mutant(
        "whole leaves that are kept aren't passed over",
        (Edit(LEAVES, "        last: Places = first + np.minimum(kept, most_kept)\n",
              "        last: Places = first\n"),),
        BRUTE_FORCE,
    ),
    Mutant(
        "units that one alone sat on stay taken",
        (Edit(OCCUPANCY, "min(now_s, end_s), end_s, 1, undo)", "end_s, end_s, 1, undo)"),),
        OCCUPANCY_TEST + "test_what_is_free_and_drawn_is_what_those_who_sit_there_leave",
    ),
    Mutant(
        "who sits on a unit that is set apart takes another one too",
        (Edit(OCCUPANCY, "            count -= int(np.count_nonzero(self._is_apart.take(units)))\n",
              "            pass\n"),),
        OCCUPANCY_TEST + "test_what_is_free_and_drawn_is_what_those_who_sit_there_leave",
    ),
    Mutant(
        "the largest leaves are used although smaller ones fit",
        (Edit(LEAVES, "        saved, out, into = _exchange(outs, ins, spare)\n",
              "        saved, out, into = 0, [], []\n"),),
        LEAVES_TEST + "test_no_set_of_leaves_is_better",
    ),
    Mutant(
        "only one leaf is ever exchanged",
        (Edit(LEAVES, "    if not pairs:\n", "    if pairs:\n"),),
        LEAVES_TEST + "test_exchanges_of_several_leaves_at_once_are_found",
    ),
    Mutant(
        "a spread within leaves is forgotten when rows are counted",
        (Edit(LEAVES, "    fewer[per_leaf + 1] = 0\n", ""),),
        LEAVES_TEST + "test_no_set_of_leaves_is_better",
    ),
    Mutant(
        "of several rows the roomiest are taken unseen",
        (Edit(ROWS, "if comb(len(rows), number) <= SETS_MAX:", "if False:"),
         Edit(ROWS, "for _ in range(_ROUNDS_MAX):", "for _ in ():")),
        BRUTE_FORCE,
    ),
    Mutant(
        "bounded rows are divided by rule though the case is small",
        (Edit(ROWS, "if bounded[rows].any() and is_small(", "if len(rows) < 0 and is_small("),),
        BRUTE_FORCE,
    ),
    Mutant(
        "the fuller host is used though its chips are scattered",
        (
            Edit(
                PARTS,
                "(cuts.astype(np.int32) << 8 | np.bitwise_count(masks))",
                "(np.bitwise_count(masks).astype(np.int32))",
            ),
        ),
        PARTS_TEST + "test_the_host_with_the_better_box_is_used_before_the_fuller_one",
    ),
    Mutant(
        "the rest stands anywhere",
        (Edit(PARTS, "    near = np.isin(rests_in, leaves)\n",
              "    near = np.isin(rests_in, leaves) & False\n"),),
        PARTS_TEST + "test_the_rest_stands_on_a_partly_free_host_of_the_same_leaf",
    ),
    Mutant(
        "the least cut forgets one chip",
        (Edit(SUBSETS, "    for chip in range(chips):\n        halves",
              "    for chip in range(chips - 1):\n        halves"),),
        SUBSETS_TEST + "test_no_subset_of_the_free_chips_cuts_fewer_links",
    ),
    Mutant(
        "a lease of the same priority is interrupted",
        (Edit(VICTIMS, "each.priority < priority", "each.priority <= priority"),),
        VICTIMS_TEST + "test_leases_of_the_same_or_a_higher_priority_stay",
    ),
    Mutant(
        "the oldest goes first",
        (Edit(VICTIMS, "started = -sum(", "started = sum("),),
        VICTIMS_TEST + "test_on_small_pools_no_better_set_of_leases_would_do",
    ),
)  # fmt: skip
