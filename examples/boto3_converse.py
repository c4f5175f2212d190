"""Amazon Bedrock's Converse through boto3, whole and streamed.

    eval "$(craton env)"
    python examples/boto3_converse.py [MODEL]

Needs `pip install boto3`. Nothing here knows Craton: the endpoint, the region and the keys are in
the environment, where boto3 looks for them itself.
"""

import sys

import boto3

MODEL = sys.argv[1] if len(sys.argv) > 1 else "huggingfacetb.smollm2-135m-instruct"

client = boto3.client("bedrock-runtime")
messages = [{"role": "user", "content": [{"text": "Name three colours of the rainbow."}]}]
limits = {"maxTokens": 60}

answer = client.converse(modelId=MODEL, messages=messages, inferenceConfig=limits)
print("whole:   ", answer["output"]["message"]["content"][0]["text"])
print("stopped: ", answer["stopReason"])
print("usage:   ", answer["usage"])

print("streamed: ", end="")
stream = client.converse_stream(modelId=MODEL, messages=messages, inferenceConfig=limits)
for event in stream["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"]["text"], end="", flush=True)
    elif "metadata" in event:  # the last event: by now the usage is in Craton's ledger
        print("\nusage:   ", event["metadata"]["usage"])
