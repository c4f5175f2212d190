"""Sabotages of runs, of the shims that own their workloads, and of the machine's own lease."""

from tests.mutants.catalogue import Edit, Mutant

KEEPER = "src/craton/bootstrap/run_keeper.py"
SHIM = "src/craton/bootstrap/shim.py"
ENDING = "src/craton/bootstrap/shim_ending.py"
LOCKS = "src/craton/bootstrap/shim_locks.py"
PROCESSES = "src/craton/bootstrap/shim_processes.py"
DRIVERS = "src/craton/bootstrap/drivers.py"
ENGINES = "src/craton/bootstrap/engine_specs.py"
MACHINE = "src/craton/bootstrap/machine_lease.py"
FOLDER = "src/craton/fleet/run_folder.py"
LOG = "src/craton/fleet/run_log.py"
RECORDS = "src/craton/fleet/run_records.py"
ROUTES = "src/craton/apis/native/runs.py"

KEEPER_TEST = "tests/unit/bootstrap/test_run_keeper.py::"
PARTS_TEST = "tests/unit/bootstrap/test_shim_parts.py::"
ENGINES_TEST = "tests/unit/bootstrap/test_engine_keeper.py::"
MACHINE_TEST = "tests/unit/bootstrap/test_machine_lease.py::"
FOLDER_TEST = "tests/unit/fleet/test_run_folder.py::"
LOG_TEST = "tests/unit/fleet/test_run_log.py::"
ROUTES_TEST = "tests/unit/apis/native/test_native_runs.py::"
SYSTEM_TEST = "tests/system/test_runs.py::"

STALE = KEEPER_TEST + "test_a_workload_whose_token_is_stale_is_ended_at_once"
LEFT = SYSTEM_TEST + "test_what_a_command_leaves_running_is_ended_with_it"
SHIM_KILLED = (
    SYSTEM_TEST + "test_a_workload_whose_shim_is_killed_goes_too_and_its_lease_is_given_back"
)

