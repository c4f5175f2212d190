"""Pydantic AI: agents on its OpenAI, Anthropic and Bedrock models, and structured output."""

import asyncio
import os

import boto3
import checks
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.bedrock import BedrockModelProfile, BedrockProvider
from pydantic_ai.settings import ModelSettings

SETTINGS = ModelSettings(temperature=0, max_tokens=64)


class City(BaseModel):
    """A city, and where it is."""

    name: str
    country: str


def _openai() -> Model:
    return OpenAIChatModel(checks.MODEL)


def _anthropic() -> Model:
    return AnthropicModel(checks.MODEL)


def _bedrock() -> Model:
    client = boto3.client("bedrock-runtime", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    return BedrockConverseModel(
        checks.MODEL,
        provider=BedrockProvider(bedrock_client=client),
        # It asks no model for a tool that it doesn't know to take one.
        profile=BedrockModelProfile(bedrock_supports_tool_choice=True),
    )


def _answers(model: Model) -> None:
    agent = Agent(model, system_prompt=checks.SYSTEM, model_settings=SETTINGS)
    answer = agent.run_sync(checks.QUESTION)
    assert "Paris" in answer.output, answer
    assert answer.usage.output_tokens > 0


def _streams(model: Model) -> None:
    async def ask() -> str:
        agent = Agent(model, system_prompt=checks.SYSTEM, model_settings=SETTINGS)
        async with agent.run_stream(checks.QUESTION) as answer:
            return await answer.get_output()

    assert "Paris" in asyncio.run(ask())


def _structured(model: Model, output: object) -> None:
    agent = Agent(model, output_type=output, model_settings=SETTINGS)
    city = agent.run_sync("Paris is the capital of France. Which city is it?").output
    assert isinstance(city, City), city


def check_openai_answers() -> None:
    _answers(_openai())


def check_openai_streams() -> None:
    _streams(_openai())


def check_openai_fills_a_form_by_a_tool() -> None:
    _structured(_openai(), ToolOutput(City))


def check_openai_fills_a_form_by_a_schema() -> None:
    _structured(_openai(), NativeOutput(City))


def check_anthropic_answers() -> None:
    _answers(_anthropic())


def check_anthropic_streams() -> None:
    _streams(_anthropic())


def check_anthropic_fills_a_form_by_a_tool() -> None:
    _structured(_anthropic(), ToolOutput(City))


def check_bedrock_answers() -> None:
    _answers(_bedrock())


def check_bedrock_streams() -> None:
    _streams(_bedrock())


def check_bedrock_fills_a_form_by_a_tool() -> None:
    _structured(_bedrock(), ToolOutput(City))


checks.run(globals())
