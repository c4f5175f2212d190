"""Client tokens: the same request sent again is one request, and another one is refused.

As EC2 has it: whoever sends a token again with other parameters, the zone aside, gets
IdempotentParameterMismatch. Source: "Ensuring idempotency in Amazon EC2 API requests" in the EC2
Developer Guide.
"""

from collections.abc import Sequence
from hashlib import blake2s
from typing import cast

import msgspec

from craton.kernel.errors import Conflict

MISMATCH = "IdempotentParameterMismatch"
_NO_PARAMETERS = frozenset(("owner", "account", "zone", "client_token", "is_dry_run"))
_DIGEST_BYTES = 16


def digest_of(command: msgspec.Struct) -> str:
    """What a command asks for, as 32 hexadecimal digits: not who asks, nor in which zone.

    What has its default counts as left out, so that a parameter that is new changes no digest.
    """
    asked = (type(command).__name__, _parameters(command))
    text = msgspec.json.encode(asked, order="deterministic")
    return blake2s(text, digest_size=_DIGEST_BYTES).hexdigest()


def digest_under(token: str | None, command: msgspec.Struct) -> str | None:
    """What is kept of a command beside its client token; nothing where it has none."""
    return None if token is None else digest_of(command)


def _parameters(asked: msgspec.Struct) -> dict[str, object]:
    return {
        field.name: _value(getattr(asked, field.name))
        for field in msgspec.structs.fields(asked)
        if field.name not in _NO_PARAMETERS and getattr(asked, field.name) != _default(field)
    }


def _default(field: msgspec.structs.FieldInfo) -> object:
    has_factory = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if has_factory else field.default


def _value(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _parameters(value)
    if isinstance(value, list | tuple):
        return [_value(each) for each in cast("Sequence[object]", value)]
    return value


def check_same(digest: str | None, command: msgspec.Struct, token: str) -> None:
    """Conflict unless a token was used for this very request before.

    What a version of before made has no digest, and is taken for the same.
    """
    if digest is not None and digest != digest_of(command):
        raise Conflict(
            f"The client token {token[:64]!r} was used with other parameters. Send what was sent "
            "then, or a new token.",
            code=MISMATCH,
        )
