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
SESSION = "src/craton/apis/openai/responses_session.py"
SOCKET = "src/craton/apis/openai/responses_socket.py"
WEBSOCKET = "src/craton/http/websocket.py"
FRAMES = "src/craton/http/websocket_frames.py"
MESSAGES = "src/craton/dialects/anthropic_messages_request.py"
SETTLED = "src/craton/apis/bedrock/settings.py"
LLAMA = "src/craton/dialects/llama.py"

KEPT_TEST = "tests/unit/models/test_responses_kept.py::"
TURN_TEST = "tests/unit/apis/test_openai_responses_turn.py::"
REFUSALS_TEST = "tests/unit/dialects/test_openai_responses_refusals.py::"
SDK_TEST = "tests/unit/dialects/test_openai_responses_sdk.py::"
IDENTITY_TEST = "tests/properties/test_openai_responses_identity.py::"
SETTINGS_TEST = "tests/unit/dialects/test_openai_chat_settings.py::"
SOCKET_TEST = "tests/unit/apis/test_openai_responses_socket.py::"
WEBSOCKET_TEST = "tests/unit/http/test_websocket.py::"
FRAMES_TEST = "tests/unit/http/test_websocket_frames.py::"
BETAS_TEST = "tests/unit/apis/test_anthropic_betas.py::"
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
    Mutant(
        "a response nobody asked to keep is kept against the operator's word",
        (Edit(REQUEST, "store = stores if wire.store", "store = True if wire.store"),),
        TURN_TEST + "test_an_operator_may_have_kept_only_what_asks_for_it",
    ),
    Mutant(
        "the output of no call is taken for a conversation",
        (Edit(ITEMS, "if output.call_id not in self._calls:", "if not output.call_id:"),),
        REFUSALS_TEST + "test_what_is_wrong_is_named",
    ),
    Mutant(
        "what a failed turn rested on is continued",
        (
            Edit(
                SOCKET,
                "        # here any more, and the client sends its conversation anew.\n"
                "        session.forget()\n",
                "        pass\n",
            ),
        ),
        SOCKET_TEST + "test_what_a_failed_turn_rested_on_is_forgotten",
    ),
    Mutant(
        "a deleted response is continued from memory",
        (Edit(ENDPOINTS, "        if keeping.is_kept:\n", "        if not keeping.document:\n"),),
        SOCKET_TEST + "test_a_stored_answer_is_kept_and_not_remembered_as_well",
    ),
    Mutant(
        "what a connection remembered is not held",
        (Edit(ENDPOINTS, "        exchange.recalled_bytes += len(recalled.items)\n", ""),),
        SOCKET_TEST + "test_what_is_not_stored_is_continued_on_its_own_connection",
    ),
    Mutant(
        "a warm-up asks the model",
        (Edit(ENDPOINTS, "if not asked.generates:", "if asked.generates is None:"),),
        SOCKET_TEST + "test_warming_up_asks_no_model_and_is_continued",
    ),
    Mutant(
        "an answer over a socket ends twice",
        (Edit(SESSION, "not event or name == _ERROR or", "not event or"),),
        SOCKET_TEST + "test_an_engine_that_breaks_ends_its_answer_and_not_the_connection",
    ),
    Mutant(
        "a client that leaves its socket goes unnoticed",
        (Edit(SESSION, "        self._websocket.on_gone = self._tell_gone\n", ""),),
        SOCKET_TEST + "test_a_client_that_leaves_ends_its_answer_and_is_billed",
    ),
    Mutant(
        "connections remember without end",
        (Edit(SESSION, "min(CHAIN_BYTES_MAX, self._room.free_bytes)", "CHAIN_BYTES_MAX"),),
        SOCKET_TEST + "test_what_connections_remember_has_a_bound",
    ),
    Mutant(
        "a signature opens a socket for an hour",
        (Edit(SOCKET, "if principal.credential is Credential.SIGNATURE:", "if False:"),),
        SOCKET_TEST + "test_a_signature_opens_no_websocket",
    ),
    Mutant(
        "a socket lives for ever",
        (Edit(WEBSOCKET, "            self._end(Ending.AGE)\n", "            pass\n"),),
        WEBSOCKET_TEST + "test_an_old_connection_finishes_its_message_and_takes_no_more",
    ),
    Mutant(
        "messages wait without end",
        (Edit(WEBSOCKET, "len(self._messages) == self._limits.waiting_max", "False"),),
        WEBSOCKET_TEST + "test_what_breaks_a_rule_or_a_limit_ends_the_connection_with_its_code",
    ),
    Mutant(
        "a silent socket is kept",
        (Edit(WEBSOCKET, "elif silent_s > limits.silence_s:", "elif False:"),),
        WEBSOCKET_TEST + "test_a_silent_client_is_asked_and_then_cut_off",
    ),
    Mutant(
        "a frame without a mask is read",
        (Edit(FRAMES, "        if not second & _MASKED:\n", "        if False:\n"),),
        FRAMES_TEST + "test_what_breaks_the_rules_is_refused_by_its_code",
    ),
    Mutant(
        "a message over the limit is collected first",
        (
            Edit(
                FRAMES,
                'if length + len(self._begun or b"") > self._message_bytes_max:',
                "if False:",
            ),
        ),
        FRAMES_TEST + "test_a_message_over_the_limit_is_refused_before_it_has_come",
    ),
    Mutant(
        "betas stand in a body that has no place for them",
        (
            Edit(
                MESSAGES,
                "additional: Any = without_betas(request).additional_fields",
                "additional: Any = request.additional_fields",
            ),
        ),
        BETAS_TEST + "test_a_server_of_anthropics_gets_them_in_its_header_and_not_in_the_body",
    ),
    Mutant(
        "an engine is told of betas that it doesn't know",
        (Edit(SETTLED, "    request = without_betas(request)  #", "    #"),),
        BETAS_TEST + "test_a_body_of_bedrocks_carries_them_to_whom_they_concern",
    ),
    Mutant(
        "a picture is put elsewhere than marked",
        (
            Edit(
                LLAMA,
                "    for piece in pieces:\n        content.append(next(waiting))\n"
                "        if piece.strip():\n            content.append(Text(text=piece))\n",
                "    for piece in pieces:\n"
                "        if piece.strip():\n            content.append(Text(text=piece))\n"
                "        content.append(next(waiting))\n",
            ),
        ),
        "tests/unit/dialects/test_invoke_media.py::"
        "test_llamas_pictures_stand_where_the_prompt_marks_them",
    ),
)
