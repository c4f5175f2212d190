"""Sabotages of what is told of the fleet, and of who may do what with it."""

from tests.mutants.catalogue import Edit, Mutant

NATIVE = "src/craton/apis/native/"
CLI = "src/craton/cli/"
LEASES = NATIVE + "fleet_leases.py"
CAPACITY = NATIVE + "fleet_capacity.py"
OWNED = NATIVE + "fleet_owned.py"
LOOKUP = "src/craton/fleet/lookup.py"
PICTURES = CLI + "fleet_pictures.py"
TABLES = CLI + "capacity_tables.py"
PAGE = CLI + "fleet_pictures_page.py"
NATIVE_TEST = "tests/unit/apis/native/test_native_fleet.py::"
PICTURES_TEST = "tests/unit/cli/test_fleet_pictures.py::"
WORDS_TEST = "tests/unit/cli/test_fleet_capacity_words.py::"

MUTANTS = (
    Mutant(
        "a lease outside a reservation that costs nothing",
        (Edit(LEASES, "    if is_inside is not (kind is LeaseKind.RESERVED):", "    if False:"),),
        NATIVE_TEST + "test_only_what_is_inside_a_reservation_is_leased_as_paid_for",
    ),
    Mutant(
        "anybody passes others in the queue",
        (Edit(LEASES, "if new.priority > 0 and not caller.is_operator:", "if False:"),),
        NATIVE_TEST + "test_only_operators_let_somebody_pass_others_in_the_queue",
    ),
    Mutant(
        "a member ends anybody's lease",
        (
            Edit(
                LEASES,
                "EndLease(asked.id, asked.token, caller.scope(None), asked.outcome)",
                "EndLease(asked.id, asked.token, None, asked.outcome)",
            ),
        ),
        NATIVE_TEST + "test_a_lease_is_given_back_by_its_account_or_by_its_token",
    ),
    Mutant(
        "a lease that is over is found no more by its id",
        (Edit(LOOKUP, '("leases", "ended_lease")', '("leases",)'),),
        NATIVE_TEST + "test_a_lease_is_told_of_after_its_end_and_one_that_never_was_as_such",
    ),
    Mutant(
        "a reservation over for long is found no more by its id",
        (Edit(LOOKUP, '("reservations", "past_reservation")', '("reservations",)'),),
        NATIVE_TEST + "test_a_reservation_that_is_over_for_long_is_found_by_its_id",
    ),
    Mutant(
        "a member sees anybody's reservation",
        (
            Edit(
                CAPACITY,
                "find_reservation(caller.services.state, asked.id, caller.scope(None))",
                "find_reservation(caller.services.state, asked.id)",
            ),
        ),
        NATIVE_TEST + "test_a_member_is_shown_its_own_and_refused_anothers",
    ),
    Mutant(
        "what is kept for another account is offered",
        (
            Edit(
                CAPACITY,
                "if caller.is_operator or pool.exclusive_to in (None, caller.principal.account)",
                "if True",
            ),
        ),
        NATIVE_TEST + "test_what_is_kept_for_another_account_isnt_offered",
    ),
    Mutant(
        "a page skips what was made at the same moment",
        (Edit(OWNED, "    return entry.created_ms, entry.id", "    return entry.created_ms, ''"),),
        NATIVE_TEST + "test_reservations_come_in_pages_though_some_are_gone_meanwhile",
    ),
    Mutant(
        "`end_s` left out makes a reservation endless",
        (Edit(CAPACITY, "is_endless=change.end_s is None", "is_endless=end_s is None"),),
        NATIVE_TEST + "test_only_what_is_said_of_a_reservation_changes",
    ),
    Mutant(
        "simulated racks look real",
        (Edit(PICTURES, 'return SIMULATED if is_simulated else " "', 'return " "'),),
        PICTURES_TEST + "test_a_rack_is_as_dark_as_it_is_full_and_marked_where_something_is_wrong",
    ),
    Mutant(
        "a nearly full rack looks full",
        (Edit(PICTURES, "    if taken >= chips:", "    if taken * 8 >= chips * 7:"),),
        PICTURES_TEST + "test_the_lightest_means_nothing_and_the_darkest_means_all",
    ),
    Mutant(
        "the calendar forgets what was promised and broke",
        (Edit(PICTURES, "least = min(least, free)", "least = min(least, max(free, 0))"),),
        PICTURES_TEST + "test_each_stretch_counts_what_a_look_at_each_moment_would",
    ),
    Mutant(
        "an offer doesn't say that it is simulated",
        (Edit(TABLES, "*([IMAGINED] if offer.is_simulated else []),", ""),),
        WORDS_TEST + "test_an_offer_says_that_it_is_simulated_and_how_to_buy_it",
    ),
    Mutant(
        "a fleet's words become markup",
        (Edit(PAGE, 'tag("title", title),', 'tag("title", Markup(title)),'),),
        PICTURES_TEST + "test_words_from_elsewhere_stay_words",
    ),
)
