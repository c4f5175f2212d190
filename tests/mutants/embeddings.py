"""Sabotages of what embeds and of the runtimes: each counts, cuts or tells what it must not."""

from tests.mutants.catalogue import Edit, Mutant

EMBEDDED = "src/craton/models/engines/embedded/"
BATCHES = EMBEDDED + "embeddings_batches.py"
WORDS = EMBEDDED + "embeddings_wordpiece.py"
TEXT = EMBEDDED + "openvino_text.py"
TURN = "src/craton/apis/embedding.py"
COHERE = "src/craton/dialects/cohere.py"
WEIGHTS = "src/craton/models/weights.py"
KEEPER = "src/craton/bootstrap/engine_specs.py"
NATIVE = "src/craton/apis/native/catalogue.py"
LINK = EMBEDDED + "link.py"
SERVING = EMBEDDED + "serving.py"

BATCHES_TEST = "tests/unit/models/test_embedding_batches.py::"
WORDS_TEST = "tests/unit/models/test_embedding_wordpiece.py::"
TEXT_TEST = "tests/unit/models/test_openvino_text.py::"
TURN_TEST = "tests/unit/apis/test_bedrock_turn.py::"
WEIGHTS_TEST = "tests/unit/models/test_weights.py::"
KEEPER_TEST = "tests/unit/bootstrap/test_engine_keeper.py::"
NATIVE_TEST = "tests/unit/apis/native/test_native_operations.py::"
CLIENT_TEST = "tests/unit/models/test_embedded_client.py::"
SERVING_TEST = "tests/unit/models/test_embedded_serving.py::"
IDLE_TEST = "tests/unit/models/test_embedded_idleness.py::"

