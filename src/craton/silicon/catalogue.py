"""The catalogue of chips and servers, found by their names and by the names that people use.

The bundled files come first; an operator's own folders follow, and a chip or server of theirs takes
the place of ours of the same name. A new chip is one new TOML file (`chip_file` says how it reads).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from craton.kernel.errors import BadRequest, NotFound
from craton.silicon.chip import Chip, LinkLevel, Server
from craton.silicon.chip_file import Unmeasured, read_chip_file

BUNDLED = (Path(__file__).with_name("chip_files"), Path(__file__).with_name("server_files"))

# Words in public names that don't tell chips apart, dropped where the whole name isn't known.
_MAKERS = {"nvidia", "amd", "aws", "amazon", "google", "intel", "instinct", "cloud", "tpu", "gpu"}
_FORMS = {"sxm", "sxm4", "sxm5", "oam", "dgx", "hgx", "tensor", "core", "hbm"}
_MEMORY = re.compile(r"(\d+)(?:gb|gib|g)")
_MEMORY_KIND = re.compile(r"hbm\d?e?|gddr\d")

# A name's GB against the chip's GiB: sellers count the memory that error correction takes.
MEMORY_TOLERANCE = 0.1

Named = TypeVar("Named", Chip, Server)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Chips and servers by name; names are matched without regard to case and punctuation."""

    chips: Mapping[str, Chip]
    servers: Mapping[str, Server]
    unmeasured: Mapping[str, Unmeasured]

    def chip(self, name: str) -> Chip:
        """The chip of that name, or the one in the server of that name; NotFound otherwise."""
        found = _look_up(name, self.chips.values())
        if found is not None:
            return found
        unmeasured = _look_up_unmeasured(name, self.unmeasured.values())
        if unmeasured is not None:
            raise NotFound(
                f"The chip {unmeasured.name} has no figures yet: run `craton chips calibrate`,"
                f" which measures this machine and writes {unmeasured.name}.toml."
            )
        server = _look_up(name, self.servers.values())
        if server is not None:
            return self.chip(server.chip)
        raise NotFound(f"No chip is called {name!r}.{self._nearest(name)}")

    def server(self, name: str) -> Server:
        """The server of that name; NotFound otherwise."""
        found = _look_up(name, self.servers.values())
        if found is None:
            raise NotFound(f"No server is called {name!r}.{self._nearest(name)}")
        return found

    def find(self, name: str) -> Chip | Server:
        """The chip or server of that name: a name goes before an alias, a chip before a server."""
        own = {_plain(item.name): item for item in (*self.servers.values(), *self.chips.values())}
        if _plain(name) in own:
            return own[_plain(name)]
        server = _look_up(name, self.servers.values(), loosely=False)
        return server if server is not None else self.chip(name)

    def servers_of(self, chip: Chip) -> tuple[Server, ...]:
        """The servers that hold this chip, in the order of their names."""
        found = (server for server in self.servers.values() if server.chip == chip.name)
        return tuple(sorted(found, key=lambda server: server.name))

    def _nearest(self, name: str) -> str:
        names = {
            known
            for item in (*self.chips.values(), *self.servers.values(), *self.unmeasured.values())
            for known in (item.name, *item.aliases)
        }
        near = difflib.get_close_matches(name.casefold(), sorted(names), n=3, cutoff=0.5)
        nearest = f" The nearest names are {', '.join(near)}." if near else ""
        return f"{nearest} `craton chips` lists all; a chip of your own is one TOML file."


def load_catalogue(*folders: Path) -> Catalogue:
    """Read the bundled files and an operator's folders, in this order; a later name wins.

    A folder that isn't there counts as empty. BadRequest names the file and the member that is
    wrong, and says what to write.
    """
    chips: dict[str, Chip] = {}
    servers: dict[str, Server] = {}
    unmeasured: dict[str, Unmeasured] = {}
    for folder in (*BUNDLED, *folders):
        for path in sorted(folder.glob("*.toml")):
            for item in read_chip_file(path.name, path.read_text(encoding="utf-8")):
                match item:
                    case Chip():
                        chips[item.name] = item
                        unmeasured.pop(item.name, None)
                    case Server():
                        servers[item.name] = item
                    case Unmeasured():
                        unmeasured[item.name] = item
    _check_names(chips.values())
    _check_names(servers.values())
    whole = {name: _completed(server, chips, unmeasured) for name, server in servers.items()}
    return Catalogue(chips, whole, unmeasured)


def _check_names(items: Iterable[Chip] | Iterable[Server]) -> None:
    owners: dict[str, str] = {}
    for item in items:
        for known in {_plain(name) for name in (item.name, *item.aliases)}:
            other = owners.setdefault(known, item.name)
            if other != item.name:
                raise BadRequest(
                    f"The name {known!r} belongs to {other} and to {item.name}; take it out of one"
                    " of the two chip files."
                )


def _completed(
    server: Server, chips: Mapping[str, Chip], unmeasured: Mapping[str, Unmeasured]
) -> Server:
    """The server with its links: the chip's own, as far as its chips reach, and its network."""
    chip = chips.get(server.chip)
    if chip is None:
        if server.chip in unmeasured:
            return server
        raise BadRequest(
            f"The server {server.name} holds the chip {server.chip!r}, which no chip file"
            f" describes; there are {', '.join(sorted(chips))}."
        )
    if server.links:
        return server
    *inner, network = chip.links
    if server.network_gbit_s is not None:
        whole = server.network_gbit_s
        share = msgspec.structs.replace(
            whole,
            value=whole.value / 8 / server.chips,
            note=f"{whole.value:g} Gbit/s over {server.chips} chips",
        )
        network = msgspec.structs.replace(network, name="network", gb_s=share)
    return msgspec.structs.replace(server, links=(*_within(inner, server.chips), network))


def _within(levels: Iterable[LinkLevel], chips: int) -> Iterator[LinkLevel]:
    reach = 1
    for level in levels:
        members = min(level.chips, chips)
        if members > reach:
            yield msgspec.structs.replace(level, chips=members)
            reach = members


def _look_up(name: str, items: Iterable[Named], *, loosely: bool = True) -> Named | None:
    known = {_plain(alias): item for item in items for alias in (*item.aliases, item.name)}
    if _plain(name) in known or not loosely:
        return known.get(_plain(name))
    words = re.findall(r"[a-z0-9]+", name.casefold())
    for noise in (_MAKERS, _MAKERS | _FORMS):
        form = "".join(word for word in words if word not in noise)
        if form in known:
            return known[form]
    telling = [word for word in words if word not in _MAKERS | _FORMS]
    form = "".join(w for w in telling if not _MEMORY.fullmatch(w) and not _MEMORY_KIND.fullmatch(w))
    found = known.get(form)
    return found if found is not None and _has_memory(found, telling) else None


def _has_memory(item: Chip | Server, words: Iterable[str]) -> bool:
    """Whether the memory that a name tells is the chip's: an H100 of 94 GB is another chip."""
    if not isinstance(item, Chip):
        return False
    sizes = [int(match[1]) for word in words if (match := _MEMORY.fullmatch(word))]
    own = item.memory_gib.value
    return all(abs(size - own) <= own * MEMORY_TOLERANCE for size in sizes)


def _look_up_unmeasured(name: str, items: Iterable[Unmeasured]) -> Unmeasured | None:
    known = {_plain(alias): item for item in items for alias in (*item.aliases, item.name)}
    return known.get(_plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
