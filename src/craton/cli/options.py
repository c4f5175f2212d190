"""The options that many commands share, so that they read and mean the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

DATA = Path("craton-data")

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="CRATON_DATA",
        help="Folder of the database, keys, weights and credentials.",
        show_default=True,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
CredentialsOf = Annotated[
    str | None,
    typer.Option("--account", help="Whose keys of the credentials file to use, by name."),
]
OfAccount = Annotated[
    str | None, typer.Option("--account", help="Only this account's, by id or name.")
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="A model's id or alias. [default: what runs]")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Most tokens of the answer.")
]
System = Annotated[str | None, typer.Option("--system", "-s", help="A system prompt.")]


def example(line: str) -> str:
    """The example that ends a command's help."""
    return f"Example: {line}"
