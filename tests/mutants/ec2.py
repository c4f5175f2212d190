"""Sabotages of forms, of EC2's XML and words, and of its operations on capacity."""

from tests.mutants.catalogue import Edit, Mutant

FORMS = "src/craton/apis/aws/forms.py"
READER = "src/craton/apis/aws/form_reader.py"
MODEL = "src/craton/apis/aws/model.py"
XML = "src/craton/apis/aws/xml.py"
COERCE = "src/craton/apis/aws/coerce.py"
ERRORS = "src/craton/apis/aws/ec2_errors.py"
ROUTES = "src/craton/apis/aws/routes.py"
TABLE = "src/craton/apis/ec2/endpoints.py"
FILTERS = "src/craton/apis/ec2/filters.py"
PAGES = "src/craton/apis/ec2/pages.py"

FORMS_TEST = "tests/unit/apis/aws/test_aws_forms.py::"
ROUTES_TEST = "tests/unit/apis/aws/test_aws_routes.py::"
TABLE_TEST = "tests/unit/apis/ec2/test_ec2_operations.py::"
FILTERS_TEST = "tests/unit/apis/ec2/test_ec2_filters.py::"
PAGES_TEST = "tests/unit/apis/ec2/test_ec2_pages.py::"

ZONES = "src/craton/apis/ec2/regions.py"
WORDS = "src/craton/apis/ec2/capacity_words.py"
FOUND = "src/craton/apis/ec2/capacity_found.py"
BLOCKS = "src/craton/apis/ec2/capacity_blocks.py"
RESERVATIONS = "src/craton/apis/ec2/capacity_reservations.py"
TAGS = "src/craton/apis/ec2/tags.py"
TYPES = "src/craton/apis/ec2/instance_types.py"
PARTS = "src/craton/fleet/parts.py"
FLEETS = "src/craton/fleet/reservation_fleets.py"
OFFERED = "src/craton/fleet/offered.py"
STATE_TAGS = "src/craton/fleet/reservation_tags.py"

CAPACITY_TEST = "tests/unit/apis/ec2/test_ec2_capacity.py::"
PARTS_TEST = "tests/unit/fleet/test_reservation_parts.py::"

REFUSED = FORMS_TEST + "test_a_form_that_ec2_could_not_take_is_refused_by_name"

