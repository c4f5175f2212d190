"""`craton models`: the catalogue and its aliases."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from craton.apis.native.contract import ModelPage, ModelView, Removed
from craton.apis.native.prices_contract import PriceView
from craton.cli.connection import segment
from craton.cli.groups import connect, group, pages
from craton.cli.options import DATA, AsJson, Data, example
from craton.cli.output import print_json, print_lines, print_table, printable
from craton.cli.prices import price_of
from craton.kernel.errors import BadRequest
from craton.models.card import (
    Alias,
    BodyFormat,
    EmbeddedSource,
    RemoteSource,
    RemoteWire,
    Runtime,
)

app = group("List, add and remove models, and give them other names.", "craton models")

LOCAL_LAB = "local"

Name = Annotated[str, typer.Argument(help="The model's id, `lab.name`.")]
AliasName = Annotated[str, typer.Argument(help="The other name.")]


@app.callback()
def models(
    context: typer.Context,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """List, add and remove models, and give them other names."""
    if context.invoked_subcommand is None:
        list_models(data, as_json)


@app.command("list", epilog=example("craton models list --json"))
def list_models(data: Data = DATA, as_json: AsJson = False) -> None:
    """List the models, the engine that runs each, and their aliases."""
    connection = connect(data)
    found = [model for page in pages(connection, "/models", ModelPage) for model in page.models]
    if as_json:
        print_json({"models": found})
        return
    rows = [
        (m.id, m.name, m.engine, str(m.context_tokens), ", ".join(m.aliases), m.licence or "")
        for m in found
    ]
    columns = ("MODEL", "NAME", "ENGINE", "CONTEXT", "ALIASES", "LICENCE")
    print_table(columns, rows, empty="There are no models.", right=("CONTEXT",))


@app.command("show", epilog=example("craton models show craton.echo-1"))
def show(
    name: Annotated[str, typer.Argument(help="The model's id, an alias, or an ARN.")],
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show one model: what runs it, what it takes, and what it costs."""
    connection = connect(data)
    found = connection.get("/models/" + segment(name), ModelView)
    price = connection.get("/prices/" + segment(found.id), PriceView)
    if as_json:
        print_json({"model": found, "price": price})
        return
    rows = [
        ("model", found.id),
        ("name", found.name),
        ("lab", found.lab),
        ("runs on", _runs_on(found)),
        ("state", found.state),
        ("aliases", ", ".join(found.aliases) or "none"),
        ("context", f"{found.context_tokens} tokens"),
        ("answer", f"{found.output_tokens_default} tokens where a request sets no limit"),
        ("takes", ", ".join(found.input_modalities)),
        ("gives", ", ".join(found.output_modalities)),
        ("licence", found.licence or "not said"),
        ("formats", ", ".join(found.formats) or "all"),
        ("price", price_of(price)),
        ("since", price.effective or "no price file names it"),
        ("source", price.source or "none"),
    ]
    print_lines(*(printable(f"{label:<8} {text}") for label, text in rows))


def _runs_on(model: ModelView) -> str:
    match model.source:
        case EmbeddedSource() as source:
            return f"{source.runtime}, here: {source.gguf or f'the weights {source.weights}'}"
        case RemoteSource() as source:
            return f"{source.origin}{source.path}, as {source.model}, by {source.wire}"
        case _:
            return f"the {model.engine} engine"


