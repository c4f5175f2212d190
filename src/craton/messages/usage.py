"""What a request used, under one convention; each wire converts at its edge.

The counts of prompt tokens are disjoint: a token is in exactly one of `input_tokens`,
`cache_read_tokens` and `cache_write_tokens`, so each can be a meter with its own price.
(Converse and Anthropic count this way too; OpenAI's `prompt_tokens` is the sum.)
`reasoning_tokens` is the part of `output_tokens` spent on reasoning, never added to it.
"""

import msgspec


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of one request."""

    input_tokens: int = 0
    """Prompt tokens neither read from a cache nor written to one."""
    output_tokens: int = 0
    """Generated tokens, reasoning included; the end-of-turn token is not counted."""
    cache_read_tokens: int = 0
    """Prompt tokens read from a cache."""
    cache_write_tokens: int = 0
    """Prompt tokens written to a cache."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` that is reasoning."""
    cache_write_by_ttl: dict[str, int] | None = None
    """`cache_write_tokens` by how long they are kept (`5m`, `1h`), where the engine says."""

    @property
    def prompt_tokens(self) -> int:
        """All prompt tokens, however they were served."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Prompt and output together."""
        return self.prompt_tokens + self.output_tokens
