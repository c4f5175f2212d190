"""`craton run`: what is its own command, and what is to be run."""

import signal

import pytest

from craton.cli.run_watch import signal_number
from craton.cli.runs import completed
from craton.kernel.errors import BadRequest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-- logs", "start -- logs"),
        ("--chips 2 -- ls", "start --chips 2 -- ls"),
        ("python train.py", "start python train.py"),
        ("logs run-1", "logs run-1"),
        ("ps --all", "ps --all"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_what_is_no_command_of_its_own_is_to_be_run(typed: str, meant: str) -> None:
    assert completed(typed.split()) == meant.split()


def test_a_signal_is_named_as_kill_names_it() -> None:
    assert signal_number("usr1") == signal_number("SIGUSR1") == signal.SIGUSR1
    assert signal_number(None) is None
    with pytest.raises(BadRequest, match="'LOUD'"):
        signal_number("LOUD")
