"""Answers that are kept for a while under an id, as OpenAI's Responses promise.

A program that asks with `store` may read its answer again, and continue it with nothing but its id.
What is kept belongs to the account that paid for it, is written in the same commit as its cost, and
goes after `KEPT_DAYS`, or sooner where an account keeps more than `ACCOUNT_BYTES_MAX`.

Free of any database library: this is what a gateway worker may ask of the state process.
"""

import msgspec

from craton.economics.meters import UsageRecord
from craton.kernel.errors import NotFound

KEPT_DAYS = 30
"""How long OpenAI keeps a response (https://platform.openai.com/docs/guides/your-data)."""
RESPONSE_BYTES_MAX = 4 * 1024 * 1024
"""Input and answer together of what can be kept."""
ACCOUNT_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""What one account may keep at a time; over it the oldest go first."""
CHAIN_MAX = 512
"""Responses that one conversation may consist of."""
CHAIN_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of them: what a request may bring along without sending it."""
READ_MAX = 64
"""Responses that one request may refer to by their items."""

DAY_MS = 24 * 3600 * 1000


class KeptResponse(msgspec.Struct, frozen=True, array_like=True):
    """One answer with the input it was given; `input` is a JSON array, `response` the document.

    `id` ends in the 32 hexadecimal digits of its request id, so ids sort by time.
    """

    id: str
    account: str
    at_ms: int
    previous: str | None
    input: bytes
    response: bytes


class KeepResponse(msgspec.Struct, frozen=True, array_like=True):
    """Post what a request used and keep its answer: both or neither."""

    record: UsageRecord
    kept: KeptResponse


class ReadResponses(msgspec.Struct, frozen=True):
    """Read an account's responses, at most `READ_MAX`; what isn't there is left out."""

    account: str
    ids: list[str]
    now_ms: int


class ReadChain(msgspec.Struct, frozen=True):
    """Read a response and all that it continues."""

    account: str
    id: str
    now_ms: int


class KeptResponses(msgspec.Struct, frozen=True):
    """What was found; of a chain, the oldest first."""

    responses: list[KeptResponse]


class DeleteResponse(msgspec.Struct, frozen=True):
    """Forget a response of an account; NotFound if there is none."""

    account: str
    id: str


PREVIOUS_NOT_FOUND = "previous_response_not_found"
"""The error code of a chain that can't be followed, by OpenAI's own name."""
RESPONSE_NOT_FOUND = "response_not_found"


def oldest_ms(now_ms: int) -> int:
    """What was made at this time or before is no longer there for anyone."""
    return now_ms - KEPT_DAYS * DAY_MS


def not_found(id: str) -> NotFound:
    """The refusal of an id that names nothing of this account's."""
    return NotFound(
        f"Response with id {id!r} not found: it was never stored, was deleted, or is older than "
        f"{KEPT_DAYS} days.",
        code=RESPONSE_NOT_FOUND,
    )