MUTANTS = (
    Mutant(
        "a gap in a list is closed in silence",
        (
            Edit(
                READER,
                "    elements: list[Tree | str] = []\n",
                "    elements: list[Tree | str] = []\n"
                "    return [tree[key] for key in sorted(tree)]\n",
            ),
        ),
        REFUSED,
    ),
    Mutant(
        "a parameter that EC2 doesn't know is passed over",
        (Edit(READER, "if self._is_ec2 and known < len(tree):", "if known > len(tree):"),),
        REFUSED,
    ),
    Mutant(
        "a name may go as deep as it likes",
        (Edit(FORMS, " or len(steps) > STEPS_MAX:", ":"),),
        REFUSED,
    ),
    Mutant(
        "the last of two parameters of one name wins",
        (Edit(FORMS, "        if name in form:\n", "        if name in form and not text:\n"),),
        FORMS_TEST + "test_a_name_may_not_come_in_the_query_and_in_the_body",
    ),
    Mutant(
        "a form may have any number of parameters",
        (Edit(FORMS, 'if text.count(b"&") >= PARAMETERS_MAX:', "if not text:"),),
        FORMS_TEST + "test_a_form_over_a_limit_or_with_a_name_twice_is_refused",
    ),
    Mutant(
        "a name of the model's own for forms is not used",
        (Edit(MODEL, "source.query_name or capitalised", "capitalised"),),
        FORMS_TEST + "test_query_name_goes_before_the_capitalised_location_name",
    ),
    Mutant(
        "names in EC2's forms keep their small letters",
        (Edit(MODEL, "located[0].upper() + located[1:]", "located"),),
        FORMS_TEST + "test_what_botocore_sends_as_a_form_is_read_back",
    ),
    Mutant(
        "a missing parameter is an invalid one",
        (Edit(READER, "if found.constraint == NOT_NULL:", 'if found.constraint == "":'),),
        FORMS_TEST + "test_the_constraints_of_the_model_are_told_in_ec2s_words",
    ),
    Mutant(
        "a time at the edge of the calendar is a fault of ours",
        (
            Edit(
                COERCE,
                "    except (ValueError, OverflowError):\n"
                '        refuse(f"{str(value)[:60]!r} is not a time',
                '    except ValueError:\n        refuse(f"{str(value)[:60]!r} is not a time',
            ),
        ),
        FORMS_TEST + "test_the_constraints_of_the_model_are_told_in_ec2s_words",
    ),
    Mutant(
        "a carriage return is not escaped",
        (Edit(XML, ', "\\r": "&#13;"})', "})"),),
        FORMS_TEST + "test_an_answer_of_ec2_has_its_shape",
    ),
    Mutant(
        "an empty list is left out",
        (Edit(XML, "        if value is not None:\n", "        if value not in (None, []):\n"),),
        FORMS_TEST + "test_botocore_reads_back_what_is_written_as_xml",
    ),
    Mutant(
        "times leave without their milliseconds",
        (Edit(XML, 'timespec="milliseconds"', 'timespec="seconds"'),),
        FORMS_TEST + "test_a_time_has_milliseconds_and_a_z",
    ),
    Mutant(
        "a bad signature is told as an unknown key",
        (Edit(ERRORS, '    "InvalidSignatureException": "SignatureDoesNotMatch",\n', ""),),
        TABLE_TEST + "test_a_bad_signature_is_told_as_ec2_tells_it",
    ),
    Mutant(
        "any code may leave as EC2's",
        (
            Edit(
                ERRORS,
                "if _OF_ONE_KIND.fullmatch(code):\n            return",
                "if code:\n            return",
            ),
        ),
        TABLE_TEST + "test_what_is_no_code_of_ec2s_does_not_leave",
    ),
    Mutant(
        "a presigned form is nobody's",
        (Edit(ROUTES, 'partition(b"X-Amz-Credential=")[2][:512]', 'partition(b"?")[2]'),),
        ROUTES_TEST + "test_a_presigned_query_says_which_service_it_is_meant_for",
    ),
    Mutant(
        "a dry run asks nobody whether it may",
        (
            Edit(
                TABLE,
                "if operation.resources is not None:\n                for",
                "if operation.resources is not None and DRY_RUN not in params:\n"
                "                for",
            ),
        ),
        TABLE_TEST + "test_an_operation_about_a_forbidden_thing_does_not_run",
    ),
    Mutant(
        "a dry run is run",
        (
            Edit(
                TABLE,
                "            if params.get(DRY_RUN):\n",
                "            if params.get(DRY_RUN) and await operation.run(asked, params):\n",
            ),
        ),
        TABLE_TEST + "test_a_dry_run_changes_nothing_and_says_that_it_may",
    ),
    Mutant(
        "one filter that fits is enough",
        (Edit(FILTERS, "        return all(\n", "        return not self._patterns or any(\n"),),
        FILTERS_TEST + "test_every_filter_must_fit",
    ),
    Mutant(
        "an unknown filter is passed over",
        (Edit(FILTERS, "if name is None or not (is_tag or name in names):", "if name is None:"),),
        FILTERS_TEST + "test_a_filter_that_the_operation_lacks_is_refused",
    ),
    Mutant(
        "a token is good for any question",
        (Edit(PAGES, " or token.question != question:", ":"),),
        PAGES_TEST + "test_a_token_is_good_for_its_own_question_only",
    ),
    Mutant(
        "the thing that a token names comes again",
        (Edit(PAGES, "if key(thing) > after]", "if key(thing) >= after]"),),
        PAGES_TEST + "test_all_pages_together_have_everything_once",
    ),
    Mutant(
        "whoever may create may tag",
        (Edit(TABLE, "if params.get(TAG_SPECIFICATIONS):", 'if params.get("Tags"):'),),
        TABLE_TEST + "test_whoever_tags_what_it_creates_must_be_allowed_to_tag",
    ),
    Mutant(
        "things are told apart by their first key alone",
        (Edit(TABLE, "for name in keys)", "for name in keys[:1])"),),
        TABLE_TEST + "test_things_that_share_a_key_are_told_apart_by_the_next",
    ),
    Mutant(
        "a simulated zone looks like a real one",
        (Edit(ZONES, '[{"Message": SIMULATED}] if zone.is_simulated else []', "[]"),),
        TABLE_TEST + "test_a_zone_that_is_simulated_says_so",
    ),
    Mutant(
        "simulated reservations have no tag",
        (Edit(WORDS, 'SIMULATED_TAG: "true"} if view.is_simulated', '"x": ""} if not view.id'),),
        CAPACITY_TEST + "test_only_what_is_simulated_is_tagged_so",
    ),
    Mutant(
        "anybody may write the tag of what is simulated",
        (Edit(TAGS, '("aws:", "craton:")', '("aws:",)'),),
        CAPACITY_TEST + "test_tags_that_would_be_lost_or_are_not_the_callers_to_give_are_refused",
    ),
    Mutant(
        "a fee is cut to two places",
        (Edit(WORDS, '.rstrip("0").ljust(2, "0")', "[:2]"),),
        CAPACITY_TEST + "test_a_fee_is_printed_exactly_with_two_places_or_more",
    ),
    Mutant(
        "hosts that broke are available",
        (Edit(WORDS, " - view.used_hosts - view.broken_hosts", " - view.used_hosts"),),
        CAPACITY_TEST + "test_hosts_that_broke_are_not_available_and_impair_the_block",
    ),
    Mutant(
        "links that nobody measured are ok",
        (Edit(BLOCKS, 'else "insufficient-data"', 'else "ok"'),),
        CAPACITY_TEST + "test_hosts_that_broke_are_not_available_and_impair_the_block",
    ),
    Mutant(
        "a reservation's usage is told to any account",
        (Edit(FOUND, "find_reservation(state, id, asked.account)", "find_reservation(state, id)"),),
        CAPACITY_TEST + "test_the_state_process_is_asked_of_the_callers_account_alone",
    ),
    Mutant(
        "hosts in different racks lie under one node",
        (Edit(RESERVATIONS, "if len(set(level)) > 1:", "if len(set(level)) > 2:"),),
        CAPACITY_TEST + "test_a_reservation_lies_under_the_nodes_that_all_its_hosts_share",
    ),
    Mutant(
        "names of our own stand in EC2's shapes",
        (Edit(TYPES, "if not each.is_own]", "if each.name]"),),
        CAPACITY_TEST + "test_types_with_names_of_our_own_have_no_place_in_ec2s_shapes",
    ),
    Mutant(
        "hosts on which something runs are moved",
        (Edit(PARTS, "self._promises.used(source), units", "set(), units"),),
        PARTS_TEST + "test_what_is_used_or_unlike_or_anothers_does_not_move",
    ),
    Mutant(
        "a move that is sent again is done again",
        (Edit(PARTS, "                if name == token:\n", "                if name < token:\n"),),
        PARTS_TEST + "test_hosts_move_once_for_a_token_also_after_a_restart",
    ),
    Mutant(
        "a split makes the hosts that it takes free of charge until then",
        (
            Edit(
                PARTS,
                "        source = self._promises.bill(transaction, source, "
                "transaction.now_ms // 1000)\n",
                "",
            ),
        ),
        PARTS_TEST + "test_each_part_is_billed_for_the_hosts_it_had",
    ),
    Mutant(
        "a fleet of reservations that wasn't kept is remembered",
        (Edit(FLEETS, "        transaction.undo.append(back)\n", ""),),
        PARTS_TEST + "test_a_fleet_that_is_not_kept_leaves_no_trace",
    ),
    Mutant(
        "a fleet of reservations is forgotten by a restart",
        (Edit(FLEETS, "self._known[found.id] = found", "del found"),),
        PARTS_TEST + "test_a_fleet_is_made_once_for_a_token_and_known_after_a_restart",
    ),
    Mutant(
        "a fleet takes what is least preferred first",
        (Edit(FLEETS, "else each.priority", "else -each.priority"),),
        PARTS_TEST + "test_a_fleet_is_filled_in_the_order_of_preference",
    ),
    Mutant(
        "zones of one account are offered to all",
        (
            Edit(
                OFFERED, "if book.plan.exclusive_to in (None, query.account):", "if zones_of != 0:"
            ),
        ),
        PARTS_TEST + "test_what_is_kept_for_one_account_is_offered_to_no_other",
    ),
    Mutant(
        "what is tagged before an unknown id stays tagged",
        (
            Edit(
                STATE_TAGS,
                "            if one is None:\n",
                "            if one is None and found:\n"
                "                break\n"
                "            if one is None:\n",
            ),
        ),
        PARTS_TEST + "test_tags_are_changed_on_all_that_is_named_or_on_none",
    ),
)
