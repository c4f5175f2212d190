"""LangChain's AWS package: ChatBedrockConverse, plain, streamed, in a chain and with a tool."""

import checks
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

MESSAGES = [("system", checks.SYSTEM), ("human", checks.QUESTION)]
MODEL = ChatBedrockConverse(
    model=checks.MODEL,
    temperature=0,
    max_tokens=48,
    provider="huggingfacetb",
    disable_streaming=False,
    supports_tool_choice_values=("auto", "any", "tool"),
)


def check_it_answers_with_usage() -> None:
    answer = MODEL.invoke(MESSAGES)
    assert "Paris" in answer.text, answer
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["stopReason"] == "end_turn"


def check_it_streams() -> None:
    whole = None
    for chunk in MODEL.stream(MESSAGES):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert "Paris" in whole.text, whole
    assert whole.usage_metadata["output_tokens"] > 0


def check_it_works_in_a_chain() -> None:
    prompt = ChatPromptTemplate.from_messages(
        [("system", checks.SYSTEM), ("human", "What is the capital of {country}?")]
    )
    assert "Paris" in (prompt | MODEL | StrOutputParser()).invoke({"country": "France"})


def check_a_tool_that_must_be_called_is_called() -> None:
    bound = MODEL.bind_tools([tool(checks.weather)], tool_choice="weather")
    answer = bound.invoke("What is the weather in Paris?")
    (call,) = answer.tool_calls
    assert call["name"] == "weather"
    assert isinstance(call["args"]["city"], str)


checks.run(globals())
