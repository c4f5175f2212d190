"""The Anthropic protocol: `/v1/messages`, `/v1/messages/count_tokens` and `/v1/models`."""
