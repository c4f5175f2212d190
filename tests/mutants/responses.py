"""Sabotages of kept responses, of what a document promises, and of what is refused by name."""

from tests.mutants.catalogue import INFERENCE, Edit, Mutant

KEPT = "src/craton/models/responses_kept.py"
ENDPOINTS = "src/craton/apis/openai/responses.py"
REQUEST = "src/craton/dialects/openai_responses_request.py"
ANSWER = "src/craton/dialects/openai_responses_answer.py"
STREAM = "src/craton/dialects/openai_responses_stream.py"
ITEMS = "src/craton/dialects/openai_responses_items.py"
SETTINGS = "src/craton/dialects/openai_chat_settings.py"
EMBEDDINGS = "src/craton/dialects/openai_embeddings.py"
ANTHROPIC = "src/craton/apis/anthropic/endpoints.py"

KEPT_TEST = "tests/unit/models/test_responses_kept.py::"
TURN_TEST = "tests/unit/apis/test_openai_responses_turn.py::"
REFUSALS_TEST = "tests/unit/dialects/test_openai_responses_refusals.py::"
SDK_TEST = "tests/unit/dialects/test_openai_responses_sdk.py::"
IDENTITY_TEST = "tests/properties/test_openai_responses_identity.py::"
SETTINGS_TEST = "tests/unit/dialects/test_openai_chat_settings.py::"
MODELS_TEST = "tests/unit/apis/test_anthropic_models.py::"

MUTANTS = (
    Mutant(
        "an answer is posted and not kept",
        (
            Edit(
                INFERENCE,
                "if keep is None or gone else keep(record)",
                "",
            ),
        ),
        TURN_TEST + "test_what_is_kept_is_what_the_client_was_told",
    ),
    Mutant(
        "a response is kept though its post failed",
        (
            Edit(
                KEPT,
                "        replies = list(self._post(transaction, [command.record for command in "
                "commands]))\n",
                "        try:\n"
                "            records = [command.record for command in commands]\n"
                "            replies = list(self._post(transaction, records))\n"
                "        except OSError:\n"
                "            replies = []\n",
            ),
        ),
        KEPT_TEST + "test_nothing_is_kept_where_the_post_fails",
    ),
    Mutant(
        "one account reads another's responses",
        (
            Edit(
                KEPT,
                '        RESPONSES.c.account == bindparam("a"),\n        RESPONSES.c.at_ms',
                "        RESPONSES.c.at_ms",
            ),
        ),
        KEPT_TEST + "test_one_account_never_reads_or_deletes_what_another_keeps",
    ),
    Mutant(
        "a kept response never expires",
        (Edit(KEPT, '        RESPONSES.c.at_ms > bindparam("since"),\n', ""),),
        KEPT_TEST + "test_what_is_too_old_is_not_found_and_then_taken_away",
    ),
    Mutant(
        "an account keeps as much as it likes",
        (
            Edit(
                KEPT,
                "            total = _drop_oldest(connection, account, total, target)\n",
                "            del target\n",
            ),
        ),
        KEPT_TEST + "test_an_accounts_oldest_go_when_it_keeps_too_much",
    ),
    Mutant(
        "a conversation by ids has no bound",
        (Edit(KEPT, "len(chain) == CHAIN_MAX or size > CHAIN_BYTES_MAX", "size > 2**40"),),
        KEPT_TEST + "test_a_chain_has_bounds",
    ),
    Mutant(
        "the hold forgets what was recalled",
        (
            Edit(
                ENDPOINTS,
                "        exchange.recalled_bytes += len(kept.input) + len(kept.response)\n",
                "",
            ),
        ),
        TURN_TEST + "test_the_hold_bounds_a_conversation_that_was_not_sent",
    ),
    Mutant(
        "an answer too long to keep says that it is stored",
        (Edit(ANSWER, 'body = _encode({**document, "store": False})', "pass"),),
        REFUSALS_TEST + "test_an_answer_too_long_to_keep_says_that_it_is_not_stored",
    ),
    Mutant(
        "a built-in tool is passed over",
        (Edit(REQUEST, '    if kind != "function":\n', '    if kind == "nothing":\n'),),
        REFUSALS_TEST + "test_what_is_not_built_is_refused_by_name",
    ),
    Mutant(
        "an item ends before it is known to be whole",
        (
            Edit(
                STREAM,
                "                return self._end_item(event.stop_reason)\n",
                "                return self._end_item(None)\n",
            ),
        ),
        SDK_TEST + "test_why_it_stopped_is_told",
    ),
    Mutant(
        "a step of the stream has no number of its own",
        (
            Edit(
                STREAM,
                "        self._pieces.append(delta.text)\n        self._sequence += 1\n",
                "        self._pieces.append(delta.text)\n",
            ),
        ),
        IDENTITY_TEST + "test_a_stream_ends_with_the_document_of_the_whole_answer",
    ),
    Mutant(
        "a call given back loses its turn",
        (Edit(ITEMS, "        self._said += blocks\n", "        self._said = [*blocks]\n"),),
        IDENTITY_TEST + "test_an_answer_given_back_as_input_is_what_the_model_said",
    ),
    Mutant(
        "a setting that no engine heeds is passed over",
        (
            Edit(
                SETTINGS,
                '            raise Unsupported(\n                f"`{name}`: is',
                "            continue\n"
                '            raise Unsupported(\n                f"`{name}`: is',
            ),
        ),
        SETTINGS_TEST + "test_what_an_engine_would_pass_over_is_refused_by_name",
    ),
    Mutant(
        "tools that are not allowed are offered",
        (
            Edit(
                SETTINGS,
                "        tools=_only(request.tools, allowed),\n",
                "        tools=request.tools,\n",
            ),
        ),
        SETTINGS_TEST + "test_only_allowed_tools_are_offered",
    ),
    Mutant(
        "tokens are embedded as if they were text",
        (
            Edit(
                EMBEDDINGS,
                "        if not isinstance(text, str):\n",
                "        text = str(text)\n        if not isinstance(text, str):\n",
            ),
        ),
        "tests/unit/dialects/test_openai_embeddings.py::test_tokens_are_refused_with_what_to_do",
    ),
    Mutant(
        "the next page of models begins too early",
        (Edit(ANTHROPIC, '"after_id", after) + 1 :', '"after_id", after) :'),),
        MODELS_TEST + "test_a_page_is_what_was_asked_for",
    ),
)
