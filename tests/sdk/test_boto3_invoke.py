"""boto3, unchanged: InvokeModel in every body format, its stream, CountTokens and the profiles."""

import json
import math
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from anthropic import AnthropicBedrock
from botocore.config import Config
from botocore.exceptions import ClientError

from craton.apis.aws.model import Models
from craton.apis.aws.render import check
from tests.fakes.craton import ECHO, SMOL, Craton

SAID = "one two three"
TEXT_BODIES: dict[str, dict[str, Any]] = {
    "anthropic": {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["some-beta-2025-01-01"],
        "max_tokens": 20,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": SAID}]}],
    },
    "openai": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": SAID},
        ],
        "max_completion_tokens": 20,
    },
    "nova": {
        "schemaVersion": "messages-v1",
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": SAID}]}],
        "inferenceConfig": {"maxTokens": 20, "topK": 5},
    },
    "llama": {
        "prompt": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief."
        f"<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{SAID}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "max_gen_len": 20,
    },
    "titan": {"inputText": SAID, "textGenerationConfig": {"maxTokenCount": 20, "temperature": 0}},
}
"""One request each: `SAID`, and a system prompt of two words where there is a place for it."""

PROMPT_TOKENS = {"anthropic": 5, "openai": 5, "nova": 5, "llama": 5, "titan": 3}
EVERY_TEXT = pytest.mark.parametrize("name", TEXT_BODIES)


def text_of(name: str, answer: dict[str, Any]) -> str:
    match name:
        case "anthropic":
            return "".join(block["text"] for block in answer["content"])
        case "openai":
            return answer["choices"][0]["message"]["content"]
        case "nova":
            return answer["output"]["message"]["content"][0]["text"]
        case "llama":
            return answer["generation"]
        case _:
            return answer["results"][0]["outputText"]


def piece_of(name: str, part: dict[str, Any]) -> str:
    match name:
        case "anthropic":
            return part.get("delta", {}).get("text", "")
        case "openai":
            return part["choices"][0]["delta"].get("content") or "" if part["choices"] else ""
        case "nova":
            return part.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        case "llama":
            return part["generation"]
        case _:
            return part["outputText"]


def client(craton: Craton, service: str, **changed: str) -> Any:
    settings = {
        "endpoint_url": craton.url,
        "region_name": "us-east-1",
        "aws_access_key_id": craton.keys.access_key_id,
        "aws_secret_access_key": craton.keys.secret_access_key,
        **changed,
    }
    return boto3.client(service, config=Config(retries={"max_attempts": 0}), **settings)


@pytest.fixture(scope="module")
def runtime(echo: Craton) -> Iterator[Any]:
    made = client(echo, "bedrock-runtime")
    yield made
    made.close()


@pytest.fixture(scope="module")
def bedrock(echo: Craton) -> Iterator[Any]:
    made = client(echo, "bedrock")
    yield made
    made.close()


