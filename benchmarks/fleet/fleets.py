"""The two fleets of 1.44 million chips as fleet files, and leases that fill them to a load.

Power is capped in every row and at the site at what all hosts draw, so that what is measured counts
watts as it would where they are scarce.
"""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.fleet.placement import Run, build, craton
from craton.bootstrap.migrate import migrate
from craton.fleet.records import FLEET, LEASES, FleetText, Lease, LeaseKind, LeaseState
from craton.kernel.clock import SystemClock
from craton.kernel.ids import Ids

ACCOUNTS = 100
INTERRUPTIBLE_EVERY = 3
"""Every third lease may be interrupted; the others keep their hosts from being promised."""


@dataclass(frozen=True)
class FleetOf:
    """One of the fleets. `key` is its pool's."""

    name: str
    type: str
    ultraserver: str
    draw_w: int
    mix_fleet: int

    @property
    def key(self) -> str:
        return f"north/{self.ultraserver}"


FLEETS = {
    "trn2": FleetOf("90,000 hosts of 16 chips", "trn2u.48xlarge", "u-trn2x64", 12_312, 0),
    "trn3": FleetOf("360,000 hosts of 4 chips", "craton.trn3-gen2", "u-trn3x144", 5_700, 1),
}


def fleet_text(of: FleetOf, fleet: dict[str, Any]) -> str:
    """The fleet file: rows alike, and one more for what is left."""
    leaves = fleet["hosts"] // fleet["hosts_per_leaf"]
    rows, rest = divmod(leaves, fleet["leaves_per_row"])
    parts = [("r", rows, fleet["leaves_per_row"])] + ([("s", 1, rest)] if rest else [])
    row_kw = [-(-count * fleet["hosts_per_leaf"] * of.draw_w // 1000) for _, _, count in parts]
    site_kw = sum(kw * rows for kw, (_, rows, _) in zip(row_kw, parts, strict=True))
    text = f'[[site]]\nname = "north"\ndriver = "simulated"\npower_kw = {site_kw}\n'
    for (name, rows, count), kw in zip(parts, row_kw, strict=True):
        text += (
            f'[[site.row]]\nname = "{name}"\ncount = {rows}\npower_kw = {kw}\n[[site.row.rack]]\n'
            f'name = "t"\ntype = "{of.type}"\nultraserver = "{of.ultraserver}"\ncount = {count}\n'
        )
    return text


def churned(mix: dict[str, Any], fleet: dict[str, Any], turnovers: float) -> Run:
    """The fleet after gangs came and went, placed by Craton's placer."""
    run = Run(build({**fleet, "row_cap_w": 1 << 40}), craton, {**mix, "turnovers": turnovers})
    run.churn()
    # Gangs whose time came left a gap; it is filled again by the next ones of the same mix.
    while run.pool.layout.hosts - run.pool.free_hosts < run.limit - run.mix["probe_hosts"]:
        hosts, stays = next(run.demands)
        found = craton(run.pool, hosts)
        if found is not None and run.pool.layout.hosts - run.pool.free_hosts + hosts <= run.limit:
            run.pool.take(found.hosts, found.masks)
            run.held.append((stays, run.number, found))
    return run


def leases(of: FleetOf, run: Run) -> Iterator[Lease]:
    """What the gangs of a run hold, as leases that began a minute ago."""
    ids = Ids(SystemClock())
    now_s = int(time.time()) - 60
    for token, (_, _, held) in enumerate(run.held, start=1):
        kind = LeaseKind.ON_DEMAND if token % INTERRUPTIBLE_EVERY else LeaseKind.INTERRUPTIBLE
        yield Lease(
            id="lease-" + ids.request_id().replace("-", "")[-17:],
            kind=kind,
            account=f"account-{token % ACCOUNTS}",
            project="default",
            principal="key-1",
            pool=of.key,
            state=LeaseState.ACTIVE,
            token=token,
            wanted_hosts=len(held.hosts),
            wanted_chips=run.pool.layout.chips_per_host,
            created_ms=now_s * 1000,
            hosts=tuple(held.hosts.tolist()),
            masks=tuple(held.masks.tolist()),
            purpose="filled by a benchmark",
            started_s=now_s,
            billed_s=now_s,
            pools=(of.key,),
        )


def fill(database: Path, text: str, held: Iterator[Lease]) -> int:
    """Write a database in which the file is in force and the leases run; how many they are."""
    migrate(database)
    now_ms = time.time_ns() // 1_000_000
    rows = [
        (LEASES.name, each.id, each.account, each.id, 1, msgspec.json.encode(each), now_ms, now_ms)
        for each in held
    ]
    file = msgspec.json.encode(FleetText(text, now_ms))
    rows.append((FLEET.name, "fleet", "", "fleet", 1, file, now_ms, now_ms))
    connection = sqlite3.connect(database)
    with connection:
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    return len(rows) - 1
