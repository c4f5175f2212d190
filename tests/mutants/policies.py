"""Sabotages of the policies: each lets somebody in, or keeps somebody in, who must not be."""

from tests.mutants.catalogue import INFERENCE, Edit, Mutant

SET = "src/craton/access/policy_set.py"
PATTERNS = "src/craton/access/policy_patterns.py"
CONDITIONS = "src/craton/access/policy_conditions.py"
COMMANDS = "src/craton/access/policy_commands.py"
SNAPSHOT = "src/craton/access/policies.py"
DIRECTORY = "src/craton/access/directory.py"
PERMIT = "src/craton/apis/permit.py"
STATE = "src/craton/bootstrap/state_process.py"

SET_TEST = "tests/unit/access/test_policy_set.py::"
PATTERNS_TEST = "tests/unit/access/test_policy_patterns.py::"
CONDITIONS_TEST = "tests/unit/access/test_policy_conditions.py::"
COMMANDS_TEST = "tests/unit/access/test_policy_commands.py::"
PERMIT_TEST = "tests/unit/apis/test_permit.py::"
SDK_TEST = "tests/sdk/test_policies_by_sdk.py::"

MUTANTS = (
    Mutant(
        "an allowance overrules a denial",
        (
            Edit(
                SET,
                "        if _applies(ruling, facts):\n            return ruling",
                "        if not facts:\n            return ruling",
            ),
        ),
        "tests/unit/access/test_policy_vectors.py::"
        "test_every_recorded_case_is_decided_as_the_independent_evaluator_decided_it",
    ),
    Mutant(
        "a level without an allowance is passed over",
        (
            Edit(
                SET,
                "            return Decision(is_allowed=False, level=level)",
                "            continue",
            ),
        ),
        SET_TEST + "test_a_denial_decides_and_else_every_level_with_policies_must_allow",
    ),
    Mutant(
        "a decision about one address is remembered for another",
        (Edit(SET, "keys.isdisjoint(self._varying))", "not keys or bool(keys))"),),
        PERMIT_TEST + "test_two_requests_of_one_caller_are_told_apart_by_where_they_come_from",
    ),
    Mutant(
        "a guard rail locks the operator out",
        (Edit(SET, "if self._is_operator and level", "if not self._attached and level"),),
        SET_TEST + "test_guard_rails_do_not_bind_what_operators_do_to_craton_itself",
    ),
    Mutant(
        "a caller's value is taken for a pattern",
        (
            Edit(
                PATTERNS,
                "            fixed.append(value)\n",
                "            fixed += pieces_of(value, wildcards=True, variables=False)\n",
            ),
        ),
        PATTERNS_TEST + "test_a_variable_becomes_the_requests_value_and_no_pattern",
    ),
    Mutant(
        "a wildcard crosses the colons of an ARN",
        (Edit(PATTERNS, 'one = "[^:]" if arn and', 'one = "." if arn and'),),
        PATTERNS_TEST + "test_a_wildcard_crosses_no_colon_before_the_sixth_part",
    ),
    Mutant(
        "a negated operator fails without its key, so that a denial is slipped past",
        (
            Edit(
                CONDITIONS,
                "condition.if_exists or operator.is_negated",
                "condition.if_exists",
            ),
        ),
        CONDITIONS_TEST + "test_without_the_key_a_negated_operator_holds",
    ),
    Mutant(
        "ForAllValues is content with one value",
        (
            Edit(
                CONDITIONS,
                "            return all(test(value",
                "            return any(test(value",
            ),
        ),
        CONDITIONS_TEST + "test_for_all_values_holds_if_every_value_passes_and_also_for_none",
    ),
    Mutant(
        "a stored policy that can't be read opens the door",
        (Edit(SNAPSHOT, "            effect=Effect.DENY,", "            effect=Effect.ALLOW,"),),
        COMMANDS_TEST + "test_a_stored_policy_that_cannot_be_read_denies_everything",
    ),
    Mutant(
        "only the credential that was named is bound, not its twin",
        (
            Edit(
                COMMANDS,
                "Target(key.account, Level.KEY, key.name)",
                "Target(key.account, Level.KEY, key.id)",
            ),
            Edit(
                DIRECTORY,
                "self.policies.on(Level.KEY, account, name)",
                "self.policies.on(Level.KEY, account, principal.key)",
            ),
        ),
        COMMANDS_TEST + "test_both_credentials_of_a_name_are_bound_by_either_id",
    ),
    Mutant(
        "a key binds itself",
        (Edit(COMMANDS, "if target == _target_of_key(", "if target is _target_of_key("),),
        COMMANDS_TEST + "test_a_key_cannot_bind_itself_nor_its_twin",
    ),
    Mutant(
        "a changed policy leaves old decisions in place",
        (Edit(DIRECTORY, "        if change.kind in _BINDING:", "        if not _BINDING:"),),
        PERMIT_TEST + "test_a_changed_policy_decides_from_the_next_request_on",
    ),
    Mutant(
        "an alias is asked about, and not the model behind it",
        (
            Edit(
                PERMIT,
                "            self._require(bound, action, self._profile)\n",
                "            self._require(bound, action, self._profile)\n            return\n",
            ),
        ),
        PERMIT_TEST + "test_a_denied_model_is_denied_by_every_name",
    ),
    Mutant(
        "bearer tokens come in without leave",
        (
            Edit(
                PERMIT,
                "self.principal.credential is not _SIGNATURE and",
                "self.principal.credential is None and",
            ),
        ),
        PERMIT_TEST + "test_whoever_calls_with_a_bearer_token_needs_that_allowed_too",
    ),
    Mutant(
        "a stream passes as a whole answer",
        (Edit(PERMIT, "INVOKE_STREAM if asked.stream else INVOKE", "INVOKE"),),
        PERMIT_TEST + "test_a_streamed_answer_needs_the_action_of_streams",
    ),
    Mutant(
        "a turn doesn't ask about its model",
        (Edit(INFERENCE, "        exchange.allowed.use_model(route.card.id, request)\n", ""),),
        SDK_TEST + "test_no_endpoint_forgets_to_ask",
    ),
    Mutant(
        "workers are not told of policies",
        (Edit(STATE, "            POLICIES.name: _as_stored,\n", ""),),
        SDK_TEST + "test_a_denied_model_is_told_in_openais_words",
    ),
)