@app.command("add", epilog=example("craton models add my.model --gguf ./model.gguf"))
def add(
    *,
    name: Annotated[
        str, typer.Argument(help="`lab.name`; a name without a dot becomes `local.NAME`.")
    ],
    gguf: Annotated[Path | None, typer.Option(help="A GGUF file, run here.")] = None,
    runtime: Annotated[
        Runtime | None, typer.Option(help="The library that runs a GGUF file; llama unless said.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="A server elsewhere, such as http://127.0.0.1:8000/v1."),
    ] = None,
    wire: Annotated[
        RemoteWire | None,
        typer.Option(help="The protocol that server is asked in; openai unless its host tells."),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Bedrock's region, where the URL doesn't tell it.")
    ] = None,
    upstream_model: Annotated[
        str | None, typer.Option(help="The model's name on that server.")
    ] = None,
    credential_file: Annotated[
        Path | None, typer.Option(help="A file that holds that server's key, or AWS credentials.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    context_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens of prompt and answer.")
    ] = 8192,
    output_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens of an answer that sets no limit.")
    ] = 512,
    format: Annotated[
        list[BodyFormat] | None,
        typer.Option(
            help="A body format it answers to in InvokeModel; again for more, none for all."
        ),
    ] = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Add a model: a GGUF file to run here, or one on a server elsewhere."""
    id = name if "." in name else f"{LOCAL_LAB}.{name}"
    body = {
        "id": id,
        "source": source(
            gguf, url, upstream_model, credential_file, wire=wire, region=region, runtime=runtime
        ),
        "name": title,
        "context_tokens": context_tokens,
        "output_tokens_default": output_tokens,
        "formats": format or [],
    }
    connection = connect(data)
    added = connection.post("/models", ModelView, body)
    if as_json:
        print_json(added)
    else:
        print_lines(
            f"Added {added.id}. Ask it: craton ask --model {added.id} 'Hello'",
        )


def source(
    gguf: Path | None,
    url: str | None,
    upstream_model: str | None,
    credential_file: Path | None,
    *,
    wire: RemoteWire | None = None,
    region: str | None = None,
    runtime: Runtime | None = None,
) -> dict[str, str | None]:
    """Where a model runs, as the API takes it; BadRequest names the options that don't fit."""
    if (gguf is None) == (url is None):
        raise BadRequest("Give either --gguf FILE or --url URL.")
    if gguf is not None:
        if any(option is not None for option in (upstream_model, credential_file, wire, region)):
            raise BadRequest(
                "--upstream-model, --credential-file, --wire and --region go with --url, not "
                "--gguf."
            )
        chosen = {} if runtime is None else {"runtime": runtime}
        return {"type": "embedded", "gguf": str(gguf.expanduser().resolve()), **chosen}
    assert url is not None
    if runtime is not None:
        raise BadRequest("--runtime goes with --gguf, not --url.")
    if upstream_model is None:
        raise BadRequest("--url needs --upstream-model: the model's name on that server.")
    parts = urlsplit(url)
    wire = wire or _usual_wire(parts.hostname or "")
    folder = "" if wire is RemoteWire.BEDROCK else "/v1"
    credential = str(credential_file.expanduser().resolve()) if credential_file else None
    return {
        "type": "remote",
        "origin": f"{parts.scheme}://{parts.netloc}",
        "path": parts.path.rstrip("/") or folder,
        "model": upstream_model,
        "credential_file": credential,
        "wire": wire,
        "region": region,
    }


def _usual_wire(host: str) -> RemoteWire:
    """What the labs' own hosts speak; anything else is taken for an OpenAI-compatible server."""
    if host == "api.anthropic.com":
        return RemoteWire.ANTHROPIC
    if host.startswith("bedrock-runtime") and ".amazonaws." in host:
        return RemoteWire.BEDROCK
    return RemoteWire.OPENAI


@app.command("remove", epilog=example("craton models remove my.model"))
def remove(name: Name, data: Data = DATA, as_json: AsJson = False) -> None:
    """Take a model out, with its aliases; requests under way finish."""
    removed = connect(data).delete("/models/" + segment(name), Removed)
    _tell_removed(removed, as_json=as_json)


@app.command("alias", epilog=example("craton models alias gpt-4o my.model"))
def alias(
    name: AliasName,
    model: Name,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Let another name mean a model, so that programs need not change the name they ask for."""
    made = connect(data).post("/aliases", Alias, {"name": name, "model": model})
    if as_json:
        print_json(made)
    else:
        print_lines(f"{made.name} now means {made.model}.")


@app.command("unalias", epilog=example("craton models unalias gpt-4o"))
def unalias(name: AliasName, data: Data = DATA, as_json: AsJson = False) -> None:
    """Forget an alias."""
    removed = connect(data).delete("/aliases/" + segment(name), Removed)
    _tell_removed(removed, as_json=as_json)


def _tell_removed(removed: Removed, *, as_json: bool) -> None:
    if as_json:
        print_json(removed)
    else:
        print_lines(f"Removed {removed.removed}.")
