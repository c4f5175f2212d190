"""boto3, unchanged, against the embedded model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from craton.apis.aws.model import Models
from craton.apis.aws.render import check
from tests.fakes.craton import SMOL, Craton

QUESTION = [{"role": "user", "content": [{"text": "What is the capital of France?"}]}]
BRIEF = [{"text": "Be brief."}]
COLD = {"maxTokens": 24, "temperature": 0.0}


@contextmanager
def client(craton: Craton, service: str, **changed: str) -> Iterator[Any]:
    keys = craton.keys
    settings = {
        "endpoint_url": craton.url,
        "region_name": "us-east-1",
        "aws_access_key_id": keys.access_key_id,
        "aws_secret_access_key": keys.secret_access_key,
        **changed,
    }
    made = boto3.client(service, config=Config(retries={"max_attempts": 0}), **settings)
    yield made
    made.close()


@pytest.fixture(scope="module")
def runtime(smol: Craton) -> Iterator[Any]:
    with client(smol, "bedrock-runtime") as made:
        yield made


def fits(operation: str, answer: dict[str, Any], service: str = "bedrock-runtime") -> None:
    """boto3 silently accepts answers that lack required members, so the model is asked itself."""
    document = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    shape = Models().operation(service, operation).output
    assert shape is not None
    assert check(shape, document) == []


def test_converse_answers_with_text_usage_and_a_request_id(runtime: Any) -> None:
    answer = runtime.converse(modelId=SMOL, messages=QUESTION, system=BRIEF, inferenceConfig=COLD)
    fits("Converse", answer)
    assert "Paris" in answer["output"]["message"]["content"][0]["text"]
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert answer["ResponseMetadata"]["RequestId"]


def test_converse_stream_says_the_same_as_converse(runtime: Any) -> None:
    whole = runtime.converse(modelId=SMOL, messages=QUESTION, system=BRIEF, inferenceConfig=COLD)
    stream = runtime.converse_stream(
        modelId=SMOL, messages=QUESTION, system=BRIEF, inferenceConfig=COLD
    )
    events = list(stream["stream"])
    text = "".join(
        event["contentBlockDelta"]["delta"]["text"]
        for event in events
        if "contentBlockDelta" in event
    )
    assert text == whole["output"]["message"]["content"][0]["text"]
    assert [next(iter(event)) for event in events][-3:] == [
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[-1]["metadata"]["usage"] == whole["usage"]
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"


def test_a_conversation_of_several_turns_counts_all_of_them(runtime: Any) -> None:
    first = runtime.converse(modelId=SMOL, messages=QUESTION, system=BRIEF, inferenceConfig=COLD)
    turns = [
        *QUESTION,
        first["output"]["message"],
        {"role": "user", "content": [{"text": "And of Italy?"}]},
    ]
    second = runtime.converse(modelId=SMOL, messages=turns, system=BRIEF, inferenceConfig=COLD)
    fits("Converse", second)
    assert second["usage"]["inputTokens"] > first["usage"]["inputTokens"]


def test_a_system_prompt_is_part_of_the_prompt(runtime: Any) -> None:
    plain = runtime.converse(modelId=SMOL, messages=QUESTION, system=BRIEF, inferenceConfig=COLD)
    told = runtime.converse(
        modelId=SMOL,
        messages=QUESTION,
        system=[{"text": "You answer like a pirate, in rhymes, about the wide and salty sea."}],
        inferenceConfig=COLD,
    )
    assert told["usage"]["inputTokens"] != plain["usage"]["inputTokens"]
    assert told["output"] != plain["output"]


def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(runtime: Any) -> None:
    answer = runtime.converse(
        modelId=SMOL,
        messages=QUESTION,
        system=BRIEF,
        inferenceConfig={**COLD, "stopSequences": ["Paris"]},
    )
    assert answer["stopReason"] == "stop_sequence"
    assert "Paris" not in answer["output"]["message"]["content"][0]["text"]


def test_max_tokens_ends_the_answer_and_says_so(runtime: Any) -> None:
    answer = runtime.converse(
        modelId=SMOL, messages=QUESTION, inferenceConfig={"maxTokens": 3, "temperature": 0.0}
    )
    assert answer["stopReason"] == "max_tokens"
    assert answer["usage"]["outputTokens"] == 3


def test_the_catalogue_is_told_by_bedrock(smol: Craton) -> None:
    with client(smol, "bedrock") as bedrock:
        listed = bedrock.list_foundation_models()
        none = bedrock.list_foundation_models(byOutputModality="IMAGE")
        one = bedrock.get_foundation_model(modelIdentifier=SMOL)
        arn = one["modelDetails"]["modelArn"]
        same = bedrock.get_foundation_model(modelIdentifier=arn)
    fits("ListFoundationModels", listed, "bedrock")
    fits("GetFoundationModel", one, "bedrock")
    assert SMOL in [model["modelId"] for model in listed["modelSummaries"]]
    assert none["modelSummaries"] == []
    assert same["modelDetails"] == one["modelDetails"]


def test_a_model_may_be_named_by_its_arn(runtime: Any) -> None:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{SMOL}"
    answer = runtime.converse(modelId=arn, messages=QUESTION, system=BRIEF, inferenceConfig=COLD)
    assert "Paris" in answer["output"]["message"]["content"][0]["text"]


def test_the_caller_is_told_its_identity(smol: Craton) -> None:
    with client(smol, "sts") as sts:
        identity = sts.get_caller_identity()
    assert identity["Account"] == smol.keys.account
    assert smol.keys.access_key_id in identity["Arn"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"aws_secret_access_key": "forged"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIAFORGEDFORGEDFORG"}, "UnrecognizedClientException"),
    ],
)
def test_a_forged_key_is_refused(smol: Craton, changed: dict[str, str], code: str) -> None:
    with (
        client(smol, "bedrock-runtime", **changed) as forged,
        pytest.raises(ClientError) as refused,
    ):
        forged.converse(modelId=SMOL, messages=QUESTION)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_errors_are_typed(runtime: Any, smol: Craton) -> None:
    with pytest.raises(runtime.exceptions.ResourceNotFoundException, match="no\\.such"):
        runtime.converse(modelId="no.such", messages=QUESTION)
    with pytest.raises(runtime.exceptions.ValidationException, match="temperature"):
        runtime.converse(modelId=SMOL, messages=QUESTION, inferenceConfig={"temperature": 7.0})
    image = [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}]}]
    with pytest.raises(runtime.exceptions.ValidationException, match="image"):
        runtime.converse(modelId=SMOL, messages=image)
    with client(smol, "bedrock") as bedrock, pytest.raises(ClientError, match="not built"):
        bedrock.list_guardrails()


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(runtime: Any) -> None:
    long = [{"role": "user", "content": [{"text": "word " * 9000}]}]
    with pytest.raises(runtime.exceptions.ValidationException, match="8192"):
        runtime.converse(modelId=SMOL, messages=long, inferenceConfig=COLD)
