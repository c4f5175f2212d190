"""Sabotages of several answers to one request."""

from tests.mutants.catalogue import one

CHOICES = "src/craton/models/choices.py"
INFERENCE = "src/craton/apis/inference.py"
STREAM = "src/craton/dialects/openai_chat_stream.py"
UNIT = "tests/unit/models/test_choices.py::"
BOUNDS = "tests/unit/apis/test_inference_bounds.py::"
SDK = "tests/sdk/test_openai_choices.py::"


MUTANTS = (
    one(
        "a second choice is held at nothing",
        INFERENCE,
        "most[_OUTPUT_TOKENS] = output_tokens * choices",
        "most[_OUTPUT_TOKENS] = output_tokens",
        BOUNDS + "test_every_choice_is_held",
    ),
    one(
        "of several choices only the first is billed",
        CHOICES,
        "output_tokens=sum(each.usage.output_tokens for each in used)",
        "output_tokens=used[0].usage.output_tokens",
        SDK + "test_several_choices_are_answered_and_the_prompt_is_billed_once",
    ),
    one(
        "the prompt is billed for every choice",
        CHOICES,
        "prompts = used[:1] if is_prompt_once else used",
        "prompts = used",
        SDK + "test_several_choices_are_answered_and_the_prompt_is_billed_once",
    ),
    one(
        "every choice has the same seed",
        CHOICES,
        "seed=one.seed + number",
        "seed=one.seed",
        UNIT + "test_an_engine_is_asked_for_one_answer_each_under_an_id_and_a_seed_of_its_own",
    ),
    one(
        "choices go on when one has failed",
        CHOICES,
        "        await _abandon(coming, streams.values())",
        "        pass",
        UNIT + "test_one_that_fails_ends_them_all_and_nothing_goes_on_behind",
    ),
    one(
        "a choice is told as complete before the bill",
        STREAM,
        '                self._ended[event.choice] = event.event\n                return b""',
        "                self._ended[event.choice] = event.event\n"
        "                return self._writers[event.choice].end_choice(event.event)",
        "tests/unit/dialects/test_openai_chat_choices.py::"
        "test_nothing_of_several_choices_is_told_as_complete_before_all_are",
    ),
)