def native(craton: Craton, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The operator's own API."""
    request = urllib.request.Request(
        f"{craton.url}/craton/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "authorization": f"Bearer {craton.keys.api_key}",
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


CLAUDE, LLAMA = "eu.anthropic.claude-sonnet-4-6", "meta.llama3-8b-instruct-v1:0"
ONLY_ANTHROPIC, EMBEDDER, REMOTE = "test.claude-like", "test.embedder", "test.elsewhere"
MODELS: list[dict[str, Any]] = [
    {"id": ONLY_ANTHROPIC, "source": {"type": "echo"}, "formats": ["anthropic-messages"]},
    {"id": EMBEDDER, "source": {"type": "echo"}, "output_modalities": ["EMBEDDING"]},
    {"id": REMOTE, "source": {"type": "remote", "origin": "http://127.0.0.1:9", "model": "m"}},
]


@pytest.fixture(scope="module", autouse=True)
def catalogue(echo: Craton) -> Iterator[None]:
    """Other models and names, beside the echo model itself; taken out again."""
    for model in MODELS:
        native(echo, "POST", "/models", model)
    for alias in (CLAUDE, LLAMA):
        native(echo, "POST", "/aliases", {"name": alias, "model": ECHO})
    yield
    for alias in (CLAUDE, LLAMA):
        native(echo, "DELETE", f"/aliases/{alias}")
    for model in MODELS:
        native(echo, "DELETE", f"/models/{model['id']}")


def fits(operation: str, answer: dict[str, Any], service: str = "bedrock-runtime") -> None:
    """boto3 silently accepts answers that lack required members, so the model is asked itself."""
    document = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    shape = Models().operation(service, operation).output
    assert shape is not None
    assert check(shape, document) == []


def invoke(runtime: Any, body: dict[str, Any], model: str = ECHO, **more: Any) -> dict[str, Any]:
    answer = runtime.invoke_model(modelId=model, body=json.dumps(body), **more)
    told = answer["body"].read()
    fits("InvokeModel", {**answer, "body": told})
    return json.loads(told)


def stream(runtime: Any, body: dict[str, Any], model: str = ECHO) -> list[dict[str, Any]]:
    answer = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    assert answer["contentType"] == "application/json"
    events = list(answer["body"])
    assert all(event.keys() == {"chunk"} for event in events)
    return [json.loads(event["chunk"]["bytes"]) for event in events]


def refused(call: Any, *args: Any, **named: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(*args, **named)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# --- text ---------------------------------------------------------------------------------------


@EVERY_TEXT
def test_every_format_is_answered_in_its_own_form(runtime: Any, name: str) -> None:
    answer = invoke(runtime, TEXT_BODIES[name])
    assert text_of(name, answer) == SAID


@EVERY_TEXT
def test_the_counts_stand_in_the_headers(runtime: Any, name: str) -> None:
    answer = runtime.invoke_model(modelId=ECHO, body=json.dumps(TEXT_BODIES[name]))
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == str(PROMPT_TOKENS[name])
    assert headers["x-amzn-bedrock-output-token-count"] == "3"
    assert headers["x-amzn-bedrock-invocation-latency"].isdecimal()
    assert headers["content-type"] == "application/json"
    assert answer["body"].read()


@EVERY_TEXT
def test_a_stream_says_the_same_and_its_last_chunk_what_was_counted(
    runtime: Any, name: str
) -> None:
    parts = stream(runtime, TEXT_BODIES[name])
    assert "".join(piece_of(name, part) for part in parts) == SAID
    metrics = parts[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == PROMPT_TOKENS[name]
    assert metrics["outputTokenCount"] == 3
    assert metrics["invocationLatency"] >= 0
    assert metrics["firstByteLatency"] >= 0
    assert not any("amazon-bedrock-invocationMetrics" in part for part in parts[:-1])


@EVERY_TEXT
def test_a_limit_of_tokens_ends_the_answer_in_the_formats_own_words(
    runtime: Any, name: str
) -> None:
    body = json.loads(json.dumps(TEXT_BODIES[name]).replace(": 20", ": 2"))
    answer, parts = invoke(runtime, body), stream(runtime, body)
    assert text_of(name, answer) == "one two"
    match name:
        case "anthropic":
            assert answer["stop_reason"] == parts[-2]["delta"]["stop_reason"] == "max_tokens"
        case "openai":
            assert answer["choices"][0]["finish_reason"] == "length"
            assert parts[-1]["choices"][0]["finish_reason"] == "length"
        case "nova":
            assert answer["stopReason"] == parts[-2]["messageStop"]["stopReason"] == "max_tokens"
            assert parts[-1]["metadata"]["usage"]["outputTokens"] == 2
        case "llama":
            assert answer["stop_reason"] == parts[-1]["stop_reason"] == "length"
            assert (answer["prompt_token_count"], answer["generation_token_count"]) == (5, 2)
            assert parts[0]["prompt_token_count"] == 5
        case _:
            assert answer["results"][0]["completionReason"] == "LENGTH"
            assert parts[-1]["completionReason"] == "LENGTH"
            assert (answer["inputTextTokenCount"], answer["results"][0]["tokenCount"]) == (3, 2)


def test_an_alias_answers_in_whatever_format_its_callers_speak(runtime: Any) -> None:
    claude = invoke(runtime, TEXT_BODIES["anthropic"], CLAUDE)
    llama = invoke(runtime, TEXT_BODIES["llama"], LLAMA)
    assert claude["model"] == CLAUDE
    assert claude["type"] == "message"
    assert llama["generation"] == SAID


def test_the_anthropic_sdk_for_bedrock_works_whole_and_streamed(echo: Craton) -> None:
    sdk = AnthropicBedrock(
        base_url=echo.url,
        aws_region="us-east-1",
        aws_access_key=echo.keys.access_key_id,
        aws_secret_key=echo.keys.secret_access_key,
        max_retries=0,
    )
    asked: Any = {
        "model": ECHO,
        "max_tokens": 20,
        "messages": [{"role": "user", "content": SAID}],
    }
    whole = sdk.messages.create(**asked)
    assert whole.content[0].text == SAID  # type: ignore[union-attr]
    with sdk.messages.stream(**asked) as streamed:
        assert "".join(streamed.text_stream) == SAID
        assert streamed.get_final_message().usage.output_tokens == 3


def test_a_card_that_names_formats_refuses_the_others(echo: Craton, runtime: Any) -> None:
    assert invoke(runtime, TEXT_BODIES["anthropic"], ONLY_ANTHROPIC)["type"] == "message"
    code, message = refused(
        runtime.invoke_model, modelId=ONLY_ANTHROPIC, body=json.dumps(TEXT_BODIES["llama"])
    )
    assert code == "ValidationException"
    assert "anthropic-messages (`anthropic_version` and `messages`)" in message
    view = native(echo, "GET", f"/models/{ONLY_ANTHROPIC}")
    assert view["formats"] == ["anthropic-messages"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"question": "what?"}', "cohere-embedding (`texts` and `input_type`)"),
        ("[1]", "must be a JSON object"),
        ('{"prompt": "x", ', "not valid JSON"),
        ("", "`body`"),
        ('{"prompt": "x", "max_tokens": 3}', "`max_tokens`: is not a member of Llama's body"),
        ('{"prompt": "x", "temperature": 7}', "`temperature`"),
        ('{"inputText": "x", "textGenerationConfig": {"seed": 1}}', "`textGenerationConfig`"),
        ('{"anthropic_version": "newest", "messages": []}', "`anthropic_version`"),
        (
            json.dumps({**TEXT_BODIES["anthropic"], "stream": True}),
            "`stream`: does not stand in this body",
        ),
        (json.dumps({**TEXT_BODIES["anthropic"], "model": "x"}), "`model`"),
        (json.dumps({**TEXT_BODIES["openai"], "model": "x"}), "`model`"),
        (json.dumps({**TEXT_BODIES["openai"], "stream": True}), "`stream`"),
        (json.dumps({**TEXT_BODIES["openai"], "n": 2}), "Several choices"),
        (
            json.dumps({**TEXT_BODIES["openai"], "logit_bias": {"7": 1}}),
            "`logit_bias`: is not served by the model",
        ),
        (
            '{"system": "s", "messages": [{"role": "user", "content": "x"}]}',
            "`anthropic_version`: is required and missing",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"toolUse": {"name": "f"}}]}]}',
            "'toolUseId' is missing",
        ),
        ('{"inputText": "x", "dimensions": 9000}', "384"),
        ('{"texts": [], "input_type": "search_query"}', "`texts`"),
        ('{"texts": ["x"], "input_type": "image"}', "`images`"),
    ],
)
def test_what_can_not_be_read_is_refused_by_its_member(runtime: Any, body: str, says: str) -> None:
    code, message = refused(runtime.invoke_model, modelId=ECHO, body=body)
    assert code == "ValidationException"
    assert says in message


