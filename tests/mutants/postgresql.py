"""Sabotages of what is stored in PostgreSQL: each loses, mixes up or tells what it must not."""

from tests.mutants.catalogue import Edit, Mutant

STORE = "src/craton/store/postgresql.py"
URL = "src/craton/bootstrap/database_url.py"
COLUMNS = "src/craton/bootstrap/migrations/columns.py"
TEST = "tests/unit/store/test_postgresql.py::"
URL_TEST = "tests/unit/bootstrap/test_database_url.py::"
CRASH = "tests/crash/test_crash_small.py::"

MUTANTS = (
    Mutant(
        "a server with fsync=off is taken",
        (Edit(STORE, '    if fsync != "on":\n', "    if False:\n"),),
        TEST + "test_a_server_that_may_lose_what_it_acknowledged_is_refused",
    ),
    Mutant(
        "a server with synchronous_commit=off is taken",
        (Edit(STORE, '    if synchronous_commit == "off":\n', "    if False:\n"),),
        TEST + "test_a_server_that_may_lose_what_it_acknowledged_is_refused",
    ),
    Mutant(
        "commits to PostgreSQL don't wait for its disk",
        (
            Edit(
                STORE,
                '    return [("synchronous_commit", synchronous_commit)]\n',
                '    return [("synchronous_commit", "off")]\n',
            ),
        ),
        CRASH + "test_none_is_lost_either_when_the_database_server_is_killed",
    ),
    Mutant(
        "durability is left to what the server is told later",
        (
            Edit(
                STORE,
                '    return [("synchronous_commit", synchronous_commit)]\n',
                "    return []\n",
            ),
        ),
        TEST + "test_a_commit_stays_durable_whatever_the_server_is_told_later",
    ),
    Mutant(
        "two Cratons write to one database",
        (Edit(STORE, "        _lock(connection, url)\n", ""),),
        TEST + "test_one_session_writes_at_a_time",
    ),
    Mutant(
        "a COMMIT that was answered with ROLLBACK counts",
        (Edit(STORE, 'cursor.statusmessage != "COMMIT"', "False"),),
        TEST + "test_a_commit_that_became_a_rollback_is_no_commit",
    ),
    Mutant(
        "a group whose session broke is refused, though it may be committed",
        (
            Edit(
                STORE,
                "        if self._connection.closed or _is_the_end(error):\n",
                "        if False:\n",
            ),
        ),
        TEST + "test_a_session_that_broke_is_lost_and_says_nothing_else",
    ),
    Mutant(
        "ids in PostgreSQL are compared by language",
        (Edit(COLUMNS, 'TEXT(collation="C")', "TEXT()"),),
        TEST + "test_ids_and_prefixes_are_compared_byte_by_byte",
    ),
    Mutant(
        "readers may write",
        (Edit(STORE, 'AS TRANSACTION READ ONLY"', 'AS TRANSACTION READ WRITE"'),),
        TEST + "test_readers_see_what_is_committed_and_write_nothing",
    ),
    Mutant(
        "a password on the command line is taken",
        (Edit(URL, "    if parts.password is not None or any(", "    if any("),),
        URL_TEST + "test_a_password_on_the_command_line_is_refused_and_not_repeated",
    ),
    Mutant(
        "a ledger in a file is left behind",
        (
            Edit(
                URL,
                "    if remembered(data) is None and ledger_file.exists():\n",
                "    if False:\n",
            ),
        ),
        URL_TEST + "test_a_ledger_in_a_file_is_not_left_behind",
    ),
)
