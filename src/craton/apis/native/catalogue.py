"""Models and aliases. Everyone sees which there are; operators add and remove them."""

from pathlib import Path
from typing import Any, assert_never

from craton.access.policy import ADMINISTER
from craton.apis.native.contract import (
    AliasPage,
    ById,
    ByName,
    FromEcho,
    FromServer,
    FromWeights,
    ModelPage,
    ModelView,
    NewAlias,
    NewModel,
    Paging,
    Removed,
)
from craton.apis.native.operation import READ, Caller, Operation
from craton.apis.native.paging import page
from craton.http import Origin
from craton.kernel.errors import BadRequest, NotFound, Unsupported
from craton.models import weights
from craton.models.card import (
    Alias,
    EchoSource,
    EmbeddedSource,
    Modality,
    ModelCard,
    RemoteSource,
    Runtime,
    Source,
)
from craton.models.contract import AddModel, RemoveAlias, RemoveModel, SetAlias
from craton.models.engines.embedded.openvino_presence import check_installed

GGUF_MAGIC = b"GGUF"


async def list_models(caller: Caller, asked: Paging) -> ModelPage:
    """The models, each with its engine and aliases."""
    cards = {card.id: card for card in caller.services.router.cards()}
    chosen, following = page(cards, after=asked.after, limit=asked.limit)
    return ModelPage([_view(caller, card) for card in chosen], following)


async def get_model(caller: Caller, asked: ById) -> ModelView:
    """One model, by id, alias or ARN."""
    return _view(caller, caller.services.router.card(asked.id))


async def add_model(caller: Caller, new: NewModel) -> ModelView:
    """Add a model to the catalogue."""
    card = ModelCard(
        id=new.id,
        name=new.name or new.id,
        lab=new.id.partition(".")[0],
        source=_source(new.source, embeds=Modality.EMBEDDING in new.output_modalities),
        context_tokens=new.context_tokens,
        output_tokens_default=new.output_tokens_default,
        input_modalities=new.input_modalities,
        output_modalities=new.output_modalities,
        licence=new.licence,
        formats=new.formats,
    )
    return _view(caller, await caller.services.state.call("add_model", AddModel(card), ModelCard))


async def remove_model(caller: Caller, asked: ById) -> Removed:
    """Take a model out, with the aliases that mean it; requests under way finish."""
    command = RemoveModel(asked.id)
    return Removed((await caller.services.state.call("remove_model", command, RemoveModel)).id)


async def list_aliases(caller: Caller, asked: Paging) -> AliasPage:
    """The aliases."""
    aliases = {alias.name: alias for alias in caller.services.router.aliases()}
    return AliasPage(*page(aliases, after=asked.after, limit=asked.limit))


async def set_alias(caller: Caller, new: NewAlias) -> Alias:
    """Let a name mean a model."""
    return await caller.services.state.call("set_alias", SetAlias(new.name, new.model), Alias)


async def remove_alias(caller: Caller, asked: ByName) -> Removed:
    """Forget an alias."""
    command = RemoveAlias(asked.name)
    return Removed((await caller.services.state.call("remove_alias", command, RemoveAlias)).name)


def _view(caller: Caller, card: ModelCard) -> ModelView:
    return ModelView(
        id=card.id,
        name=card.name,
        lab=card.lab,
        engine=str(type(card.source).__struct_config__.tag),
        aliases=[a.name for a in caller.services.router.aliases() if a.model == card.id],
        state=card.state,
        context_tokens=card.context_tokens,
        output_tokens_default=card.output_tokens_default,
        input_modalities=card.input_modalities,
        output_modalities=card.output_modalities,
        licence=card.licence,
        created_ms=card.created_ms,
        formats=card.formats,
        # Paths and addresses inside the operator's network are not a member's business.
        source=card.source if caller.is_operator else None,
    )


def _source(source: FromWeights | FromServer | FromEcho, *, embeds: bool) -> Source:
    match source:
        case FromWeights():
            return _embedded(source, embeds=embeds)
        case FromServer():
            return _remote(source)
        case FromEcho():
            return EchoSource()
        case _:
            assert_never(source)