def test_a_model_that_does_not_exist_is_told_with_what_does(runtime: Any) -> None:
    for call in (runtime.invoke_model, runtime.invoke_model_with_response_stream):
        code, message = refused(call, modelId="no.such", body=json.dumps(TEXT_BODIES["llama"]))
        assert code == "ResourceNotFoundException"
        assert ECHO in message
    counted = {"invokeModel": {"body": json.dumps(TEXT_BODIES["llama"])}}
    assert refused(runtime.count_tokens, modelId="no.such", input=counted)[0] == (
        "ResourceNotFoundException"
    )


def test_the_embedded_model_answers_claude_code_and_its_stream_ends_after_the_bill(
    smol: Craton,
) -> None:
    runtime = client(smol, "bedrock-runtime")
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 24,
        "temperature": 0,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    }
    answer, parts = invoke(runtime, body, SMOL), stream(runtime, body, SMOL)
    assert "Paris" in text_of("anthropic", answer)
    assert "".join(piece_of("anthropic", part) for part in parts) == text_of("anthropic", answer)
    metrics = parts[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == answer["usage"]["input_tokens"]
    record = native(smol, "GET", "/usage?limit=1")["records"][0]
    assert record["quantities"]["output_tokens"] == metrics["outputTokenCount"]
    runtime.close()


def test_an_embedded_model_gives_no_vectors_and_says_so(smol: Craton) -> None:
    runtime = client(smol, "bedrock-runtime")
    body = json.dumps({"inputText": "x", "dimensions": 256})
    code, message = refused(runtime.invoke_model, modelId=SMOL, body=body)
    assert (code, "gives no embeddings" in message) == ("ValidationException", True)
    code, message = refused(
        runtime.invoke_model_with_response_stream, modelId=SMOL, body=json.dumps({"texts": ["x"]})
    )
    assert (code, "InvokeModel" in message) == ("ValidationException", True)
    runtime.close()


# --- embeddings ---------------------------------------------------------------------------------


def test_titan_embeds_in_both_versions(runtime: Any) -> None:
    plain = invoke(runtime, {"inputText": SAID}, EMBEDDER)
    assert len(plain["embedding"]) == 384
    assert plain["inputTextTokenCount"] == 3
    assert plain["embeddingsByType"] == {"float": plain["embedding"]}
    short = invoke(
        runtime,
        {"inputText": SAID, "dimensions": 256, "embeddingTypes": ["binary", "float"]},
        EMBEDDER,
    )
    assert math.isclose(math.hypot(*short["embedding"]), 1)
    assert set(short["embeddingsByType"]["binary"]) == {0, 1}
    assert len(short["embeddingsByType"]["binary"]) == 256
    code, message = refused(
        runtime.invoke_model, modelId=EMBEDDER, body=json.dumps(TEXT_BODIES["llama"])
    )
    assert (code, "generates no text" in message) == ("ValidationException", True)


def test_cohere_embeds_many_texts_in_many_types(runtime: Any) -> None:
    texts = ["one two", "three"]
    plain = invoke(runtime, {"texts": texts, "input_type": "search_document"})
    assert plain["response_type"] == "embeddings_floats"
    assert plain["texts"] == texts
    assert [len(vector) for vector in plain["embeddings"]] == [384, 384]
    typed = invoke(
        runtime,
        {
            "inputs": [{"content": [{"type": "text", "text": text}]} for text in texts],
            "input_type": "search_query",
            "embedding_types": ["float", "int8", "uint8", "binary", "ubinary"],
            "output_dimension": 256,
            "truncate": "NONE",
        },
    )
    assert typed["response_type"] == "embeddings_by_type"
    by_type = typed["embeddings"]
    for number, vector in enumerate(by_type["float"]):
        assert by_type["int8"][number] == [round(127 * value) for value in vector]
        assert [value - 128 for value in by_type["uint8"][number]] == by_type["int8"][number]
        bits = "".join(f"{byte:08b}" for byte in by_type["ubinary"][number])
        assert bits == "".join("1" if value > 0 else "0" for value in vector)
        assert by_type["binary"][number] == [byte - 128 for byte in by_type["ubinary"][number]]


def test_an_embedding_is_billed_by_its_input_alone(echo: Craton, runtime: Any) -> None:
    answer = runtime.invoke_model(
        modelId=ECHO, body=json.dumps({"texts": [SAID], "input_type": "clustering"})
    )
    assert answer["body"].read()
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == "3"
    assert "x-amzn-bedrock-output-token-count" not in headers
    record = native(echo, "GET", "/usage?limit=1")["records"][0]
    assert record["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert record["quantities"] == {"input_tokens": 3}


# --- counting -----------------------------------------------------------------------------------


@EVERY_TEXT
def test_the_tokens_of_a_body_are_counted_before_it_runs(runtime: Any, name: str) -> None:
    counted = runtime.count_tokens(
        modelId=ECHO, input={"invokeModel": {"body": json.dumps(TEXT_BODIES[name])}}
    )
    fits("CountTokens", counted)
    assert counted["inputTokens"] == PROMPT_TOKENS[name]


def test_the_tokens_of_a_conversation_are_those_that_converse_tells(smol: Craton) -> None:
    runtime = client(smol, "bedrock-runtime")
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"text": SAID}]}],
        "system": [{"text": "Be brief."}],
    }
    counted = runtime.count_tokens(modelId=SMOL, input={"converse": asked})
    answer = runtime.converse(modelId=SMOL, inferenceConfig={"maxTokens": 1}, **asked)
    assert counted["inputTokens"] == answer["usage"]["inputTokens"]
    runtime.close()


