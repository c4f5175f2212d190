"""Amazon Bedrock and STS: what their operations mean here; the wire itself is `apis.aws`."""
