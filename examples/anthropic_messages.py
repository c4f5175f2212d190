"""Anthropic's messages through the anthropic library, counted, whole and streamed.

    eval "$(craton env)"
    python examples/anthropic_messages.py [MODEL]

Needs `pip install anthropic`. Nothing here knows Craton: the address and the key are in the
environment, where the library looks for them itself.
"""

import sys

from anthropic import Anthropic

MODEL = sys.argv[1] if len(sys.argv) > 1 else "huggingfacetb.smollm2-135m-instruct"

client = Anthropic()
question = "Name three colours of the rainbow."

count = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": question}])
print("counted: ", count.input_tokens)

answer = client.messages.create(
    model=MODEL, max_tokens=60, messages=[{"role": "user", "content": question}]
)
print("whole:   ", "".join(block.text for block in answer.content if block.type == "text"))
print("stopped: ", answer.stop_reason)
print("usage:   ", answer.usage.input_tokens, "in,", answer.usage.output_tokens, "out")

print("streamed: ", end="")
with client.messages.stream(
    model=MODEL, max_tokens=60, messages=[{"role": "user", "content": question}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    usage = stream.get_final_message().usage
print("\nusage:   ", usage.input_tokens, "in,", usage.output_tokens, "out")