def test_a_remote_model_can_not_count_and_says_so(runtime: Any) -> None:
    messages = [{"role": "user", "content": [{"text": SAID}]}]
    code, message = refused(
        runtime.count_tokens, modelId=REMOTE, input={"converse": {"messages": messages}}
    )
    assert code == "ValidationException"
    assert "can't count tokens" in message


# --- profiles and availability ------------------------------------------------------------------


def test_models_and_aliases_are_profiles_page_by_page(bedrock: Any) -> None:
    paginator = bedrock.get_paginator("list_inference_profiles")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 1}))
    found = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
    for page in pages:
        assert len(page["inferenceProfileSummaries"]) == 1
        fits("ListInferenceProfiles", page, "bedrock")
    ids = [profile["inferenceProfileId"] for profile in found]
    assert ids == sorted(ids)
    assert {ECHO, CLAUDE} <= set(ids)
    whole = bedrock.list_inference_profiles(typeEquals="SYSTEM_DEFINED")
    assert [one["inferenceProfileId"] for one in whole["inferenceProfileSummaries"]] == ids
    none = bedrock.list_inference_profiles(typeEquals="APPLICATION")
    assert none["inferenceProfileSummaries"] == []
    code, message = refused(bedrock.list_inference_profiles, nextToken="forged~")
    assert (code, "nextToken" in message) == ("ValidationException", True)


