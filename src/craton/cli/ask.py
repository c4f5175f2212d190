"""`craton ask`: one question, its answer, and what it took."""

import sys
from typing import Annotated

import typer

from craton.cli.answer import Turn, default_model
from craton.cli.answer import ask as ask_model
from craton.cli.connection import Connection
from craton.cli.installation import read_installation
from craton.cli.options import DATA, AsJson, CredentialsOf, Data, MaxTokens, Model, System
from craton.cli.output import print_json, print_lines, printable
from craton.kernel.clock import SystemClock


def ask(
    *,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Model = None,
    max_tokens: MaxTokens = None,
    system: System = None,
    data: Data = DATA,
    account: CredentialsOf = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model one question; the answer streams, then tokens, time and cost follow."""
    installation = read_installation(data)
    connection = Connection(
        installation.endpoint.url,
        installation.key(account).api_key,
        trust=installation.endpoint.trust,
    )
    turns = [Turn("system", system)] if system else []
    answer = ask_model(
        connection,
        [*turns, Turn("user", question)],
        model=model or default_model(connection),
        max_tokens=max_tokens,
        write=(lambda _: None) if as_json else write_piece,
        clock=SystemClock(),
    )
    if as_json:
        print_json(answer)
    else:
        print_lines("", answer.line())


def write_piece(text: str) -> None:
    """Show a piece of an answer at once."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
