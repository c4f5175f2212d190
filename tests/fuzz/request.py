"""One request to any wire: what it is made of, its bytes, and its document, bent or not."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.fakes.craton import Keys
from tests.fuzz import documents
from tests.fuzz.signing import HOST, Header, Target

Json = Any


class Expected(StrEnum):
    """What the answer must be, beside well formed."""

    GOOD = "good"
    """A success."""
    REFUSED = "refused"
    """No success: the credential is bad."""
    ANY = "any"


@dataclass(slots=True)
class Request:
    """One request before it is bytes."""

    wire: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[Header, ...] = ()
    service: str = "bedrock"
    expected: Expected = Expected.ANY
    keys: Keys | None = None
    """Whose it is; the maker's own, if nobody else's."""

    @property
    def target(self) -> Target:
        return Target(self.method, self.path, self.query, self.body, self.service)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as bytes, and what is known of it."""

    wire: str
    method: str
    path: str
    head: bytes
    body: bytes
    expected: Expected
    is_anthropic: bool

    @property
    def whole(self) -> bytes:
        return self.head + self.body


def head_of(request: Request, credential: Sequence[Header]) -> bytes:
    """The request line and headers."""
    target = request.path + ("?" + request.query if request.query else "")
    lines = [
        f"{request.method} {target} HTTP/1.1".encode("latin-1"),
        b"host: " + HOST.encode(),
        b"content-length: %d" % len(request.body),
    ]
    if request.body:
        lines.append(b"content-type: " + request.content_type.encode())
    lines += [name + b": " + value for name, value in (*request.headers, *credential)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def with_document(
    request: Request, plain: Json, rich: Sequence[Json], dice: random.Random
) -> Request:
    """A plain document that must be served, or a richer one, bent or not."""
    roll = dice.random()
    if roll < 0.1:
        request.body, request.expected = json.dumps(plain).encode(), Expected.GOOD
    elif roll < 0.15:
        request.body = documents.write(dice.choice(rich))
    else:
        source = plain if roll < 0.5 else dice.choice(rich)
        request.body = documents.write(documents.bent(source, dice))
    return request
