"""OpenAI's chat completions through the openai library, whole and streamed.

    eval "$(craton env)"
    python examples/openai_chat.py [MODEL]

Needs `pip install openai`. Nothing here knows Craton: the address and the key are in the
environment, where the library looks for them itself.
"""

import sys

from openai import OpenAI

MODEL = sys.argv[1] if len(sys.argv) > 1 else "huggingfacetb.smollm2-135m-instruct"

client = OpenAI()
question = "Name three colours of the rainbow."

answer = client.chat.completions.create(
    model=MODEL, messages=[{"role": "user", "content": question}], max_tokens=60
)
print("whole:   ", answer.choices[0].message.content)
print("stopped: ", answer.choices[0].finish_reason)
print("usage:   ", answer.usage.to_dict() if answer.usage else None)

print("streamed: ", end="")
stream = client.chat.completions.create(
    model=MODEL,
    messages=[{"role": "user", "content": question}],
    max_tokens=60,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    if chunk.usage:
        print("\nusage:   ", chunk.usage.to_dict())
