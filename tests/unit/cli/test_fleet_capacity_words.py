"""How capacity and leases are read from people and told to them."""

import pytest

from craton.cli.capacity_tables import print_offers, print_quote, tell
from craton.cli.capacity_terms import (
    an_hour,
    chips_of,
    days,
    hosts_line,
    moment_s,
    part_terms,
    utc,
)
from craton.fleet.contract import Extension
from craton.kernel.errors import BadRequest
from tests.fakes.fleet_views import DAY_S, MIDNIGHT_S, offer, reservation

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2052-02-20", MIDNIGHT_S),
        ("2052-02-20T11:30", MIDNIGHT_S + 41_400),
        ("2052-02-20T11:30+01:00", MIDNIGHT_S + 37_800),
        (None, None),
    ],
)
def test_moments_are_utc_unless_they_say_otherwise(text: str | None, seconds: int | None) -> None:
    assert moment_s(text, "--from") == seconds


def test_a_moment_nobody_can_read_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(BadRequest, match=r"--from is 'soon'.*2026-12-01"):
        moment_s("soon", "--from")


def test_lengths_are_days_and_hours() -> None:
    assert [days(s) for s in (0, 3600, DAY_S, 7 * DAY_S + 29_880)] == [
        "0 h",
        "1 h",
        "1 d",
        "7 d 8.3 h",
    ]


def test_a_price_an_hour_is_exact_or_says_about() -> None:
    assert an_hour(48_000_000_000, 2, 24 * 3600, "USD") == "1.00 USD"
    assert an_hour(100_000_000_000, 3, 3600, "USD") == "about 33.3333 USD"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("8", None, None), (8, None, None, None)),
        (("0.25", None, None), (1, 250, None, None)),
        (("1.0", 2.5, 1.5), (1, None, 2500, 1536)),
        ((None, 4.0, None), (None, None, 4000, None)),
    ],
)
def test_chips_are_asked_for_whole_or_as_thousandths_of_one(
    asked: tuple[str | None, float | None, float | None], told: tuple[int | None, ...]
) -> None:
    assert tuple(part_terms(*asked).values()) == told


@pytest.mark.parametrize("text", ["1.5", "0", "-1", "0.0001", "half", "nan", "inf"])
def test_what_is_no_number_of_chips_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(BadRequest, match=r"such as 0\.25"):
        part_terms(text, None, None)


def test_chips_are_told_as_runs() -> None:
    assert [chips_of(mask) for mask in (0, 1, 0xFFFF, 0b1011_0111)] == [
        "",
        "0",
        "0-15",
        "0-2,4-5,7",
    ]


def test_more_hosts_than_can_be_read_are_counted() -> None:
    assert hosts_line(["a", "b"]) == "a, b"
    assert hosts_line([str(n) for n in range(205)]).endswith("199 and 5 more (--json lists all)")


def test_an_offer_says_that_it_is_simulated_and_how_to_buy_it(capsys: Captured) -> None:
    print_offers([offer()])
    print_quote(offer(), "craton capacity buy cbo-first")
    told = capsys.readouterr().out
    assert "north (simulated)" in told
    assert "40320.00 USD up front, 30.00 USD a host-hour" in told
    assert "simulated capacity" in told
    assert told.endswith("Buy it: craton capacity buy cbo-first\n")
    print_quote(offer(is_simulated=False), "x")
    assert "simulated" not in capsys.readouterr().out


def test_no_offer_says_what_else_to_ask_for(capsys: Captured) -> None:
    print_offers([])
    assert "Ask for fewer" in capsys.readouterr().out


def test_a_reservation_tells_what_was_paid_for_nothing_and_what_is_missing(
    capsys: Captured,
) -> None:
    later = Extension("cbo-2", MIDNIGHT_S * 1000, MIDNIGHT_S, MIDNIGHT_S + DAY_S, 5_000_000_000)
    found = reservation(
        idle_host_s=7200,
        idle_nanos=60_000_000_000,
        broken_hosts=4,
        extensions=[later],
        hosts=["north/a/t1/1"],
        tags={"job": "a"},
    )
    tell(found, as_json=False)
    told = capsys.readouterr().out
    for words in (
        "is active: 2 x u-trn2x64 in north, 3 of 8 hosts in use",
        "2.0 host-hours of it weren't used, 60.00 USD of what it cost",
        "4 of its hosts don't work",
        "to 2052-02-21 00:00 UTC, for 5.00 USD",
        "hosts: north/a/t1/1",
        "tags: job=a",
        "simulated",
    ):
        assert words in told
    tell(reservation(block=None, end_s=None, is_simulated=False), as_json=False)
    told = capsys.readouterr().out
    assert "until it is released" in told
    assert "paid up front" not in told
    assert utc(None) == "-"