def test_a_profile_is_found_by_id_and_arn_and_can_be_asked(bedrock: Any, runtime: Any) -> None:
    one = bedrock.get_inference_profile(inferenceProfileIdentifier=CLAUDE)
    fits("GetInferenceProfile", one, "bedrock")
    assert one["models"][0]["modelArn"].endswith(f"foundation-model/{ECHO}")
    arn = one["inferenceProfileArn"]
    same = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
    assert same["inferenceProfileId"] == one["inferenceProfileId"]
    assert text_of("llama", invoke(runtime, TEXT_BODIES["llama"], arn)) == SAID
    code, message = refused(bedrock.get_inference_profile, inferenceProfileIdentifier="us.none")
    assert (code, "us.none" in message) == ("ResourceNotFoundException", True)


def test_a_model_of_the_catalogue_is_available(bedrock: Any) -> None:
    told = bedrock.get_foundation_model_availability(modelId=ECHO)
    fits("GetFoundationModelAvailability", told, "bedrock")
    assert told["authorizationStatus"] == "AUTHORIZED"
    assert told["agreementAvailability"]["status"] == "AVAILABLE"
    code, _ = refused(bedrock.get_foundation_model_availability, modelId="no.such")
    assert code == "ResourceNotFoundException"


@pytest.fixture
def narrow(echo: Craton) -> Iterator[dict[str, str]]:
    """A key that may use the echo model alone, by its id or by a profile of the EU's."""
    made = native(echo, "POST", "/keys", {"name": "narrow"})
    bound = f"/keys/{made['access_key_id']}/policies/narrow"
    statement = {
        "Effect": "Allow",
        "Action": ["bedrock:InvokeModel*", "bedrock:CountTokens", "bedrock:Get*"],
        "Resource": [
            f"arn:aws:bedrock:*::foundation-model/{ECHO}",
            "arn:aws:bedrock:*:*:inference-profile/eu.*",
        ],
    }
    native(echo, "PUT", bound, {"Version": "2012-10-17", "Statement": [statement]})
    yield {
        "aws_access_key_id": made["access_key_id"],
        "aws_secret_access_key": made["secret_access_key"],
    }
    native(echo, "DELETE", bound)
    native(echo, "DELETE", f"/keys/{made['access_key_id']}")


