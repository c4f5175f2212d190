"""Sabotages of tools and schemas: answers wider than their schema, forged turns, lost calls."""

from tests.mutants.catalogue import Edit, Mutant

EMBEDDED = "src/craton/models/engines/embedded/"
GRAMMAR_TEST = "tests/unit/models/test_embedded_grammar.py::"
TOOLS_TEST = "tests/unit/models/test_embedded_tools.py::"
PROMPT_TEST = "tests/unit/models/test_embedded_prompt.py::"
PATTERNS_TEST = "tests/unit/models/test_embedded_patterns.py::"
REQUIREMENTS_TEST = "tests/unit/models/test_embedded_requirements.py::"

MUTANTS = (
    Mutant(
        "a bound that is left out itself is let through",
        (
            Edit(
                EMBEDDED + "grammar_numbers.py",
                "return number - 1 if is_open and number == high else number",
                "return number",
            ),
        ),
        GRAMMAR_TEST + "test_what_gets_through_and_what_is_held",
    ),
    Mutant(
        "an extra property takes the name of a declared one",
        (
            Edit(
                EMBEDDED + "grammar_schema.py",
                "languages: list[Automaton] = [without_words(names)] if names else []",
                "languages: list[Automaton] = []",
            ),
        ),
        GRAMMAR_TEST + "test_extra_properties_never_take_the_name_of_a_declared_one",
    ),
    Mutant(
        "oneOf is read as anyOf",
        (Edit(EMBEDDED + "grammar_schema.py", 'if keyword == "oneOf":', "if False:"),),
        GRAMMAR_TEST + "test_what_cant_be_held_to_is_refused_with_its_place",
    ),
    Mutant(
        "a schema that only an endless value satisfies is served",
        (Edit(EMBEDDED + "grammar_satisfiable.py", "if root not in alive:", "if False:"),),
        GRAMMAR_TEST + "test_what_cant_be_held_to_is_refused_with_its_place",
    ),
    Mutant(
        "a keyword that can't be served is passed over",
        (
            Edit(
                EMBEDDED + "grammar_keywords.py",
                "            raise place.unsupported(keyword, REFUSED[keyword])",
                "            continue",
            ),
        ),
        GRAMMAR_TEST + "test_a_refusal_names_place_and_keyword",
    ),
    Mutant(
        "a hostile schema is read to its end",
        (Edit(EMBEDDED + "grammar_schema.py", "if self._done > WORK_MAX:", "if False:"),),
        GRAMMAR_TEST + "test_the_work_on_a_schema_has_a_limit",
    ),
    Mutant(
        "a negated class holds letters that engines differ on",
        (
            Edit(
                EMBEDDED + "grammar_patterns.py",
                '    "W": minus(_ASCII, _WORD),',
                '    "W": minus(UNIVERSE, _WORD),',
            ),
        ),
        PATTERNS_TEST + "test_whatever_is_accepted_matches",
    ),
    Mutant(
        "text may hold the mark of a call that never comes",
        (
            Edit(
                EMBEDDED + "tools_grammar.py",
                "onward = calls if is_last else names[number + 1]",
                "onward = names[0] if is_last else names[number + 1]",
            ),
        ),
        TOOLS_TEST + "test_text_is_free_until_a_call_begins",
    ),
    Mutant(
        "a call made already is told again",
        (Edit(EMBEDDED + "answer.py", "if is_one or self._is_held:", "if is_one:"),),
        TOOLS_TEST + "test_a_call_that_was_made_already_ends_the_answer",
    ),
    Mutant(
        "a call cut off before its arguments is told as one without any",
        (
            Edit(
                EMBEDDED + "answer.py",
                'self._name, self._written, self._is_held = name, "", True\n',
                'self._name, self._written, self._is_held = name, "", True\n'
                "                    self._release(events)\n",
            ),
        ),
        TOOLS_TEST + "test_a_call_cut_off_before_its_arguments_isnt_taken_for_one_without_any",
    ),
    Mutant(
        "a caller's control mark becomes a control token",
        (
            Edit(
                EMBEDDED + "prompt_marks.py",
                "return self._inside.sub(self._stand_in, text)",
                "return text",
            ),
        ),
        PROMPT_TEST + "test_a_mark_in_a_text_is_cut_as_text_and_the_templates_own_as_tokens",
    ),
    Mutant(
        "sampling members that can't be served are passed over",
        (Edit(EMBEDDED + "requirements.py", "    request = without_own(request)\n", ""),),
        REQUIREMENTS_TEST + "test_a_member_it_cant_serve_is_refused_by_name",
    ),
)
