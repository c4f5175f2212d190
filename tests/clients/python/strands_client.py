"""Strands Agents: an agent on BedrockModel that answers, and one that calls a tool."""

import checks
from strands import Agent, tool
from strands.models import BedrockModel

calls: list[str] = []


@tool
def weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    calls.append(city)
    return checks.weather(city)


def model(**settings: object) -> BedrockModel:
    return BedrockModel(model_id=checks.MODEL, temperature=0, max_tokens=64, **settings)


def check_an_agent_answers() -> None:
    agent = Agent(model=model(), system_prompt=checks.SYSTEM, callback_handler=None)
    answer = agent(checks.QUESTION)
    assert "Paris" in str(answer), answer
    assert answer.metrics.accumulated_usage["outputTokens"] > 0


def check_an_agent_answers_without_streaming() -> None:
    agent = Agent(model=model(streaming=False), system_prompt=checks.SYSTEM, callback_handler=None)
    assert "Paris" in str(agent(checks.QUESTION))


def check_an_agent_calls_a_tool_and_reads_its_result() -> None:
    agent = Agent(
        model=model(),
        tools=[weather],
        system_prompt="Answer questions about the weather with the tool `weather`.",
        callback_handler=None,
    )
    agent("What is the weather in Paris? Use the weather tool.")
    assert calls, agent.messages
    results = [
        block["toolResult"]
        for message in agent.messages
        for block in message["content"]
        if "toolResult" in block
    ]
    assert results
    assert results[0]["status"] == "success", results
    assert agent.messages[-1]["role"] == "assistant"


checks.run(globals())
