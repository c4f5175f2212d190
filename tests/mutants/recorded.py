"""Sabotages of how upstreams' own answers are read, and of what a group of commands lists."""

from tests.mutants.catalogue import Edit, Mutant

CONVERSE_ERRORS = "src/craton/dialects/converse_errors.py"
RETRY = "src/craton/models/engines/upstream/retry.py"
CHAT_ANSWER = "src/craton/dialects/openai_chat_answer.py"
CHAT_ERRORS = "src/craton/dialects/openai_chat_errors.py"
CHAT_STREAM = "src/craton/dialects/openai_chat_stream.py"
ANTHROPIC_STREAM = "src/craton/dialects/anthropic_messages_stream.py"
GROUPS = "src/craton/cli/groups.py"

UPSTREAMS_TEST = "tests/unit/dialects/test_openai_chat_upstreams.py::"


def recorded(body: str) -> str:
    """The test that reads one recorded answer."""
    return (
        "tests/unit/models/test_remote_recorded.py::"
        f"test_what_an_upstream_was_seen_to_send_is_read[{body}]"
    )


MUTANTS = (
    Mutant(
        "a prompt too long for Nova is a request that is wrong",
        (Edit(CONVERSE_ERRORS, "|input tokens exceeded", ""),),
        recorded("bedrock-too-long.json"),
    ),
    Mutant(
        "how long an upstream asks to wait isn't heeded",
        (Edit(RETRY, '    text = headers.get(b"retry-after")\n', "    text = None\n"),),
        recorded("azure-rate-limit.json"),
    ),
    Mutant(
        "what a cache served is billed at full price as well",
        (
            Edit(
                CHAT_ANSWER,
                "input_tokens=prompt_tokens - read - written",
                "input_tokens=prompt_tokens - written",
            ),
        ),
        recorded("openai-tool-call.sse"),
    ),
    Mutant(
        "the counts at the end of Anthropic's stream are passed over",
        (
            Edit(
                ANTHROPIC_STREAM,
                "        if value is not None and value is not UNSET:\n            setattr",
                "        if value is None and value is not UNSET:\n            setattr",
            ),
        ),
        recorded("anthropic-web-search.sse"),
    ),
    Mutant(
        "logprobs of a tool call are text",
        (Edit(CHAT_STREAM, " and not (delta.tool_calls or thinks)", ""),),
        recorded("vllm-tool-call-with-logprobs.sse"),
    ),
    Mutant(
        "a call that doesn't say its type can't be read",
        (Edit(CHAT_ANSWER, 'call.type in (None, "function")', 'call.type == "function"'),),
        recorded("mistral-tool-call.json"),
    ),
    Mutant(
        "an empty string stands for no arguments",
        (
            Edit(
                CHAT_ANSWER,
                '"{}" if function.arguments is None else function.arguments',
                'function.arguments or ""',
            ),
        ),
        UPSTREAMS_TEST + "test_a_call_without_arguments_has_none_and_is_told_on_as_an_empty_object",
    ),
    Mutant(
        "any answer may lack its message",
        (Edit(CHAT_ANSWER, "elif stop.stop_reason is StopReason.CONTENT_FILTERED:", "elif True:"),),
        UPSTREAMS_TEST
        + "test_an_answer_without_a_message_that_nothing_filtered_is_an_engine_failure",
    ),
    Mutant(
        "what Mistral's models think is lost",
        (
            Edit(
                CHAT_ANSWER,
                "                    yield BlockKind.REASONING, text\n",
                "                    pass\n",
            ),
        ),
        recorded("mistral-thinking.sse"),
    ),
    Mutant(
        "the words of an error under `detail` are lost",
        (Edit(CHAT_ERRORS, '        said = error.get("detail")\n', "        pass\n"),),
        recorded("mistral-wrong-key.json"),
    ),
    Mutant(
        "what a model thought beyond its count is free",
        (
            Edit(
                CHAT_ANSWER,
                "return usage.prompt_tokens, usage.total_tokens - usage.prompt_tokens",
                "return usage.prompt_tokens, usage.completion_tokens",
            ),
        ),
        recorded("gemini-thinking.json"),
    ),
    Mutant(
        "what was heard is billed as if it had been said",
        (Edit(CHAT_ANSWER, '.get("prompt_audio_seconds")', '.get("audio_seconds")'),),
        recorded("mistral-audio.json"),
    ),
    Mutant(
        "an error in a 200 is an answer that can't be read",
        (Edit(CHAT_ANSWER, "raise told_error_in(body) or _unreadable", "raise _unreadable"),),
        UPSTREAMS_TEST + "test_an_error_in_a_200_is_the_upstreams_own",
    ),
    Mutant(
        "an error instead of a stream is a stream that broke off",
        (Edit(CHAT_STREAM, "            self._unframed += data\n", "            pass\n"),),
        UPSTREAMS_TEST + "test_an_error_in_a_200_is_the_upstreams_own",
    ),
    Mutant(
        "an upstream that refuses our key in a 200 makes the caller doubt theirs",
        (
            Edit(
                CHAT_ERRORS,
                '    return EngineFailed(f"The upstream refused: {error.message}")\n',
                "    return error\n",
            ),
        ),
        UPSTREAMS_TEST + "test_an_error_in_a_200_is_the_upstreams_own",
    ),
    Mutant(
        "a group of commands lists nothing when it is called alone",
        (Edit(GROUPS, "        app.callback()(alone)\n", ""),),
        "tests/sdk/test_native_cli.py::test_a_key_works_until_it_is_revoked",
    ),
)
