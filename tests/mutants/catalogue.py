"""The sabotages: each breaks one promise in one place, and names the test that must see it.

An edit's text must stand in its file exactly once, so that a change of the code is noticed here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace one text of one file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A named sabotage and the test that must fail with it."""

    name: str
    edits: tuple[Edit, ...]
    test: str


def one(name: str, file: str, old: str, new: str, test: str) -> Mutant:
    """A sabotage of one place."""
    return Mutant(name, (Edit(file, old, new),), test)


INFERENCE = "src/craton/apis/inference.py"
APP = "src/craton/apis/app.py"
PIPELINE = "src/craton/store/pipeline.py"
CLIENT = "src/craton/store/client.py"
LEDGER = "src/craton/economics/ledger.py"
DIRECTORY = "src/craton/access/directory.py"
SIGV4 = "src/craton/access/sigv4.py"
VAULT = "src/craton/access/vault.py"
ROUTER = "src/craton/models/router.py"
DATABASE = "src/craton/store/database.py"
SQLITE = "src/craton/store/sqlite.py"
MIGRATION = "src/craton/bootstrap/migrations/versions/r0001_beginning.py"

TURN = "tests/unit/apis/test_inference_turn.py::"
TOP = "tests/unit/apis/test_inference_app.py::"
PIPELINE_TEST = "tests/unit/store/test_pipeline.py::"
CLIENT_TEST = "tests/unit/store/test_state_client.py::"
LEDGER_TEST = "tests/unit/economics/test_ledger.py::"
ACCESS_TEST = "tests/unit/access/test_access_commands.py::"
SIGV4_TEST = "tests/unit/access/test_sigv4.py::"
POWER_TEST = "tests/powerloss/test_power_loss.py::"
PLANNER_TEST = "tests/unit/silicon/test_planner.py::"

_POST = """        try:
            reply = await self._state.submit(name, body,"""
_ALREADY_REPLIED = """            for session, reply in posts:
                session.channel.send(reply)
            self._publish_and_reply(published, singles)
            self._connection.execute("COMMIT")
"""

