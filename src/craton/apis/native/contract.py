"""Every body and query of the native API. The OpenAPI document is made from these structs.

Field names say their unit: `_ms` is milliseconds since the epoch, `_nanos` a billionth of a unit of
`currency`. What an operation takes refuses unknown fields; what it returns may gain fields.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from craton.access.records import Account, AccountId, KeyId, KeyState, Project, ProjectId, Role
from craton.models.card import (
    Alias,
    BodyFormat,
    EchoSource,
    EmbeddedSource,
    Modality,
    ModelState,
    RemoteSource,
    RemoteWire,
    Runtime,
)

PAGE_MAX = 1000
MILLISECONDS_MAX = 2**53

Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Most entries on a page.")]
After = Annotated[str, Meta(max_length=256, description="Continue after this: a page's `next`.")]
Before = Annotated[str, Meta(max_length=64, description="Continue before this: a page's `next`.")]
OfAccount = Annotated[
    str, Meta(max_length=256, description="An account's id or name; an operator may leave it out.")
]
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Since = Annotated[int, Meta(ge=0, le=MILLISECONDS_MAX, description="Milliseconds since the epoch.")]


class Taken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operation takes: from the path and query of GET and DELETE, or the body of POST."""


class Nothing(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Takes nothing."""


class ById(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names one thing."""

    id: Id


class ByName(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names one thing by its name."""

    name: Id


class Paging(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a page."""

    limit: Limit = 100
    after: After | None = None


class OwnedPaging(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a page of what an account owns."""

    account: OfAccount | None = None
    limit: Limit = 100
    after: After | None = None


class NewAccount(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account to make; a project `default` is made with it."""

    name: str


class NewProject(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project to make, in the caller's own account unless another is named."""

    name: str
    account: OfAccount | None = None


class NewKeyPair(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An access key and an API key to make, in the caller's own account unless another is named."""

    name: str
    account: OfAccount | None = None
    project: str = "default"
    role: Role = Role.MEMBER


class NewAlias(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name that shall mean a model; replaces what it meant before."""

    name: str
    model: str


class FromEcho(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="echo"):
    """Runs on the echo engine: deterministic, for tests and benchmarks."""


class FromWeights(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="embedded"
):
    """Runs on the embedded engine. Give `gguf` or `weights`, not both."""

    gguf: Annotated[
        str | None, Meta(description="Absolute path of a GGUF file on the server's machine.")
    ] = None
    weights: Annotated[
        str | None, Meta(description="Name of weights that Craton fetches by itself.")
    ] = None
    runtime: Annotated[
        Runtime, Meta(description="The library that runs it; openvino is an extra.")
    ] = Runtime.LLAMA


class FromServer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="remote"
):
    """Runs behind a server elsewhere."""

    origin: Annotated[str, Meta(description="Such as `http://127.0.0.1:8000`.", max_length=512)]
    model: Annotated[str, Meta(description="Its name on that server.", min_length=1)]
    path: Annotated[str, Meta(description="The folder of its API.", max_length=512)] = "/v1"
    credential_file: Annotated[
        str | None,
        Meta(
            description="Absolute path, on Craton's machine, of a file with that server's key, or "
            "with AWS credentials in the form of ~/.aws/credentials."
        ),
    ] = None
    wire: Annotated[RemoteWire, Meta(description="The protocol it is asked in.")] = (
        RemoteWire.OPENAI
    )
    region: Annotated[
        str | None, Meta(description="Bedrock's region, where the host doesn't tell it.")
    ] = None


class NewModel(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model to add. `id` is `lab.name`."""

    id: Annotated[str, Meta(max_length=256)]
    source: FromWeights | FromServer | FromEcho
    name: Annotated[str | None, Meta(description="What people call it; else its id.")] = None
    context_tokens: Annotated[int, Meta(ge=1, le=100_000_000)] = 8192
    output_tokens_default: Annotated[
        int, Meta(ge=1, le=100_000_000, description="Most tokens when a request sets no limit.")
    ] = 512
    input_modalities: tuple[Modality, ...] = (Modality.TEXT,)
    output_modalities: tuple[Modality, ...] = (Modality.TEXT,)
    licence: str | None = None
    formats: Annotated[
        tuple[BodyFormat, ...],
        Meta(
            description="The body formats it answers to in InvokeModel; none: all of them.",
            max_length=len(BodyFormat),
        ),
    ] = ()


class ListUsage(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for usage records, newest first."""

    account: OfAccount | None = None
    since_ms: Since = 0
    limit: Limit = 100
    before: Before | None = None


class SummarizeUsage(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for totals."""

    account: OfAccount | None = None
    since_ms: Since = 0


class ListBalances(Taken, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for balances of ledger accounts whose name starts with `prefix`."""

    prefix: Annotated[str, Meta(max_length=300)] = ""


class Identity(msgspec.Struct, frozen=True):
    """Who the caller is, as its credential says."""

    account: AccountId
    account_name: str
    project: ProjectId
    key: KeyId
    role: Role


class AccountPage(msgspec.Struct, frozen=True):
    """Accounts by id."""

    accounts: list[Account]
    next: str | None


class ProjectPage(msgspec.Struct, frozen=True):
    """Projects by id."""

    projects: list[Project]
    next: str | None


class KeyKind(StrEnum):
    """Which of the two kinds a key is."""

    ACCESS_KEY = "access_key"
    API_KEY = "api_key"


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. `hint` is the last four characters of an API key."""

    id: KeyId
    kind: KeyKind
    name: str
    account: AccountId
    project: ProjectId
    role: Role
    state: KeyState
    hint: str | None
    created_ms: int


class KeyPage(msgspec.Struct, frozen=True):
    """Keys by id."""

    keys: list[KeyView]
    next: str | None


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model, the engine that runs it, and its aliases. Only operators see `source`."""

    id: str
    name: str
    lab: str
    engine: str
    aliases: list[str]
    state: ModelState
    context_tokens: int
    output_tokens_default: int
    input_modalities: tuple[Modality, ...]
    output_modalities: tuple[Modality, ...]
    licence: str | None
    created_ms: int
    formats: tuple[BodyFormat, ...]
    source: EchoSource | EmbeddedSource | RemoteSource | None = None


class ModelPage(msgspec.Struct, frozen=True):
    """Models by id."""

    models: list[ModelView]
    next: str | None


class AliasPage(msgspec.Struct, frozen=True):
    """Aliases by name."""

    aliases: list[Alias]
    next: str | None


class Removed(msgspec.Struct, frozen=True):
    """What was taken out."""

    removed: str


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong, what it was about, and what to do next."""

    type: str
    message: str
    request_id: str = ""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every refusal."""

    error: ErrorDetail