MUTANTS = (
    Mutant(
        "a large request of texts is embedded before a small one",
        (
            Edit(
                BATCHES,
                "                self._jobs.append(job)\n        return batch\n",
                "                self._jobs.appendleft(job)\n        return batch\n",
            ),
        ),
        BATCHES_TEST + "test_a_small_request_does_not_wait_for_a_large_one",
    ),
    Mutant(
        "texts are embedded for a client that left",
        (
            Edit(
                BATCHES,
                "if job.stop.requested or job.done.done():\n",
                "if job.done.done():\n",
            ),
        ),
        BATCHES_TEST + "test_a_stop_starts_no_batch_while_others_are_under_way",
    ),
    Mutant(
        "any number of texts may wait to be embedded",
        (
            Edit(
                BATCHES,
                "if self.texts + len(texts) > self._texts_max and self.texts:\n",
                "if False:\n",
            ),
        ),
        BATCHES_TEST + "test_too_many_texts_are_refused_and_room_comes_back",
    ),
    Mutant(
        "a text that may not be cut is cut",
        (Edit(BATCHES, "if each.is_cut and not may_cut:\n", "if False:\n"),),
        BATCHES_TEST + "test_a_text_that_may_not_be_cut_is_refused_by_its_number",
    ),
    Mutant(
        "all texts of a stopped request are billed",
        (
            Edit(
                BATCHES,
                "            sum(len(text.ids) for _, text in made),\n",
                "            sum(len(text.ids) for text in texts),\n",
            ),
        ),
        BATCHES_TEST + "test_a_stop_ends_it_after_the_batch_under_way_with_what_was_done",
    ),
    Mutant(
        "a cut text loses the mark that ends it",
        (
            Edit(
                WORDS,
                "return Tokens([*ids, self._last], is_cut=True)\n",
                "return Tokens(ids, is_cut=True)\n",
            ),
        ),
        WORDS_TEST + "test_the_limit_counts_the_marks_and_says_whether_it_cut",
    ),
    Mutant(
        "accents stay on letters",
        (Edit(WORDS, 'if unicodedata.category(letter) != "Mn"\n', "if letter\n"),),
        WORDS_TEST + "test_a_text_is_cut_into_the_longest_pieces_of_its_words",
    ),
    Mutant(
        "nobody is told that a text was cut",
        (Edit(TURN, "        if made.texts_cut:\n", "        if False:\n"),),
        TURN_TEST + "test_a_text_is_cut_only_where_its_wire_allows_and_the_answer_says_so",
    ),
    Mutant(
        "Cohere's texts are cut unasked",
        (Edit(COHERE, 'may_cut=body.truncate in {"END", "RIGHT"},', "may_cut=True,"),),
        TURN_TEST + "test_a_text_is_cut_only_where_its_wire_allows_and_the_answer_says_so",
    ),
    Mutant(
        "vectors cost no processor time",
        (Edit(TURN, "                chip_us=done.chip_us,\n", ""),),
        TURN_TEST + "test_who_leaves_while_it_embeds_pays_for_what_was_done",
    ),
    Mutant(
        "a spoiled vocabulary is used",
        (
            Edit(
                WEIGHTS,
                "for part in artifact.parts if not",
                "for part in artifact.parts[:1] if not",
            ),
        ),
        WEIGHTS_TEST + "test_a_file_beside_the_weights_that_is_gone_or_spoiled_is_fetched_again",
    ),
    Mutant(
        "what embeds takes memory from the start",
        (Edit(KEEPER, "if _embeds(card) and model not in self._asked:\n", "if False:\n"),),
        KEEPER_TEST + "test_what_embeds_takes_neither_weights_nor_a_process_until_it_is_asked",
    ),
    Mutant(
        "weights that embed are offered as text",
        (Edit(NATIVE, "if weights.find(source.weights).embeds != embeds:\n", "if False:\n"),),
        NATIVE_TEST + "test_what_a_source_cannot_put_out_is_refused",
    ),
    Mutant(
        "half a letter is told",
        (
            Edit(
                TEXT,
                '.decode(self._spelled.get(token, b""))',
                '.decode(self._spelled.get(token, b""), True)',
            ),
        ),
        TEXT_TEST + "test_a_letter_of_several_tokens_is_told_when_it_is_whole",
    ),
    Mutant(
        "a stop in the frame of its request is lost",
        (
            Edit(
                SERVING,
                "                    stop = self._stops[channel][request_id] = Stop()\n",
                "                    stop = Stop()\n"
                "                    stops = self._stops[channel]\n"
                "                    loop = asyncio.get_running_loop()\n"
                "                    loop.call_soon(stops.__setitem__, request_id, stop)\n",
            ),
        ),
        CLIENT_TEST + "test_a_stop_in_the_same_breath_as_its_request_is_heard",
    ),
    Mutant(
        "an engine process dies with its last lines unwritten",
        (Edit(SERVING, "    finally:\n        log.flush()\n", ""),),
        SERVING_TEST + "test_what_was_said_before_an_unexpected_end_is_written",
    ),
    Mutant(
        "a process rests while a worker is connected",
        (Edit(SERVING, "            self._idleness.end()\n", "            pass\n"),),
        IDLE_TEST + "test_rest_counts_from_when_the_last_worker_hung_up",
    ),
    Mutant(
        "a worker holds on to a process that it doesn't need",
        (Edit(LINK, "if seconds is not None and not self._takers", "if False and seconds"),),
        IDLE_TEST + "test_a_worker_that_asks_nothing_hangs_up_and_comes_back",
    ),
    Mutant(
        "a worker hangs up on its own request",
        (
            Edit(
                LINK,
                "        self._takers[request_id] = take\n        self._end_idle()\n",
                "        self._takers[request_id] = take\n",
            ),
        ),
        IDLE_TEST + "test_a_worker_does_not_hang_up_while_it_waits_for_an_answer",
    ),
    Mutant(
        "a link that was hung up is asked",
        (Edit(LINK, "        self._is_given_up = True\n", ""),),
        IDLE_TEST + "test_whoever_hung_up_is_not_asked_in_the_same_turn",
    ),
    Mutant(
        "a process that leaves takes one more request",
        (Edit(SERVING, "        if self._is_closed:\n", "        if False:\n"),),
        IDLE_TEST + "test_who_comes_while_the_process_leaves_is_sent_to_the_next",
    ),
)
