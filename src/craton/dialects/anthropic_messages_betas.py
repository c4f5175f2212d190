"""Anthropic's betas: names of kinds of members that aren't in its API for everyone yet.

They stand in the header `anthropic-beta` of Anthropic's own API and in the member `anthropic_beta`
of Bedrock's bodies. A request carries them where Bedrock's Converse has them, among the additional
fields for the model itself. They change nothing here, where each member is judged by itself: they
go on to the servers that know them, and no other engine is told.

Sources: https://platform.claude.com/docs/en/api/beta-headers and the Amazon Bedrock User Guide,
"Anthropic Claude Messages API".
"""

import re
from typing import Any, cast

import msgspec

from craton.dialects.members import wrong
from craton.messages.request import Request

BETAS = "anthropic_beta"
HEADER = b"anthropic-beta"
BETAS_MAX = 100
_NAME = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def with_betas(request: Request, betas: list[str]) -> Request:
    """The request with the names of these betas; BadRequest where one is none."""
    if not betas:
        return request
    fields: Any = request.additional_fields
    others = cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}
    return msgspec.structs.replace(request, additional_fields={**others, BETAS: _checked(betas)})


def without_betas(request: Request) -> Request:
    """The request for an engine that knows of no betas."""
    fields: Any = request.additional_fields
    if not isinstance(fields, dict) or BETAS not in fields:
        return request
    known = cast("dict[str, Any]", fields)
    others = {name: value for name, value in known.items() if name != BETAS}
    return msgspec.structs.replace(request, additional_fields=others or None)


def betas_of(request: Request) -> list[str]:
    """The names of a request's betas; BadRequest where they are none."""
    fields: Any = request.additional_fields
    if not isinstance(fields, dict) or BETAS not in fields:
        return []
    return _checked(cast("dict[str, Any]", fields)[BETAS])


def read_header(values: list[bytes]) -> list[str]:
    """The names in the values of the header, which may come more than once."""
    names = b",".join(values).decode("latin-1").split(",")
    return [name.strip() for name in names if name.strip()]


def write_header(betas: list[str]) -> bytes:
    """The value of the header."""
    return ",".join(betas).encode()


def _checked(betas: Any) -> list[str]:  # noqa: ANN401 - a JSON value
    try:
        names = msgspec.convert(betas, list[str])
    except msgspec.ValidationError:
        raise wrong(BETAS, "expected a list of names") from None
    if len(names) > BETAS_MAX:
        raise wrong(BETAS, f"has {len(names)} names; at most {BETAS_MAX} are taken")
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise wrong(BETAS, f"{name[:128]!r} is not the name of a beta")
    return names
