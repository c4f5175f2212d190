"""`craton chat`: a conversation in the terminal, every turn with what it took."""

import sys

import msgspec

from craton.cli.answer import Turn, default_model
from craton.cli.answer import ask as ask_model
from craton.cli.ask import write_piece
from craton.cli.connection import Connection
from craton.cli.installation import read_installation
from craton.cli.options import DATA, AsJson, CredentialsOf, Data, MaxTokens, Model, System
from craton.cli.output import print_lines
from craton.kernel.clock import SystemClock
from craton.kernel.errors import CratonError

HELP = "/reset forgets the conversation, /exit (or Ctrl-D) ends it."


def chat(
    *,
    model: Model = None,
    max_tokens: MaxTokens = None,
    system: System = None,
    data: Data = DATA,
    account: CredentialsOf = None,
    as_json: AsJson = False,
) -> None:
    """Talk with a model; each line you type is a turn. /reset begins anew, /exit ends."""
    installation = read_installation(data)
    connection = Connection(
        installation.endpoint.url,
        installation.key(account).api_key,
        trust=installation.endpoint.trust,
    )
    name = model or default_model(connection)
    beginning = [Turn("system", system)] if system else []
    turns = list(beginning)
    if not as_json and sys.stdin.isatty():
        print_lines(f"You talk with {name}. {HELP}")
    while (line := _read_line()) is not None:
        if not line:
            continue
        if line == "/exit":
            return
        if line == "/reset":
            turns = list(beginning)
            continue
        if line.startswith("/"):
            print_lines(f"{line} is no command here. {HELP}")
            continue
        turns = _turn(connection, turns, line, model=name, max_tokens=max_tokens, as_json=as_json)


def _turn(
    connection: Connection,
    turns: list[Turn],
    line: str,
    *,
    model: str,
    max_tokens: int | None,
    as_json: bool,
) -> list[Turn]:
    """Ask, print, and return the longer conversation; what failed leaves it as it was."""
    asked = [*turns, Turn("user", line)]
    try:
        answer = ask_model(
            connection,
            asked,
            model=model,
            max_tokens=max_tokens,
            write=(lambda _: None) if as_json else write_piece,
            clock=SystemClock(),
        )
    except CratonError as error:
        sys.stderr.write(f"craton: {error.message}\n")
        return turns
    except KeyboardInterrupt:
        print_lines("", "(stopped; this turn is forgotten)")
        return turns
    if as_json:
        print_lines(msgspec.json.encode(answer).decode())
    else:
        print_lines("", answer.line())
    return [*asked, Turn("assistant", answer.answer)]


def _read_line() -> str | None:
    """The next line, or None at the end."""
    prompt = "> " if sys.stdin.isatty() else ""
    try:
        return input(prompt).strip()
    except (EOFError, KeyboardInterrupt):
        return None