def test_policies_decide_about_the_model_whatever_the_operation(
    echo: Craton, narrow: dict[str, str]
) -> None:
    runtime, bedrock = (client(echo, name, **narrow) for name in ("bedrock-runtime", "bedrock"))
    body = TEXT_BODIES["llama"]
    counted = {"invokeModel": {"body": json.dumps(body)}}
    embedding = {"inputText": SAID, "dimensions": 8}
    assert invoke(runtime, body)["generation"] == SAID
    assert invoke(runtime, body, CLAUDE)["generation"] == SAID
    assert len(invoke(runtime, embedding)["embedding"]) == 8
    assert stream(runtime, body)
    assert runtime.count_tokens(modelId=ECHO, input=counted)["inputTokens"] == 5
    assert bedrock.get_foundation_model(modelIdentifier=ECHO)
    assert bedrock.get_inference_profile(inferenceProfileIdentifier=CLAUDE)
    for call, named in (
        (runtime.invoke_model, {"modelId": LLAMA, "body": json.dumps(body)}),
        (runtime.invoke_model, {"modelId": EMBEDDER, "body": json.dumps(embedding)}),
        (
            runtime.invoke_model_with_response_stream,
            {"modelId": ONLY_ANTHROPIC, "body": json.dumps(TEXT_BODIES["anthropic"])},
        ),
        (runtime.count_tokens, {"modelId": LLAMA, "input": counted}),
        (bedrock.get_foundation_model, {"modelIdentifier": EMBEDDER}),
        (bedrock.get_inference_profile, {"inferenceProfileIdentifier": LLAMA}),
        (bedrock.list_inference_profiles, {}),
    ):
        assert refused(call, **named)[0] == "AccessDeniedException", call
    for each in (runtime, bedrock):
        each.close()


# --- what else Converse's callers send ----------------------------------------------------------

QUESTION = [{"role": "user", "content": [{"text": SAID}]}]


def converse(runtime: Any, model: str = ECHO, **more: Any) -> dict[str, Any]:
    answer = runtime.converse(modelId=model, messages=QUESTION, **more)
    fits("Converse", answer)
    return answer


def test_request_metadata_goes_into_the_log_beside_the_request(echo: Craton, runtime: Any) -> None:
    answer = converse(runtime, requestMetadata={"team": "blue"})
    invoked = runtime.invoke_model(
        modelId=ECHO,
        body=json.dumps(TEXT_BODIES["llama"]),
        requestMetadata=json.dumps({"team": "red"}),
    )
    invoked["body"].close()
    converse(runtime)  # lines leave in order: by now the one before has, or will within 0.05 s
    wanted = {
        (answer["ResponseMetadata"]["RequestId"], "blue"),
        (invoked["ResponseMetadata"]["RequestId"], "red"),
    }
    for _ in range(200):
        lines = [json.loads(line) for line in echo.log().splitlines() if "request_metadata" in line]
        if wanted <= {(line["request_id"], line["metadata"].get("team")) for line in lines}:
            break
        echo.get("/healthz")
    else:
        pytest.fail(f"the log has only {lines}")
    code, message = refused(
        runtime.invoke_model,
        modelId=ECHO,
        body=json.dumps(TEXT_BODIES["llama"]),
        requestMetadata="[1]",
    )
    assert (code, "requestMetadata" in message) == ("ValidationException", True)


def test_prompt_variables_are_ignored_for_a_model_and_a_prompt_does_not_exist(
    smol: Craton,
) -> None:
    runtime = client(smol, "bedrock-runtime")
    variables = {"city": {"text": "Rome"}}
    few = {"maxTokens": 4, "temperature": 0.0}
    plain = converse(runtime, SMOL, inferenceConfig=few)
    sent = converse(runtime, SMOL, inferenceConfig=few, promptVariables=variables)
    assert (sent["output"], sent["usage"]) == (plain["output"], plain["usage"])
    prompt = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1"
    code, message = refused(runtime.converse, modelId=prompt, promptVariables=variables)
    assert (code, prompt in message) == ("ResourceNotFoundException", True)
    runtime.close()


