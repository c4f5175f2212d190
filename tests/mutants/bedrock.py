"""Sabotages of InvokeModel, of embeddings, and of what Bedrock's callers may ask."""

from tests.mutants.catalogue import Edit, Mutant

TITAN = "src/craton/dialects/titan.py"
CHUNKS = "src/craton/dialects/invoke_stream.py"
EMBEDDING = "src/craton/dialects/embedding.py"
EMBEDDING_TURN = "src/craton/apis/embedding.py"
INFERENCE = "src/craton/apis/bedrock/inference.py"
SETTINGS = "src/craton/apis/bedrock/settings.py"
PROFILES = "src/craton/apis/bedrock/inference_profiles.py"

TURN_TEST = "tests/unit/apis/test_bedrock_turn.py::"
FORMATS_TEST = "tests/unit/dialects/test_invoke_formats.py::"
SDK_TEST = "tests/sdk/test_boto3_invoke.py::"

MUTANTS = (
    Mutant(
        "the last chunk of InvokeModel leaves with the stop, before the post",
        (
            Edit(
                TITAN,
                "            self._stop = event\n",
                "            self._stop = event\n"
                '            return [self._part("", Usage(), _reason(event))]\n',
            ),
        ),
        TURN_TEST + "test_no_last_chunk_leaves_before_the_post_is_acknowledged",
    ),
    Mutant(
        "vectors are scaled before they are cut",
        (
            Edit(
                EMBEDDING,
                "        vectors = [vector[:dimensions] for vector in vectors]\n",
                "        return [unit(vector)[:dimensions] for vector in vectors]\n",
            ),
        ),
        FORMATS_TEST + "test_vectors_are_shortened_first_and_scaled_then",
    ),
    Mutant(
        "an engine that lost a vector is paid",
        (Edit(EMBEDDING_TURN, "if len(done.vectors) == len(asked.texts):", "if done.vectors:"),),
        TURN_TEST + "test_an_engine_that_loses_a_vector_is_not_billed",
    ),
    Mutant(
        "counting tokens asks no policy",
        (
            Edit(
                INFERENCE,
                "        exchange.allowed.about_model(COUNT_TOKENS, route.card.id, model)\n",
                "",
            ),
        ),
        SDK_TEST + "test_policies_decide_about_the_model_whatever_the_operation",
    ),
    Mutant(
        "a guardrail is dropped in silence",
        (Edit(SETTINGS, "        and request.guardrail is None\n", ""),),
        SDK_TEST + "test_guardrails_are_refused_not_lost",
    ),
    Mutant(
        "prompt variables that nothing waits for are refused",
        (
            Edit(
                SETTINGS, "request = msgspec.structs.replace(request, prompt_variables={})", "pass"
            ),
        ),
        "tests/unit/apis/test_bedrock_turn.py::"
        "test_an_engine_hears_nothing_of_prompt_variables_which_only_prompts_have",
    ),
    Mutant(
        "a card's formats are ignored",
        (
            Edit(
                INFERENCE,
                "choose(members, card.formats, embeds",
                "choose(members, (), embeds",
            ),
        ),
        SDK_TEST + "test_a_card_that_names_formats_refuses_the_others",
    ),
    Mutant(
        "a page of profiles begins with the last one's end",
        (Edit(PROFILES, "or id > after", "or id >= after"),),
        SDK_TEST + "test_models_and_aliases_are_profiles_page_by_page",
    ),
)
