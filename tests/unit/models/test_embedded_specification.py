"""The command line of an engine process says all there is, and reads back the same."""

from pathlib import Path

from craton.models.engines.embedded.specification import (
    ENVIRONMENT,
    MODULE,
    Specification,
    command,
    parse,
)

SPECIFICATION = Specification(
    name="own model",
    model=Path("/models/a b.gguf"),
    socket=Path("/run/e.sock"),
    threads=3,
    context_tokens=4096,
    slots=5,
    queue_max=6,
    pool_tokens=7000,
)


def test_every_field_survives_the_command_line() -> None:
    words = command(SPECIFICATION, python="python9")
    assert parse(words[words.index(MODULE) + 1 :]) == SPECIFICATION
    assert words[words.index("-m") - 1] == "python9"


def test_the_library_is_told_not_to_spin_for_long() -> None:
    words = command(SPECIFICATION)
    assert words[:2] == ["env", "GOMP_SPINCOUNT=1000"]
    assert ENVIRONMENT == {"GOMP_SPINCOUNT": "1000"}
