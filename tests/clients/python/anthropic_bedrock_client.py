"""Anthropic's own client for Bedrock, which speaks InvokeModel."""

import os

import checks
from anthropic import AnthropicBedrock

CLIENT = AnthropicBedrock(
    base_url=os.environ["AWS_ENDPOINT_URL"], aws_region=os.environ["AWS_DEFAULT_REGION"]
)
ASKED = {
    "model": checks.MODEL,
    "max_tokens": 24,
    "system": checks.SYSTEM,
    "messages": [{"role": "user", "content": checks.QUESTION}],
    "extra_body": {"temperature": 0},
}


def check_it_answers() -> None:
    answer = CLIENT.messages.create(**ASKED)
    assert "Paris" in answer.content[0].text, answer
    assert answer.usage.output_tokens > 0
    assert answer.stop_reason == "end_turn"


def check_it_streams() -> None:
    with CLIENT.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    assert "Paris" in text
    assert answer.usage.output_tokens > 0


checks.run(globals())
