"""Sabotages of starts without the models that come along, of prices as they are told, of doctor."""

from tests.mutants.catalogue import Edit, Mutant

WEIGHTS_KEEPER = "src/craton/bootstrap/weights_keeper.py"
ENGINES = "src/craton/bootstrap/engines.py"
SIGNALS = "src/craton/apis/native/signals.py"
PRICES = "src/craton/economics/prices.py"
NATIVE_PRICES = "src/craton/apis/native/prices.py"
DOCTOR = "src/craton/cli/examination_parts.py"
KEEPER_TEST = "tests/unit/bootstrap/test_weights_keeper.py::"
MISSING_TEST = "tests/unit/bootstrap/test_missing_model.py::"
SIGNALS_TEST = "tests/unit/apis/native/test_native_signals.py::"
PRICES_TEST = "tests/unit/apis/native/test_native_prices.py::"
DOCTOR_TEST = "tests/unit/cli/test_cli_doctor_parts.py::"

MUTANTS = (
    Mutant(
        "weights that can't be had are tried at once again",
        (Edit(WEIGHTS_KEEPER, "min(pause_s * 2, RETRY_MAX_S)", "pause_s"),),
        KEEPER_TEST + "test_pauses_grow_up_to_a_limit",
    ),
    Mutant(
        "weights that are there again are still told to be missing",
        (
            Edit(
                WEIGHTS_KEEPER,
                "self._settings.weights_problem(name).unlink(missing_ok=True)",
                "pass",
            ),
        ),
        KEEPER_TEST + "test_what_can_not_be_had_is_told_to_workers_until_it_is_there",
    ),
    Mutant(
        "a model that nothing runs is waited for",
        (Edit(ENGINES, 'and engine != "embedded"', "and not engine"),),
        MISSING_TEST + "test_what_came_along_is_refused_where_nothing_of_it_is_run",
    ),
    Mutant(
        "missing weights take the operator's own models out of service",
        (
            Edit(
                SIGNALS,
                "if error.code != MODEL_MISSING or not _has_others(services.router):",
                "if True:",
            ),
        ),
        SIGNALS_TEST + "test_what_can_not_be_had_does_not_take_the_operators_models_out",
    ),
    Mutant(
        "a Craton whose model still loads says that it is ready",
        (Edit(SIGNALS, "if error.code != MODEL_MISSING or not", "if not"),),
        SIGNALS_TEST + "test_it_is_not_ready_while_that_model_loads",
    ),
    Mutant(
        "a price of tomorrow is listed today",
        (Edit(PRICES, " and tariff.resource == resource:", ":"),),
        "tests/unit/economics/test_price_list.py::"
        "test_a_price_that_is_not_in_effect_yet_is_not_listed",
    ),
    Mutant(
        "members see who is paid a share",
        (Edit(NATIVE_PRICES, "caller.is_operator and tariff.payee", "tariff.payee"),),
        PRICES_TEST + "test_only_operators_see_who_is_paid_a_share",
    ),
    Mutant(
        "doctor passes a credential file that others can read",
        (Edit(DOCTOR, "if Path(path).stat().st_mode & OTHERS:", "if False:"),),
        DOCTOR_TEST + "test_a_credential_file_that_is_gone_empty_or_open_to_others_fails",
    ),
    Mutant(
        "doctor takes a fleet that is short for one with spares",
        (Edit(DOCTOR, "if pool.offered_units < pool.units", "if False"),),
        DOCTOR_TEST + "test_a_fleet_that_can_give_less_than_it_has_fails_and_a_spare_in_use_warns",
    ),
)
