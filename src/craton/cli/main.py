"""The `craton` command, and how errors end it."""

import sys
from collections.abc import Sequence

import msgspec
import typer

from craton.apis.native.contract import ErrorBody, ErrorDetail
from craton.cli.commands import Commands
from craton.cli.options import example
from craton.kernel.errors import CratonError

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""

app = typer.Typer(
    name="craton",
    cls=Commands,
    epilog=example("craton up"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def craton() -> None:
    """An AI cloud that you own, behind the APIs your programs already use."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit status. Errors go to standard error, as JSON if `--json` is on."""
    try:
        app(list(arguments), prog_name="craton")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except CratonError as error:
        if "--json" in arguments:
            body = ErrorBody(ErrorDetail(error.fault, error.message))
            sys.stderr.write(msgspec.json.encode(body).decode() + "\n")
        else:
            sys.stderr.write(f"craton: {error.message}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def run() -> None:
    """The program."""
    sys.exit(main(sys.argv[1:]))