MUTANTS = (
    Mutant(
        "a workload whose token is stale runs on",
        (Edit(KEEPER, "                run.is_fenced = True\n", "                continue\n"),),
        STALE,
    ),
    Mutant(
        "a lease whose shim is gone is kept",
        (
            Edit(
                KEEPER,
                "        if result is not None:\n            await",
                "        if result is None:\n            return\n        else:\n            await",
            ),
        ),
        KEEPER_TEST + "test_a_lease_whose_shim_is_gone_is_given_back",
    ),
    Mutant(
        "notice is told at every look",
        (Edit(KEEPER, "            run.told.add(word)\n", ""),),
        KEEPER_TEST + "test_notice_and_stop_are_passed_on_once_each",
    ),
    Mutant(
        "the environment of who ordered it is kept",
        (Edit(KEEPER, "msgspec.structs.replace(order, environment={})", "order"),),
        KEEPER_TEST + "test_the_environment_is_forgotten_once_it_was_started",
    ),
    Mutant(
        "the lease of a process that died on the way is not looked for",
        (Edit(KEEPER, 'if lease.purpose.split(" ", 1)[0] == run.id:', "if not lease.id:"),),
        KEEPER_TEST + "test_the_lease_of_a_claim_whose_maker_died_is_found",
    ),
    Mutant(
        "a workload is started again where it was before",
        (Edit(SHIM, "lock_now(lock) and not (folder / STARTED).exists()", "lock_now(lock)"),),
        KEEPER_TEST + "test_a_workload_is_started_once_and_never_again",
    ),
    Mutant(
        "a stale token may use the chip",
        (Edit(LOCKS, "if seen > self._token:", "if seen < 0:"),),
        PARTS_TEST + "test_a_chip_remembers_the_highest_token_and_turns_lower_ones_away",
    ),
    Mutant(
        "two workloads may have a chip at once",
        (Edit(LOCKS, "fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX", "fcntl.LOCK_SH"),),
        PARTS_TEST + "test_a_chip_that_is_used_is_waited_for_and_then_refused",
    ),
    Mutant(
        "a workload is ended when its lease is over already",
        (Edit(ENDING, "kill_s = ends_s - MARGIN_S", "kill_s = ends_s"),),
        PARTS_TEST
        + "test_two_minutes_ahead_it_is_told_then_asked_then_ended_before_the_lease_is_over",
    ),
    Mutant(
        "what a workload leaves behind is not looked for",
        (Edit(PROCESSES, "        if mark in environ", "        if not mark and environ"),),
        LEFT,
    ),
    Mutant(
        "a process amid an exec is taken for none of the run's",
        (Edit(PROCESSES, "bool(found.pids) or not found.is_sure", "bool(found.pids)"),),
        PARTS_TEST + "test_a_process_amid_an_exec_may_be_of_the_run_and_needs_another_look",
    ),
    Mutant(
        "a workload outlives its shim",
        (
            Edit(PROCESSES, "        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)\n", ""),
            Edit(DRIVERS, "            if kill_marked(id):\n", "            if False:\n"),
        ),
        SHIM_KILLED,
    ),
    Mutant(
        "a lease is given back while what it ran may still run",
        (
            Edit(
                DRIVERS,
                "            if kill_marked(id):\n                return Progress.RUNNING",
                "            if kill_marked(id):\n                pass",
            ),
        ),
        KEEPER_TEST + "test_a_run_whose_shim_is_gone_is_over_when_nothing_of_it_runs_any_more",
    ),
    Mutant(
        "imagined capacity ends with success",
        (Edit(RECORDS, "NOTHING_RAN = 69", "NOTHING_RAN = 0"),),
        KEEPER_TEST + "test_capacity_that_is_imagined_runs_nothing_and_never_ends_with_success",
    ),
    Mutant(
        "anybody's key may run commands on the machine",
        (Edit(ROUTES, "if caller.is_operator or", "if caller.services or"),),
        ROUTES_TEST + "test_who_is_no_operator_runs_nothing_unless_a_policy_lets_them",
    ),
    Mutant(
        "a run is shown to any account",
        (
            Edit(
                ROUTES,
                "if claim is None or account not in (None, claim.owner.account):\n        raise",
                "if claim is None:\n        raise",
            ),
        ),
        ROUTES_TEST + "test_a_run_of_another_account_is_nowhere",
    ),
    Mutant(
        "an id may lead out of the folder of runs",
        (Edit(FOLDER, "        if not _ID.fullmatch(id):\n", "        if not id:\n"),),
        FOLDER_TEST + "test_an_id_that_is_none_leads_nowhere",
    ),
    Mutant(
        "a log grows without end",
        (Edit(LOG, "[: -self._pieces_max]", "[:0]"),),
        LOG_TEST + "test_only_the_latest_pieces_are_kept_and_who_reads_on_is_told",
    ),
    Mutant(
        "models run on while the machine is leased",
        (
            Edit(
                ENGINES,
                "        if self._why_not is not None:\n            self._asked",
                "        if 0:\n            self._asked",
            ),
        ),
        ENGINES_TEST
        + "test_engines_stop_while_the_machine_is_leased_and_their_clients_are_told_until_when",
    ),
    Mutant(
        "models wait for a lease that can't be had",
        (
            Edit(
                MACHINE,
                "error=error.message)\n                self._say(None)\n",
                'error=error.message)\n                self._say("no")\n',
            ),
        ),
        MACHINE_TEST + "test_models_serve_where_no_lease_can_be_had",
    ),
    Mutant(
        "each restart takes another lease of the machine",
        (
            Edit(
                MACHINE,
                "            if lease.state is not LeaseState.ENDED:\n",
                "            if lease.chips < 0:\n",
            ),
        ),
        MACHINE_TEST
        + "test_it_is_asked_for_on_behalf_of_who_was_there_first_and_lasts_through_restarts",
    ),
)
