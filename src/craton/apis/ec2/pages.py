"""Pages of EC2's Describe operations: `MaxResults` and `NextToken`.

A token says by itself where to go on: after which thing, of which question. So any worker can take
it, it never expires, and it goes on rightly where things came or went in between. Whoever makes one
up learns nothing that the same question without a token doesn't tell.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from craton.apis.aws.ec2_errors import ec2_error
from craton.kernel.errors import CratonError

RESULTS_MAX = 1000
"""How many things one answer has at most: EC2's own limit."""
TOKEN_CHARACTERS_MAX = 2048

Thing = TypeVar("Thing")
_encode = msgspec.json.Encoder(order="sorted").encode


class _Token(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    question: str
    after: str


_VERSION = 1
_decode = msgspec.json.Decoder(_Token).decode


def page(
    things: Sequence[Thing],
    *,
    operation: str,
    params: dict[str, Any],
    key: Callable[[Thing], str],
    results_max: int = RESULTS_MAX,
) -> tuple[list[Thing], str | None]:
    """The page of things that a request asks for, and the token of the next; None at the end.

    Things come in the order of their keys, each of which is unique. Without `MaxResults` a page
    has `results_max` of them. A bad token, or one of another question, is an
    InvalidParameterValue: EC2 was seen to say so (boto3 issue 2673).
    """
    limit = params.get("MaxResults", results_max)
    if not 1 <= limit <= results_max:
        raise ec2_error(
            "InvalidParameterValue",
            f"Value ( {limit} ) for parameter MaxResults is invalid. Expecting a value from 1 to "
            f"{results_max}.",
        )
    question = _question(operation, params)
    token = params.get("NextToken")
    ordered = sorted(things, key=key)
    if token is not None:
        after = _read(token, question)
        ordered = [thing for thing in ordered if key(thing) > after]
    chosen = ordered[:limit]
    if len(ordered) <= limit:
        return chosen, None
    return chosen, _write(_Token(_VERSION, question, key(chosen[-1])))


def _question(operation: str, params: dict[str, Any]) -> str:
    rest = {
        name: value for name, value in params.items() if name not in ("NextToken", "MaxResults")
    }
    return hashlib.blake2s(_encode([operation, rest]), digest_size=9).hexdigest()


def _write(token: _Token) -> str:
    return base64.urlsafe_b64encode(_encode(token)).decode()


def _read(text: str, question: str) -> str:
    if len(text) > TOKEN_CHARACTERS_MAX:
        raise _invalid(text)
    try:
        token = _decode(base64.b64decode(text, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):  # msgspec's own errors are ValueErrors
        raise _invalid(text) from None
    if token.version != _VERSION or token.question != question:
        raise _invalid(text)
    return token.after


def _invalid(text: str) -> CratonError:
    return ec2_error(
        "InvalidParameterValue",
        f"Value ( {text[:40]} ) for parameter NextToken is invalid. The token is invalid. Begin "
        "again without it, or send it with the parameters that it came with.",
    )
