import pytest

from craton.cli.plan_tables import blocks, further_down, print_quote
from craton.silicon.quote import Refusal
from tests.fakes.quotes import CHIPS, serving_quote, training_quote

KNOWN = {chip.name: chip for chip in CHIPS}


def test_the_best_plan_stands_first_with_its_interval_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_quote(serving_quote(), KNOWN, top=10)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("seventy: 4k tokens in, 500 out, 20 requests a second")
    first = next(index for index, line in enumerate(told) if line.startswith("1 "))
    cells = "1 h200 TP8 2 16 48 612 22.3 10,400 0.92 1.31 13.7 65 % on-demand fitted"
    assert " ".join(told[first].split()) == cells
    assert "0.782\N{EN DASH}1.06" in told[first + 1]
    assert any("spec-extrapolated" in line for line in told)


def test_a_training_plan_tells_its_days_and_its_failures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_quote(training_quote(), KNOWN, top=10)
    told = capsys.readouterr().out
    assert "TP8·PP4·VP5·DP32" in told
    assert "every 34 min" in told
    assert "5.1M" in told


def test_what_lost_and_what_to_be_wary_of_follow(capsys: pytest.CaptureFixture[str]) -> None:
    print_quote(serving_quote(), KNOWN, top=10)
    told = capsys.readouterr().out
    assert "TP4, TP8, TP16 and 1 more  ITL 44\N{EN DASH}90 ms, the limit is 40" in told
    assert "Take note: The price of p5en.48xlarge" in told
    assert told.index("What lost") < told.index("Take note")


def test_no_plan_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_quote(serving_quote(plans=()), KNOWN, top=10)
    assert "Nothing that was tried meets these limits." in capsys.readouterr().out


def test_a_long_list_of_losses_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    refusals = tuple(Refusal(f"chip{n}", "any", "does not fit") for n in range(25))
    print_quote(serving_quote(refusals=refusals), KNOWN, top=10)
    told = capsys.readouterr().out
    assert "and 5 more; --json or --html FILE has all." in told
    assert "chip20" not in told


def test_a_narrow_terminal_gets_lines_that_fit_and_lose_nothing() -> None:
    columns = ("", "CHIP", "SPLIT", "TTFT ms", "$/M TOKENS", "RESTS ON")
    row = ("1", "h200", "TP8", "612\n428-796", "0.92\n0.78-1.06", "fitted")
    told = blocks(columns, [row], 50)
    assert told[0] == "1. h200  TP8"
    assert all(len(line) <= 50 for line in told)
    joined = " ".join(line.strip() for line in told[1:])
    assert joined == "TTFT ms 612 (428-796); $/M TOKENS 0.92 (0.78-1.06); RESTS ON fitted"


def test_chips_below_the_shown_plans_are_named_with_their_best(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_quote(serving_quote(), KNOWN, top=2)
    told = capsys.readouterr().out
    assert "\n3 " not in told
    assert (
        "Below these, 3 more ($ per million output tokens): b200 1.04, h100 1.41,"
        " trainium2 \N{EN DASH}. --top 5 shows all."
    ) in told
    assert further_down(serving_quote(), 1).startswith("Below these, 4 more ($")
    again = serving_quote(plans=serving_quote().plans[:2])
    assert further_down(again, 1) == "Below these, 1 more. --top 2 shows all."
