"""One operation of the native API, as a declaration.

Routing, validation and the OpenAPI document are all made from it, so none of them can say something
else than the others.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec

from craton.access.records import AccountId, Principal, Role
from craton.apis.native.contract import Taken
from craton.apis.services import Services
from craton.http import HttpRequest
from craton.kernel.errors import AccessDenied, BadRequest, NotFound, TooLarge

BODY_BYTES_MAX = 1024 * 1024
QUERY_FIELDS_MAX = 32
PREFIX = "/craton/v1"
DOCUMENT = PREFIX + "/openapi.json"
PAGE = PREFIX + "/docs"
READ = "craton:Read"
JSON_TYPE = "application/json"

Input = TypeVar("Input", bound=Taken)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what may be used to answer."""

    principal: Principal
    services: Services

    @property
    def is_operator(self) -> bool:
        """Whether the caller may see and change everything."""
        return self.principal.role is Role.OPERATOR

    def scope(self, account: str | None) -> AccountId | None:
        """The account whose things may be shown; None means every account.

        A member sees its own account and is told nothing of others, not even whether they exist.
        """
        own = self.principal.account
        if self.is_operator:
            return None if account is None else self.find_account(account)
        known = self.services.directory.accounts.get(own)
        if account is None or account == own or (known and account == known.name):
            return own
        raise AccessDenied(
            f"Key {self.principal.key} belongs to account {own} and sees only that account's "
            f"things, not {account!r}'s. Leave `account` out, or use an operator's key."
        )

    def find_account(self, id_or_name: str) -> AccountId:
        """An account by its id or name."""
        accounts = self.services.directory.accounts
        if id_or_name in accounts:
            return accounts[id_or_name].id
        for account in accounts.values():
            if account.name == id_or_name:
                return account.id
        raise NotFound(f"There is no account {id_or_name!r}. List them with `craton accounts`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Input]):
    """What one method on one path does.

    GET and DELETE take their input from the path and the query, POST from the body. PUT takes what
    the path names and keeps the body whole.
    """

    name: str
    method: str
    path: str
    """Below `/craton/v1`; a segment in braces is a member of the input."""
    summary: str
    action: str
    """What the caller must be allowed to do."""
    takes: type[Input]
    returns: type[msgspec.Struct]
    run: Callable[[Caller, Input], Awaitable[msgspec.Struct]]
    status: int = 200
    whole_body: str | None = None
    """Of a PUT: the member that is the whole body, as the text it came as."""
    body_type: str = JSON_TYPE
    """Of a PUT: the media type of its body."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The whole path, cut at its slashes."""
        return tuple((PREFIX + self.path).split("/"))

    def matches(self, segments: tuple[str, ...]) -> bool:
        """Whether a raw path, cut at its slashes, is one of this operation's."""
        mine = self.segments
        return len(mine) == len(segments) and all(
            (is_parameter(ours) and theirs) or ours == theirs
            for ours, theirs in zip(mine, segments, strict=True)
        )

    def read(self, request: HttpRequest) -> Input:
        """The input of a request; BadRequest or TooLarge says what is wrong with it."""
        if self.method == "POST":
            if request.raw_query:
                raise BadRequest(
                    f"{self.name} takes its input from the body and no query. See {PAGE}."
                )
            return _from_body(self.name, request.body, self.takes)
        if self.whole_body is not None:
            text = _body_text(self.name, request, self.body_type)
            return _from_query(self, request, {self.whole_body: text})
        if request.body:
            raise BadRequest(f"{self.name} takes no body. Send none; see {PAGE}.")
        return _from_query(self, request, {})


def is_parameter(segment: str) -> bool:
    """Whether a segment of a path stands for a member of the input."""
    return segment.startswith("{")


def _from_body(name: str, body: bytes, reads: type[Input]) -> Input:
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"The body has {len(body)} bytes; {name} takes {BODY_BYTES_MAX}.")
    if not body:
        raise BadRequest(f"{name} needs a JSON body. See {PAGE}.")
    try:
        return msgspec.json.decode(body, type=reads)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body of {name} is wrong: {error}. See {PAGE}.") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body of {name} is not valid JSON: {error}.") from None
    except RecursionError:
        raise BadRequest(f"The body of {name} is nested too deeply.") from None
    except UnicodeDecodeError:
        raise BadRequest(f"The body of {name} is not UTF-8: {_not_utf8(body)}.") from None


def _not_utf8(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"{error.reason} (byte {error.start})"
    return "an escape stands for half a character"


def _body_text(name: str, request: HttpRequest, media_type: str) -> str:
    body = request.body
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"The body has {len(body)} bytes; {name} takes {BODY_BYTES_MAX}.")
    if not body:
        kind = "a JSON body" if media_type == JSON_TYPE else f"a body of {media_type}"
        raise BadRequest(f"{name} needs {kind}. See {PAGE}.")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"The body of {name} is not UTF-8: {_not_utf8(body)}.") from None


def _from_query(operation: Operation[Input], request: HttpRequest, values: dict[str, str]) -> Input:
    for ours, theirs in zip(operation.segments, request.raw_path.split(b"/"), strict=True):
        if is_parameter(ours):
            values[ours[1:-1]] = _decoded(theirs)
    path_names = set(values)
    for name, value in _query(request.raw_query):
        if name in path_names:
            raise BadRequest(f"{name!r} belongs into the path, not into the query. See {PAGE}.")
        if name in values:
            raise BadRequest(f"The query has {name!r} more than once. Send it once.")
        values[name] = value
    try:
        return msgspec.convert(values, operation.takes, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The query of {operation.name} is wrong: {error}. See {PAGE}.") from None


def _query(raw: bytes) -> list[tuple[str, str]]:
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except ValueError as error:
        raise BadRequest(
            f"The query can't be read: {error}. Write it as name=value&name=value, "
            "percent-encoded UTF-8."
        ) from None


def _decoded(segment: bytes) -> str:
    try:
        return unquote(segment.decode("ascii"), errors="strict")
    except ValueError:
        raise BadRequest(
            f"The path's part {segment.decode('latin-1')!r} is not percent-encoded UTF-8."
        ) from None