def _embedded(source: FromWeights, *, embeds: bool) -> EmbeddedSource:
    if source.runtime is Runtime.OPENVINO:
        check_installed()
    if (source.gguf is None) == (source.weights is None):
        raise BadRequest("`source` needs either `gguf` or `weights`. Give one of the two.")
    if source.weights is not None:
        if weights.find(source.weights).embeds != embeds:
            right = "EMBEDDING" if not embeds else "TEXT"
            raise BadRequest(
                f"`output_modalities`: the weights {source.weights!r} put out {right} only."
            )
        if embeds and source.runtime is not Runtime.LLAMA:
            raise Unsupported("`source.runtime`: what embeds runs on none. Leave it out.")
        return EmbeddedSource(weights=source.weights, runtime=source.runtime)
    if embeds:
        raise Unsupported(
            "`output_modalities`: Craton runs no GGUF file for embeddings. Use the weights "
            "'all-minilm-l6-v2', or a server elsewhere."
        )
    assert source.gguf is not None
    path = _file("source.gguf", source.gguf)
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise BadRequest(f"Craton can't read {path}: {error.strerror}.") from None
    if magic != GGUF_MAGIC:
        raise BadRequest(
            f"The file {path} is not GGUF: it begins with {magic!r}. Convert the model to GGUF, "
            "or serve it elsewhere and add that server with `origin`."
        )
    return EmbeddedSource(gguf=str(path), runtime=source.runtime)


def _remote(source: FromServer) -> RemoteSource:
    origin = Origin.parse(source.origin)
    rest = source.origin.partition("://")[2]
    if any(mark in rest for mark in "/?#@"):
        raise BadRequest(
            f"`source.origin` is {source.origin!r}; write the scheme, host and port only, such as "
            f"{origin}. The path belongs into `source.path`, a key into `source.credential_file`."
        )
    path = source.path.rstrip("/")
    if path and (not path.startswith("/") or not path.isascii() or not _is_plain(path)):
        raise BadRequest(
            f"`source.path` is {source.path!r}; write it as it stands in a URL, such as /v1."
        )
    if source.credential_file is not None:
        _file("source.credential_file", source.credential_file)
    return RemoteSource(
        origin=str(origin),
        model=source.model,
        path=path,
        credential_file=source.credential_file,
        wire=source.wire,
        region=source.region,
    )


def _is_plain(path: str) -> bool:
    return not any(mark in path for mark in "?#") and path.isprintable() and " " not in path


def _file(member: str, text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise BadRequest(
            f"`{member}` is {text!r}; it must be an absolute path on the machine Craton runs on."
        )
    try:
        is_file = path.is_file()
    except (OSError, ValueError) as error:
        raise BadRequest(f"`{member}` is {text!r}, which can't be looked at: {error}.") from None
    if not is_file:
        raise NotFound(
            f"`{member}`: there is no file {text!r} on the machine Craton runs on. Put it there, "
            "readable by Craton."
        )
    return path


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        name="ListModels",
        method="GET",
        path="/models",
        summary="List models with their engines and aliases",
        action=READ,
        takes=Paging,
        returns=ModelPage,
        run=list_models,
    ),
    Operation(
        name="AddModel",
        method="POST",
        path="/models",
        summary="Add a model: a GGUF file, or one on a server elsewhere",
        action=ADMINISTER,
        takes=NewModel,
        returns=ModelView,
        run=add_model,
        status=201,
    ),
    Operation(
        name="GetModel",
        method="GET",
        path="/models/{id}",
        summary="One model, by id, alias or ARN",
        action=READ,
        takes=ById,
        returns=ModelView,
        run=get_model,
    ),
    Operation(
        name="RemoveModel",
        method="DELETE",
        path="/models/{id}",
        summary="Take a model out, with its aliases",
        action=ADMINISTER,
        takes=ById,
        returns=Removed,
        run=remove_model,
    ),
    Operation(
        name="ListAliases",
        method="GET",
        path="/aliases",
        summary="List aliases",
        action=READ,
        takes=Paging,
        returns=AliasPage,
        run=list_aliases,
    ),
    Operation(
        name="SetAlias",
        method="POST",
        path="/aliases",
        summary="Let a name mean a model; replaces what it meant before",
        action=ADMINISTER,
        takes=NewAlias,
        returns=Alias,
        run=set_alias,
    ),
    Operation(
        name="RemoveAlias",
        method="DELETE",
        path="/aliases/{name}",
        summary="Forget an alias",
        action=ADMINISTER,
        takes=ByName,
        returns=Removed,
        run=remove_alias,
    ),
)
