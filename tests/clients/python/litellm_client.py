"""LiteLLM as a client: the same call through its OpenAI, Anthropic and Bedrock providers."""

import os

import checks
import litellm

MESSAGES = [
    {"role": "system", "content": checks.SYSTEM},
    {"role": "user", "content": checks.QUESTION},
]
OPENAI = {
    "model": f"openai/{checks.MODEL}",
    "api_base": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}
ANTHROPIC = {
    "model": f"anthropic/{checks.MODEL}",
    "api_base": os.environ["ANTHROPIC_BASE_URL"],
    "api_key": os.environ["ANTHROPIC_API_KEY"],
}
BEDROCK = {
    "model": f"bedrock/converse/{checks.MODEL}",
    "aws_bedrock_runtime_endpoint": os.environ["AWS_ENDPOINT_URL"],
    "aws_region_name": os.environ["AWS_DEFAULT_REGION"],
}


def _answers(provider: dict[str, str]) -> None:
    answer = litellm.completion(messages=MESSAGES, temperature=0, max_tokens=24, **provider)
    assert "Paris" in answer.choices[0].message.content, answer
    assert answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def _streams(provider: dict[str, str]) -> None:
    chunks = list(
        litellm.completion(messages=MESSAGES, temperature=0, max_tokens=24, stream=True, **provider)
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Paris" in text, text


def check_openai_answers() -> None:
    _answers(OPENAI)


def check_openai_streams() -> None:
    _streams(OPENAI)


def check_anthropic_answers() -> None:
    _answers(ANTHROPIC)


def check_anthropic_streams() -> None:
    _streams(ANTHROPIC)


def check_bedrock_answers() -> None:
    _answers(BEDROCK)


def check_bedrock_streams() -> None:
    _streams(BEDROCK)


def check_a_wrong_key_is_an_authentication_error() -> None:
    try:
        litellm.completion(messages=MESSAGES, **{**OPENAI, "api_key": "sk-wrong"})
    except litellm.AuthenticationError:
        return
    raise AssertionError("a wrong key was let in")


checks.run(globals())
