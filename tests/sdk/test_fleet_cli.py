"""The fleet by commands, from the fleet file to the bill, against a Craton of its own."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from craton.access.contract import NewKey
from craton.cli.connection import Connection
from craton.cli.main import main
from craton.kernel.errors import AccessDenied, NotFound
from tests.fakes.craton import Craton

EXAMPLE = Path(__file__).parents[2] / "examples" / "ultraserver.toml"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Craton]:
    """A Craton whose fleet may be changed: the shared one's must stay what other tests expect."""
    running = Craton(tmp_path_factory.mktemp("fleet"), engine="echo")
    assert main(["fleet", "apply", str(EXAMPLE), "--data", str(running.data)]) == 0
    yield running
    assert running.metric("craton_internal_errors_total") == 0
    assert running.close() == 0


@pytest.fixture(scope="module")
def member(owned: Craton) -> Connection:
    """Another account's key."""
    operator = Connection(owned.url, owned.keys.api_key, timeout_s=30)
    account = operator.post("/accounts", dict[str, Any], {"name": "buyer"})
    key = operator.post("/keys", NewKey, {"name": "b", "account": account["id"]})
    return Connection(owned.url, key.api_key, timeout_s=30)


class Cli:
    """Runs commands, and returns what they print."""

    def __init__(self, owned: Craton, capsys: Captured) -> None:
        self.data = str(owned.data)
        self._capsys = capsys

    def text(self, *arguments: str) -> str:
        self._capsys.readouterr()
        status = main([*arguments, "--data", self.data])
        told = self._capsys.readouterr()
        assert status == 0, told.err
        return told.out

    def json(self, *arguments: str) -> Any:
        return msgspec.json.decode(self.text(*arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        self._capsys.readouterr()
        assert main([*arguments, "--data", self.data]) == 1
        told = self._capsys.readouterr()
        assert told.out == ""
        return told.err


@pytest.fixture
def cli(owned: Craton, capsys: Captured) -> Cli:
    return Cli(owned, capsys)


def offers(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    return cli.json("capacity", "search", *arguments)["offers"]


def test_the_fleet_is_shown_with_its_pools_and_a_cell_a_rack(cli: Cli, tmp_path: Path) -> None:
    html = tmp_path / "fleet.html"
    told = cli.text("fleet", "show", "--html", str(html))
    assert "simulated (not real)" in told
    assert re.search(r"north/u-trn2x64 +16 x trainium2 +simulated +512 +124 +", told)
    racks = next(
        after for line, after in pairwise(told.splitlines()) if line.startswith("north/t1:")
    )
    assert len(racks) == 2 + 2 * 32
    page = html.read_text(encoding="utf-8")
    assert page.count('class="rack imagined"') == 4 * 32 + 2 * 16 + 2 * 23 + 1
    assert page.count("<h3>") == 5
    assert cli.json("fleet")["chips"] == cli.json("fleet", "show")["chips"] > 14_000


def test_a_part_of_the_fleet_is_shown_by_its_path(cli: Cli) -> None:
    told = cli.json("fleet", "show", "south/n1")
    assert [(row["site"], row["name"]) for row in told["rows"]] == [("south", "n1")]
    assert "craton fleet show" in cli.refused("fleet", "show", "nowhere")


def test_a_picture_that_cannot_be_written_says_where_to(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "none" / "fleet.html"
    assert "--html a file in a folder" in cli.refused("fleet", "show", "--html", str(missing))


def test_a_wrong_fleet_file_changes_nothing_and_says_the_line(cli: Cli, tmp_path: Path) -> None:
    before = cli.json("fleet")["applied_ms"]
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(EXAMPLE.read_text().replace("p5en.48xlarge", "p9.48xlarge"))
    told = cli.refused("fleet", "apply", str(wrong))
    assert "At line" in told
    assert "p9.48xlarge" in told
    assert "can't be read" in cli.refused("fleet", "apply", str(tmp_path / "none.toml"))
    assert cli.json("fleet")["applied_ms"] == before


def test_hosts_are_set_aside_listed_and_taken_into_use_again(cli: Cli) -> None:
    told = cli.text("fleet", "cordon", "south/n2/h200-3/1", "--note", "new cables")
    assert told == "1 host under south/n2/h200-3/1 is cordoned: nothing new starts there.\n"
    shown = cli.text("fleet")
    assert re.search(r"south/n2/h200-3/1 +cordoned .* new cables", shown)
    assert cli.json("fleet", "drain", "south/n2/h200-3")["hosts"] == 4
    assert "in use again" in cli.text("fleet", "repair", "south/n2/h200-3")
    assert cli.json("fleet")["marks"] == []


def test_a_failed_host_ends_what_ran_there(cli: Cli) -> None:
    lease = cli.json("leases", "request", "--type", "p5en.48xlarge", "--hosts", "1")
    (host,) = lease["hosts"]
    told = cli.text("fleet", "fail", host, "--note", "chip 3 is dead")
    assert f"Ended, or will: {lease['id']}." in told
    ended = cli.json("leases", "show", lease["id"])
    assert (ended["state"], ended["reason"]) == ("ended", "host-lost")
    assert cli.text("leases", "show", lease["id"]).startswith(
        f"{lease['id']} is ended (host-lost): on-demand, 8 x h200"
    )
    cli.text("fleet", "repair", host)


def test_a_failed_chip_ends_what_ran_on_it_and_not_what_ran_beside_it(cli: Cli) -> None:
    wanted = ("--type", "p5en.48xlarge", "--chips", "4")
    first, second = (cli.json("leases", "request", *wanted) for _ in range(2))
    assert first["hosts"] == second["hosts"]
    chip, host = second["masks"][0].bit_length() - 1, second["hosts"][0]
    told = cli.text("fleet", "fail", host, "--chips", str(chip), "--note", "no link")
    assert told.startswith(f"1 chip of {host} is failed: what ran there has ended.")
    assert f"Ended, or will: {second['id']}." in told
    shown = cli.text("fleet")
    assert re.search(rf"{host} chip {chip} +failed .* no link", shown)
    assert re.search(r"south/p5en.48xlarge .* 0, 1 chip", shown)
    assert cli.json("leases", "show", second["id"])["reason"] == "chip-lost"
    assert cli.json("leases", "show", first["id"])["state"] == "active"
    cli.text("leases", "release", first["id"])
    assert "has no chip 8" in cli.refused("fleet", "fail", host, "--chips", "8")
    assert "numbers with commas" in cli.refused("fleet", "fail", host, "--chips", "a")
    assert "in use again" in cli.text("fleet", "repair", host, "--chips", str(chip))
    assert cli.json("fleet")["marks"] == []


def test_a_block_is_quoted_bought_once_and_seen_in_the_calendar(cli: Cli) -> None:
    wanted = ("--ultraserver", "u-trn2x64", "--count", "3", "--days", "7")
    quoted = cli.json("capacity", "quote", *wanted)
    assert "up front" in cli.text("capacity", "quote", *wanted)
    assert quoted["amount_nanos"] == min(each["amount_nanos"] for each in offers(cli, *wanted))
    bought = cli.json("capacity", "buy", quoted["id"], "--tag", "job=pretraining")
    assert (bought["state"], bought["total_hosts"]) == ("scheduled", 12)
    assert bought["tags"] == {"job": "pretraining"}
    again = cli.json("capacity", "buy", quoted["id"], "--tag", "job=pretraining")
    assert again["id"] == bought["id"]
    assert "with other parameters" in cli.refused("capacity", "buy", quoted["id"])
    assert bought["id"] in [each["id"] for each in cli.json("capacity")["reservations"]]
    assert "simulated capacity" in cli.text("capacity", "show", bought["id"])
    days = cli.text("fleet", "calendar", "--pool", "north/u-trn2x64", "--weeks", "2").splitlines()
    assert len(days) == 2 + 14
    assert days[3 + 2].split()[-1] == "121"
    weeks = cli.json("fleet", "calendar", "--pool", "north/u-trn2x64")["calendars"][0]
    assert min(weeks["free"]) <= 121
    assert "can't be cancelled" in cli.refused("capacity", "release", bought["id"])


def test_a_block_is_made_longer_after_its_price_was_shown(cli: Cli) -> None:
    (first, *_) = offers(cli, "--ultraserver", "u-trn3x144", "--days", "1")
    block = cli.json("capacity", "buy", first["id"])
    told = cli.text("capacity", "extend", block["id"], "--days", "2")
    offer = re.search(r"--offer (\S+)", told)
    assert offer is not None
    longer = cli.json("capacity", "extend", block["id"], "--offer", offer[1])
    assert longer["end_s"] - block["end_s"] == 2 * 86_400
    assert "made longer" in cli.text("capacity", "show", block["id"])
    assert "--days N" in cli.refused("capacity", "extend", block["id"])


def test_a_drain_says_whose_work_was_told_and_what_moves(cli: Cli) -> None:
    kept = cli.json("capacity", "reserve", "--type", "p5en.48xlarge")
    lease = cli.json("leases", "request", "--reservation", kept["id"], "--hosts", "1")
    (host,) = kept["hosts"]
    told = cli.text("fleet", "drain", host)
    assert f"Ended, or will: {lease['id']}." in told
    assert f"Get other hosts when what runs there has ended: {kept['id']}." in told
    assert cli.json("leases", "show", lease["id"])["reason"] == "drained"
    cli.text("leases", "release", lease["id"])
    cli.text("fleet", "repair", host)
    cli.text("capacity", "release", kept["id"])


def test_nobody_waits_for_more_than_there_is(cli: Cli) -> None:
    told = cli.refused("leases", "request", "--type", "p5en.48xlarge", "--hosts", "900", "--wait")
    assert "nothing could ever hold them" in told
    assert re.search(r"south/p5en.48xlarge \d+", told)


def test_hosts_are_reserved_changed_used_and_released(cli: Cli) -> None:
    kept = cli.json("capacity", "reserve", "--type", "p5en.48xlarge", "--count", "2")
    assert kept["state"] == "active"
    lease = cli.json("leases", "request", "--reservation", kept["id"], "--hosts", "1")
    assert lease["kind"] == "reserved"
    assert set(lease["hosts"]) < set(kept["hosts"])
    assert "End them first" in cli.refused("capacity", "release", kept["id"])
    told = cli.text("leases", "release", lease["id"])
    assert told == f"{lease['id']} is ended; it cost 0.00 USD.\n"
    assert cli.json("capacity", "change", kept["id"], "--count", "3")["total_hosts"] == 3
    later = cli.json("capacity", "change", kept["id"], "--until", "2052-01-01")
    assert later["end_s"] == 2_587_680_000
    assert cli.json("capacity", "change", kept["id"], "--endless")["end_s"] is None
    assert cli.text("capacity", "release", kept["id"]) == f"{kept['id']} is cancelled.\n"
    assert kept["id"] not in cli.text("capacity", "list")
    assert kept["id"] in cli.text("capacity", "list", "--all")


def test_chips_that_are_free_are_leased_listed_and_given_back(cli: Cli) -> None:
    line = ("leases", "request", "--chip", "h200", "--chips", "12", "--client-token", "once")
    terms = ("--hours", "2", "--purpose", "try it")
    lease = cli.json(*line, *terms)
    assert cli.json(*line, *terms)["id"] == lease["id"]
    assert "with other parameters" in cli.refused(*line)
    assert lease["until_s"] - lease["started_s"] == 7200
    assert sum(mask.bit_count() for mask in lease["masks"]) == 12
    listed = cli.text("leases")
    assert re.search(rf"{lease['id']} +active +on-demand +12 x h200 +2 +\S+ \(simulated\)", listed)
    told = cli.text("leases", "show", lease["id"])
    assert "for try it" in told
    assert "chips 0-7" in told
    cli.text("leases", "release", lease["id"])
    assert cli.json("leases") == {"leases": []}


def test_what_is_interruptible_says_so(cli: Cli) -> None:
    lease = cli.json("leases", "request", "--chip", "h200", "--chips", "1", "--interruptible")
    assert lease["kind"] == "interruptible"
    cli.text("leases", "release", lease["id"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("capacity", "search"), "--type"),
        (("capacity", "search", "--type", "p9", "--days", "1"), "p9"),
        (("capacity", "search", "--type", "p5en.48xlarge", "--days", "20"), "182 days"),
        (("capacity", "search", "--type", "p5en.48xlarge", "--from", "soon"), "--from"),
        (("capacity", "buy", "cbo-none"), "Search for offerings again"),
        (("capacity", "buy", "cbo-none", "--tag", "x"), "name=value"),
        (("capacity", "show", "cr-none"), "craton capacity list"),
        (("capacity", "change", "cr-none", "--until", "2052-01-01", "--endless"), "not both"),
        (("leases", "show", "lease-none"), "craton leases"),
        (("leases", "request", "--chips", "4"), "a chip"),
        (("leases", "request", "--chip", "h200", "--chips", "99999"), "ask for less"),
        (("fleet", "calendar", "--pool", "nowhere/x"), "north/u-trn2x64"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(cli: Cli, words: tuple[str, ...], told: str) -> None:
    assert told in cli.refused(*words)


def test_another_account_sees_what_may_be_bought_and_nothing_of_anybodys(
    cli: Cli, member: Connection
) -> None:
    kept = cli.json("capacity", "reserve", "--type", "p5en.48xlarge")
    lease = cli.json("leases", "request", "--reservation", kept["id"], "--chips", "1")
    (kinds,) = member.get("/capacity/pools", dict[str, Any]).values()
    assert {"u-trn2x64", "u-trn3x144"} <= {each["ultraserver"] for each in kinds}
    assert member.get("/capacity/reservations", dict[str, Any])["reservations"] == []
    assert member.get("/leases", dict[str, Any])["leases"] == []
    for path in (f"/capacity/reservations/{kept['id']}", f"/leases/{lease['id']}"):
        with pytest.raises(NotFound):
            member.get(path, dict[str, Any])
        with pytest.raises(NotFound):
            member.delete(path, dict[str, Any])
    with pytest.raises(NotFound):
        member.post("/leases", dict[str, Any], {"reservation": kept["id"], "chips": 1})
    for path in ("/fleet", "/fleet/calendar"):
        with pytest.raises(AccessDenied):
            member.get(path, dict[str, Any])
    cli.text("leases", "release", lease["id"])
    ended = cli.json("leases", "show", lease["id"])
    assert ended["state"] == "ended"
    with pytest.raises(NotFound):
        member.get(f"/leases/{lease['id']}", dict[str, Any])
    cli.text("capacity", "release", kept["id"])


def test_an_account_buys_for_itself(owned: Craton, member: Connection) -> None:
    asked = {"instance_type": "p5en.48xlarge", "units": 1, "hours": 24}
    (offer, *_) = member.post("/capacity/offers", dict[str, Any], asked)["offers"]
    operator = Connection(owned.url, owned.keys.api_key, timeout_s=30)
    path = "/capacity/reservations/buy"
    with pytest.raises(NotFound):
        operator.post(path, dict[str, Any], {"offer": offer["id"]})
    bought = member.post(path, dict[str, Any], {"offer": offer["id"]})
    listed = member.get("/capacity/reservations", dict[str, Any])["reservations"]
    assert [each["id"] for each in listed] == [bought["id"]]
    identity = member.get("/identity", dict[str, Any])
    assert bought["account"] == identity["account"] != owned.keys.account


def test_the_ledger_has_each_hour_that_was_sold_and_is_whole(cli: Cli) -> None:
    (offer, *_) = offers(cli, "--type", "p5en.48xlarge", "--days", "1")
    cli.text("capacity", "buy", offer["id"])
    newest = cli.json("usage", "--records", "--limit", "1")["records"][0]
    assert newest["resource"] == "p5en.48xlarge"
    assert newest["amount_nanos"] == offer["amount_nanos"]
    assert newest["quantities"]["block_chip_s"] == 8 * (offer["end_s"] - offer["start_s"])
    assert cli.json("ledger", "verify")["whole"]
