"""Sabotages of forms, of EC2's XML and words, and of what its operations have done for them."""

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
)
