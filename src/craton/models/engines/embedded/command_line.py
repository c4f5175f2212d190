"""How a process is told its specification: as words on its command line, field by field.

This module knows no specification, so that each kind of process loads its own alone.
"""

from typing import TypeVar

import msgspec

Told = TypeVar("Told", bound=msgspec.Struct)


def arguments(
    specification: msgspec.Struct, module: str, environment: dict[str, str], *, python: str
) -> list[str]:
    """The argument vector of a module that is told a specification.

    `env` sets its environment and becomes it, so the id is its.
    """
    told = [
        (f"--{name.replace('_', '-')}", str(value))
        for name, value in msgspec.structs.asdict(specification).items()
    ]
    return [
        "env",
        *(f"{name}={value}" for name, value in environment.items()),
        *(python, "-m", module),
        *(word for pair in told for word in pair),
    ]


def parse_as(arguments: list[str], kind: type[Told]) -> Told:
    """Read what `arguments` told of a specification of this kind."""
    values = dict(zip(arguments[::2], arguments[1::2], strict=True))
    fields = {name.removeprefix("--").replace("-", "_"): text for name, text in values.items()}
    return msgspec.convert(fields, kind, strict=False, dec_hook=lambda kind, text: kind(text))