MUTANTS = (
    Mutant(
        "the terminal frame leaves before the post",
        (
            Edit(
                INFERENCE,
                _POST,
                "        if turn.request.stream:\n            responder.write(last)\n" + _POST,
            ),
        ),
        TURN + "test_no_terminal_frame_leaves_before_the_post_is_acknowledged",
    ),
    Mutant(
        "a refused post is swallowed",
        (
            Edit(
                INFERENCE,
                "            _fail(turn, error)\n        if turn.request.stream:\n",
                '            reply = b""\n        if turn.request.stream:\n',
            ),
        ),
        TURN + "test_a_refused_post_ends_the_stream_with_an_error_and_no_terminal_frame",
    ),
    Mutant(
        "the pipeline replies before its commit",
        (Edit(PIPELINE, '            self._connection.execute("COMMIT")\n', _ALREADY_REPLIED),),
        PIPELINE_TEST + "test_no_reply_leaves_before_the_commit",
    ),
    Mutant(
        "a failed commit is not rolled back",
        (Edit(PIPELINE, "            rollback(self._connection)\n", ""),),
        PIPELINE_TEST + "test_a_failed_commit_refuses_all_and_keeps_nothing",
    ),
    Mutant(
        "a refused command is not undone",
        (Edit(DATABASE, '        connection.execute("ROLLBACK TO command")\n', ""),),
        PIPELINE_TEST + "test_a_refused_command_leaves_no_trace_and_spares_its_group",
    ),
    Mutant(
        "what a refused command changed is published",
        (Edit(PIPELINE, "                del transaction.changes[mark:]\n", ""),),
        PIPELINE_TEST + "test_a_refused_command_is_not_published",
    ),
    Mutant(
        "synchronous=OFF",
        (Edit(SQLITE, "PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"),),
        POWER_TEST + "test_every_acknowledged_post_survives_power_loss_at_any_moment",
    ),
    Mutant(
        "synchronous=NORMAL",
        (Edit(SQLITE, "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),),
        POWER_TEST + "test_every_acknowledged_post_survives_power_loss_at_any_moment",
    ),
    Mutant(
        "a record sent again replaces the first",
        (
            Edit(
                SQLITE,
                "sqlite.insert(table).on_conflict_do_nothing()",
                'sqlite.insert(table).prefix_with("OR REPLACE")',
            ),
        ),
        LEDGER_TEST + "test_a_record_that_is_there_stays_as_it_was",
    ),
    Mutant(
        "the request id is not unique",
        (
            Edit(
                "src/craton/economics/tables.py",
                'Column("at_ms", BigInteger, nullable=False)',
                'Column("at_ms", BigInteger, primary_key=True)',
            ),
            Edit(
                MIGRATION,
                'sa.Column("at_ms", sa.BigInteger, nullable=False)',
                'sa.Column("at_ms", sa.BigInteger, primary_key=True)',
            ),
        ),
        LEDGER_TEST + "test_the_same_id_at_another_time_is_the_same_record",
    ),
    Mutant(
        "a record sent again under other prices adds postings",
        (Edit(LEDGER, " and record.request_id not in known:", ":"),),
        LEDGER_TEST + "test_a_post_sent_again_under_other_prices_adds_nothing",
    ),
    Mutant(
        "postings are off by one",
        (
            Edit(
                LEDGER,
                "currency, -amount),\n    ]\n    if rated.payee",
                "currency, 1 - amount),\n    ]\n    if rated.payee",
            ),
        ),
        LEDGER_TEST + "test_in_any_sequence_the_ledger_is_a_rating_of_each_first_record",
    ),
    Mutant(
        "a post doesn't release its hold",
        (
            Edit(
                LEDGER,
                "held = self._holds.release(record.request_id, tokens_of(record.quantities))",
                "held = None",
            ),
        ),
        LEDGER_TEST + "test_a_post_releases_its_hold",
    ),
    Mutant(
        "holds outlive their worker",
        (Edit(PIPELINE, "        self._commands.on_closed(session)\n", ""),),
        CLIENT_TEST + "test_holds_die_with_their_connection",
    ),
    Mutant(
        "a failed turn keeps its hold",
        (
            Edit(
                INFERENCE,
                "            if not turn.is_posting:\n                self._void(turn)\n",
                "",
            ),
        ),
        TURN + "test_an_engine_that_fails_before_its_first_event_bills_nothing",
    ),
    Mutant(
        "open holds are not said again",
        (
            Edit(
                CLIENT,
                "        if self.before_calls is not None:\n",
                "        if self.before_calls is not None and False:\n",
            ),
        ),
        CLIENT_TEST + "test_open_holds_are_taken_again_from_a_new_state_process",
    ),
    Mutant(
        "no hold is taken",
        (Edit(INFERENCE, '            self._state.tell("holds", self._encode(holds))\n', ""),),
        TURN + "test_the_hold_comes_first_and_bounds_what_is_posted",
    ),
    Mutant(
        "a client that left doesn't stop its generation",
        (Edit(INFERENCE, "        exchange.responder.on_gone(turn.stop.request)\n", ""),),
        TURN + "test_a_client_that_left_stops_the_engine_and_pays_for_what_was_made",
    ),
    Mutant(
        "cached tokens are left out of the record",
        (
            Edit(
                INFERENCE,
                "        counted[Meter.CACHE_READ_TOKENS] = usage.cache_read_tokens\n",
                "        pass\n",
            ),
        ),
        TURN + "test_the_record_says_what_the_client_was_told",
    ),
    Mutant(
        "an exception becomes a 400",
        (
            Edit(
                APP,
                "is left is our fault\n            self._fail(exchange, error)\n",
                "is left\n            self._refuse(exchange, BadRequest(str(error)))\n",
            ),
            Edit(
                APP,
                "from craton.kernel.errors import CratonError, Fault, Internal\n",
                "from craton.kernel.errors import BadRequest, CratonError, Fault, Internal\n",
            ),
        ),
        TOP + "test_a_fault_of_ours_is_a_500_counted_and_logged_without_the_prompt",
    ),
    Mutant(
        "the worker ignores its lease",
        (
            Edit(
                APP,
                "                if not self._state.is_leased:\n",
                "                if False:\n",
            ),
        ),
        TOP + "test_without_a_lease_nobody_is_let_in",
    ),
    Mutant(
        "a lease never runs out",
        (
            Edit(
                CLIENT,
                "return self._clock.monotonic_ns() < self._lease_until_ns",
                "return self._lease_until_ns > 0",
            ),
        ),
        CLIENT_TEST + "test_a_lease_runs_from_when_its_beat_was_sent",
    ),
    Mutant(
        "a revocation is acknowledged before the workers hold it",
        (Edit(PIPELINE, "            if waiting.version <= held:\n", "            if True:\n"),),
        CLIENT_TEST + "test_a_change_is_acknowledged_only_once_each_leased_worker_has_it",
    ),
    Mutant(
        "leases of workers that are away are forgotten",
        (Edit(PIPELINE, "        if now_ns < self._unseen_until_ns:\n", "        if False:\n"),),
        CLIENT_TEST
        + "test_a_worker_whose_connection_broke_holds_changes_back_while_its_lease_runs",
    ),
    Mutant(
        "what vanished stays in the snapshot",
        (Edit(CLIENT, "for kind, id in self._known - self._seen]", "for kind, id in ()]"),),
        CLIENT_TEST + "test_after_a_restart_vanished_documents_leave_the_snapshot",
    ),
    Mutant(
        "a post in flight is not sent again",
        (
            Edit(
                CLIENT,
                "            if not pending.resend and not pending.future.done():\n",
                "            if not pending.future.done():\n",
            ),
        ),
        CLIENT_TEST + "test_a_post_in_flight_is_sent_again_and_done_once",
    ),
    Mutant(
        "a revoked key is honoured",
        (Edit(DIRECTORY, "        if key.state is not KeyState.ACTIVE:\n", "        if False:\n"),),
        ACCESS_TEST + "test_a_revoked_key_is_refused_and_its_twin_is_not",
    ),
    Mutant(
        "a revoked access key is honoured",
        (
            Edit(
                DIRECTORY, "if key is None or key.state is not KeyState.ACTIVE:", "if key is None:"
            ),
        ),
        ACCESS_TEST + "test_a_revoked_key_is_refused_and_its_twin_is_not",
    ),
    Mutant(
        "secrets lie in the database in plain text",
        (
            Edit(
                VAULT,
                "return nonce + self._cipher.encrypt(nonce, secret, owner.encode())",
                "return nonce + secret",
            ),
            Edit(
                VAULT,
                "return self._cipher.decrypt(nonce, sealed, owner.encode())",
                "return sealed",
            ),
        ),
        ACCESS_TEST + "test_no_secret_lies_in_the_database_in_plain_text",
    ),
    Mutant(
        "a secret opens for any owner",
        (
            Edit(VAULT, "encrypt(nonce, secret, owner.encode())", "encrypt(nonce, secret, None)"),
            Edit(VAULT, "decrypt(nonce, sealed, owner.encode())", "decrypt(nonce, sealed, None)"),
        ),
        "tests/unit/access/test_vault.py::test_a_sealed_secret_opens_for_its_owner_only",
    ),
    Mutant(
        "the signature is not checked",
        (
            Edit(
                SIGV4,
                "    if not hmac.compare_digest(expected.encode(), ",
                "    if not expected and hmac.compare_digest(b'', ",
            ),
        ),
        SIGV4_TEST + "test_a_wrong_secret_does_not_match",
    ),
    Mutant(
        "the body is not part of the signature",
        (
            Edit(
                SIGV4,
                "    body_hash = hashlib.sha256(body).hexdigest()\n",
                '    body_hash = hashlib.sha256(b"").hexdigest()\n',
            ),
        ),
        SIGV4_TEST + "test_whatever_botocore_signs_verifies",
    ),
    Mutant(
        "a declared body hash is believed",
        (
            Edit(
                SIGV4,
                "    if declared is not None and declared != body_hash:\n",
                '    if declared is None and body_hash == "":\n',
            ),
        ),
        SIGV4_TEST + "test_a_declared_body_hash_must_be_that_of_the_body",
    ),
    Mutant(
        "an unknown model falls back to the first there is",
        (
            Edit(
                ROUTER,
                "        names = sorted([*self._cards, *self._aliases])\n",
                "        if self._cards:\n            return next(iter(self._cards.values()))\n"
                "        names = sorted([*self._cards, *self._aliases])\n",
            ),
        ),
        "tests/unit/models/test_router.py::test_an_unknown_name_is_refused_with_what_exists",
    ),
    Mutant(
        "a new state process closes every engine",
        (
            Edit(
                ROUTER,
                "            if card == self._cards.get(change.id):\n",
                "            if False:\n",
            ),
        ),
        "tests/unit/models/test_router.py::"
        "test_a_card_that_is_said_again_unchanged_leaves_its_engine_alone",
    ),
    Mutant(
        "the last usage chunk is dropped",
        (
            Edit(
                "src/craton/dialects/openai_chat_stream.py",
                'return b"".join((self._head, b"]", _tier(event), b\',"usage":\', usage, ',
                'return b"".join((usage[:0], ',
            ),
        ),
        TURN + "test_no_terminal_frame_leaves_before_the_post_is_acknowledged",
    ),
    Mutant(
        "the checksum of an event-stream frame is not checked",
        (
            Edit(
                "src/craton/dialects/eventstream.py",
                "    if crc32(frame[:-4]) != message_crc:\n",
                "    if message_crc < 0:\n",
            ),
        ),
        "tests/unit/dialects/test_eventstream.py::test_any_flipped_bit_is_seen",
    ),
    Mutant(
        "the beginning of a stop sequence leaks",
        (
            Edit(
                "src/craton/models/engines/embedded/stopping.py",
                "        keep = self._partial(held)\n",
                "        keep = 0\n",
            ),
        ),
        "tests/unit/models/test_embedded_stopping.py::"
        "test_a_sequence_that_spans_pieces_is_found_and_never_shown",
    ),
    Mutant(
        "tokens of the cache are counted as input too",
        (
            Edit(
                "src/craton/dialects/anthropic_messages_answer.py",
                '        "input_tokens": usage.input_tokens,\n',
                '        "input_tokens": usage.prompt_tokens,\n',
            ),
        ),
        "tests/properties/test_dialect_anthropic_identity.py",
    ),
    Mutant(
        "a cost is rounded down",
        (
            Edit(
                "src/craton/kernel/units.py",
                "return Nanos(whole + (1 if rest > half or (rest == half and whole & 1) else 0))",
                "return Nanos(whole + 0 * half * rest)",
            ),
        ),
        "tests/unit/kernel/test_units.py::test_a_cost_is_rounded_half_to_even",
    ),
    Mutant(
        "ids repeat when the clock goes back",
        (
            Edit(
                "src/craton/kernel/ids.py",
                "        if now_ms > self._last_ms:\n",
                "        if now_ms != self._last_ms:\n",
            ),
        ),
        "tests/unit/kernel/test_ids.py::"
        "test_ids_of_one_mint_strictly_increase_even_if_the_clock_goes_back",
    ),
    Mutant(
        "a chip figure needs no source",
        (
            Edit(
                "src/craton/silicon/chip_file.py",
                "    if not figure.source.strip():\n",
                "    if figure.source is None:\n",
            ),
        ),
        "tests/unit/silicon/test_catalogue.py::"
        "test_a_wrong_file_is_refused_by_member_with_what_to_write",
    ),
    Mutant(
        "the search prunes what would win",
        (
            Edit(
                "src/craton/silicon/planner_serving.py",
                "        return replicas * layout.chips > self.best.chips\n",
                "        return True\n",
            ),
        ),
        PLANNER_TEST + "test_a_pruned_search_finds_what_an_unpruned_one_finds[1]",
    ),
    Mutant(
        "a plan ignores the limit between tokens",
        (
            Edit(
                "src/craton/silicon/planner_serving.py",
                "        within &= values <= limit\n",
                "        within &= values <= limit * 1e9\n",
            ),
        ),
        PLANNER_TEST + "test_a_plan_keeps_its_limits_and_carries_its_load",
    ),
    Mutant(
        "a bad row ends the predictions",
        (
            Edit(
                "src/craton/silicon/predict.py",
                "    except CratonError as error:\n",
                "    except KeyError as error:\n",
            ),
        ),
        "tests/unit/silicon/test_predict.py::"
        "test_rows_are_answered_in_order_and_a_bad_one_stops_nothing",
    ),
    Mutant(
        "every expert is read, whoever visits it",
        (
            Edit(
                "src/craton/silicon/operations.py",
                "    return count * (1.0 - (1.0 - active / count) **",
                "    return count * (1.0 - (0.0 * active / count) **",
            ),
        ),
        "tests/unit/silicon/test_operations.py::"
        "test_few_tokens_touch_few_experts_and_many_touch_all",
    ),
    Mutant(
        "a quote's id forgets the catalogue",
        (
            Edit(
                "src/craton/silicon/planner.py",
                "msgspec.json.encode([catalogue.chips, catalogue.servers],",
                "msgspec.json.encode([len(catalogue.chips)],",
            ),
        ),
        PLANNER_TEST + "test_the_same_question_has_the_same_id_and_another_has_another",
    ),
)
