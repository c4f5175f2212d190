"""Each example runs as its own docstring says: after `eval "$(craton env)"`, unchanged."""

from collections.abc import Iterable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.docs.shell import run
from tests.fakes.craton import ECHO, SMOL, Craton

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
QUESTION = "Name three colours of the rainbow."


def ask(craton: Craton, example: Path, *arguments: str) -> CompletedProcess[str]:
    script = 'eval "$(craton env --data "$1")" && shift && exec python "$@"'
    return run(script, str(craton.data), str(example), *arguments)


def told(lines: Iterable[str], word: str) -> list[str]:
    return [line.partition(":")[2].strip() for line in lines if line.startswith(word + ":")]


def test_there_is_an_example_for_each_protocol() -> None:
    assert [path.name for path in EXAMPLES] == [
        "anthropic_messages.py",
        "boto3_converse.py",
        "openai_chat.py",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_the_same_answer_whole_and_streamed(echo: Craton, example: Path) -> None:
    done = ask(echo, example, ECHO)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert told(lines, "whole") == [QUESTION]
    assert told(lines, "streamed") == [QUESTION]
    whole, streamed = told(lines, "usage")
    assert whole == streamed
    assert "6" in whole  # words there, words back


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_without_an_argument_an_example_asks_the_model_that_comes_along(
    smol: Craton, example: Path
) -> None:
    assert SMOL in example.read_text(encoding="utf-8")
    done = ask(smol, example)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(told(lines, "whole"))
    assert all(told(lines, "streamed"))
    assert len(told(lines, "usage")) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_reads_no_variable_by_itself(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    assert "import os" not in text
    assert "127.0.0.1" not in text


def test_a_failing_example_would_be_seen(echo: Craton) -> None:
    done = ask(echo, EXAMPLES[0], "no-such-model")
    assert done.returncode != 0
    assert "no-such-model" in done.stderr