def test_guardrails_are_refused_not_lost(runtime: Any) -> None:
    guardrail = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    code, message = refused(converse, runtime, guardrailConfig=guardrail)
    assert (code, "abc123" in message) == ("ValidationException", True)
    code, message = refused(
        runtime.invoke_model,
        modelId=ECHO,
        body=json.dumps(TEXT_BODIES["llama"]),
        guardrailIdentifier="abc123",
        guardrailVersion="1",
    )
    assert (code, "abc123" in message) == ("ValidationException", True)


def test_the_usual_tier_is_served_and_told(runtime: Any, smol: Craton) -> None:
    answer = converse(runtime, serviceTier={"type": "default"})
    assert answer["serviceTier"] == {"type": "default"}
    assert "serviceTier" not in converse(runtime)
    fast = converse(runtime, performanceConfig={"latency": "standard"})
    assert fast["performanceConfig"] == {"latency": "standard"}
    invoked = runtime.invoke_model(
        modelId=ECHO, body=json.dumps(TEXT_BODIES["llama"]), serviceTier="default"
    )
    assert invoked["serviceTier"] == "default"
    assert invoked["body"].read()
    streamed = runtime.invoke_model_with_response_stream(
        modelId=ECHO, body=json.dumps(TEXT_BODIES["llama"]), serviceTier="default"
    )
    assert streamed["serviceTier"] == "default"
    assert list(streamed["body"])
    embedded = client(smol, "bedrock-runtime")
    code, message = refused(converse, embedded, SMOL, serviceTier={"type": "flex"})
    assert (code, "flex" in message) == ("ValidationException", True)
    embedded.close()


def test_additional_fields_a_local_model_knows_are_honoured_and_others_refused(
    smol: Craton,
) -> None:
    runtime = client(smol, "bedrock-runtime")
    hot = {"maxTokens": 12, "temperature": 1.0}
    fields = {"top_k": 20, "seed": 7}
    first = converse(runtime, SMOL, inferenceConfig=hot, additionalModelRequestFields=fields)
    again = converse(runtime, SMOL, inferenceConfig=hot, additionalModelRequestFields=fields)
    other = converse(
        runtime, SMOL, inferenceConfig=hot, additionalModelRequestFields={**fields, "seed": 8}
    )
    assert first["output"] == again["output"]
    assert first["output"] != other["output"]
    # One candidate leaves no choice, however hot.
    greedy = converse(runtime, SMOL, inferenceConfig={"maxTokens": 12, "temperature": 0.0})
    nova = converse(
        runtime,
        SMOL,
        inferenceConfig=hot,
        additionalModelRequestFields={"inferenceConfig": {"topK": 1}},
    )
    assert nova["output"] == greedy["output"]
    for wrong in ({"mirostat": 2}, {"top_k": "many"}):
        code, message = refused(converse, runtime, SMOL, additionalModelRequestFields=wrong)
        assert (code, next(iter(wrong)) in message) == ("ValidationException", True)
    runtime.close()


def test_paths_into_the_models_own_answer_are_told_at_their_place(runtime: Any) -> None:
    asked = {
        "inferenceConfig": {"stopSequences": ["three"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence", "/not/there"],
    }
    answer = converse(runtime, **asked)
    assert answer["additionalModelResponseFields"] == {"stop_sequence": "three"}
    events = list(runtime.converse_stream(modelId=ECHO, messages=QUESTION, **asked)["stream"])
    stop = next(event["messageStop"] for event in events if "messageStop" in event)
    assert stop["additionalModelResponseFields"] == {"stop_sequence": "three"}
    assert "additionalModelResponseFields" not in converse(runtime)
    code, message = refused(converse, runtime, additionalModelResponseFieldPaths=["stop_sequence"])
    assert (code, "JSON pointer" in message) == ("ValidationException", True)


def test_an_output_schema_goes_to_the_engine_which_serves_or_refuses_it(runtime: Any) -> None:
    schema = {"jsonSchema": {"schema": json.dumps({"type": "object"}), "name": "any"}}
    config = {"textFormat": {"type": "json_schema", "structure": schema}}
    code, message = refused(converse, runtime, outputConfig=config)
    assert (code, "output format" in message) == ("ValidationException", True)
