"""docs/coverage.md: what is built, what real clients were seen to do with it, and what is not."""

from collections.abc import Iterable, Mapping

from craton.apis.aws.operations import BUILT, Entry, entries
from craton.apis.openai.endpoints import NOT_BUILT
from tests.conformance import rows
from tests.conformance.operations import ANTHROPIC, ONLY_REFUSE, OPENAI, RAW, ROUTES, STREAMED
from tests.conformance.rows import Row, Rows

_PRIORITIES = ("must", "should", "rare")
GOOD = ("answered", "streamed")
Seen = Mapping[tuple[str, str], set[Row]]

_HEAD = """\
# What is built, and what was seen of it

`make docs` writes this page from the service models of botocore, the tables of operations, and
`tests/conformance/record.json`: what the tests made clients do with real Cratons, each answer
checked against botocore's service model or the types of its SDK. A test fails when this page isn't
what these say, when an operation that is built was answered to no real client, or when the record
isn't what the tests do (`make conformance` takes it anew). `raw` is a test that speaks HTTP itself.

An AWS operation that stands here and isn't built answers 501 `UnsupportedOperationException`, which
no SDK retries. One that stands nowhere answers 404 `UnknownOperationException`, as AWS does. The
priority is a judgement of how much an operation is used: must, should or rare.
"""
_REST = {
    OPENAI: [path.decode() for path in NOT_BUILT] + ["/v1/responses/compact"],
    ANTHROPIC: ["/v1/messages/batches"],
}
"""What these APIs have besides, each refused with 501."""
_NAMES = {OPENAI: "OpenAI", ANTHROPIC: "Anthropic"}


def seen_of(recorded: Rows) -> Seen:
    """All rows of all modules, by wire and operation."""
    found: dict[tuple[str, str], set[Row]] = {}
    for module in recorded.values():
        for row in module:
            found.setdefault((row.wire, row.operation), set()).add(row)
    return found


def built() -> list[tuple[str, str]]:
    """Every operation that is declared built, by wire."""
    routes = [(wire, operation) for wire, table in ROUTES.items() for operation in table]
    return [*routes, *sorted(BUILT)]


def unproven(recorded: Rows) -> list[str]:
    """Operations that are declared built and were answered to no real client as they should be."""
    seen, found = seen_of(recorded), list[str]()
    for key in built():
        real = {row for row in seen.get(key, ()) if row.client != RAW}
        outcomes = {row.outcome for row in real}
        if key in ONLY_REFUSE:
            if not any(outcome.startswith("refused") for outcome in outcomes):
                found.append(f"{' '.join(key)}: no real client was refused")
        elif not outcomes & set(GOOD):
            found.append(f"{' '.join(key)}: answered to no real client")
        elif key in STREAMED and "streamed" not in outcomes:
            found.append(f"{' '.join(key)}: streamed to no real client")
    return found


def unexpected(recorded: Rows) -> list[str]:
    """Operations that were answered and aren't declared built."""
    known = set(built())
    return sorted(
        " ".join(key)
        for key, found in seen_of(recorded).items()
        if key not in known and any(row.outcome in GOOD for row in found)
    )


def page(
    table: Iterable[Entry] | None = None,
    recorded: Rows | None = None,
    built: frozenset[tuple[str, str]] = BUILT,
) -> str:
    """The text of the page."""
    seen = seen_of(rows.read() if recorded is None else recorded)
    services: dict[str, list[Entry]] = {}
    for entry in entries() if table is None else table:
        services.setdefault(entry.service, []).append(entry)
    parts = [_HEAD, _summary(services, built)]
    parts += [_of_wire(wire, seen) for wire in ROUTES]
    parts += [_of_service(name, services[name], seen, built) for name in services]
    return "\n".join(parts)


def _of_wire(wire: str, seen: Seen) -> str:
    lines = [
        f"## {_NAMES[wire]}",
        "",
        "| operation | request | answered to | refusals seen |",
        "|---|---|---|---|",
    ]
    for operation, (method, path) in ROUTES[wire].items():
        found = seen.get((wire, operation), set())
        answered = _answered(found) or ONLY_REFUSE.get((wire, operation), "")
        lines.append(f"| {operation} | `{method} {path}` | {answered} | {_refused(found)} |")
    rest = ", ".join(f"`{path}`" for path in _REST[wire])
    return "\n".join([*lines, "", f"Not built, and refused by name: {rest}.", ""])


def _of_service(
    name: str, operations: list[Entry], seen: Seen, built: frozenset[tuple[str, str]]
) -> str:
    there = [entry for entry in operations if entry.key in built]
    rest = [entry for entry in operations if entry.key not in built]
    lines = [f"## {name}", ""]
    if there:
        lines += [
            "| built | family | priority | answered to | refusals seen |",
            "|---|---|---|---|---|",
        ]
    for entry in sorted(there, key=_order):
        found = seen.get(entry.key, set())
        lines.append(
            f"| {entry.name} | {entry.family} | {entry.priority} | {_answered(found)} | "
            f"{_refused(found)} |"
        )
    lines += ["", *_not_built(rest)] if there else _not_built(rest)
    return "\n".join([*lines, ""])


def _not_built(operations: list[Entry]) -> list[str]:
    lines = ["| not built | family | priority |", "|---|---|---|"]
    return lines + [
        f"| {entry.name} | {entry.family} | {entry.priority} |"
        for entry in sorted(operations, key=_order)
    ]


def _answered(found: Iterable[Row]) -> str:
    """The clients that were answered; real ones first."""
    clients: dict[str, set[str]] = {}
    for row in found:
        if row.outcome in GOOD:
            clients.setdefault(row.client, set()).add(row.outcome)
    return ", ".join(
        client + (" (also streamed)" if len(clients[client]) == 2 else "")
        for client in sorted(clients, key=lambda client: (client == RAW, client))
    )


def _refused(found: Iterable[Row]) -> str:
    codes = {row.outcome.removeprefix("refused: ") for row in found if row.outcome[:7] == "refused"}
    return ", ".join(sorted(codes))


def _order(entry: Entry) -> tuple[int, str, str]:
    return _PRIORITIES.index(entry.priority), entry.family, entry.name


def _summary(services: dict[str, list[Entry]], built: frozenset[tuple[str, str]]) -> str:
    lines = ["| AWS service | built | must | should | rare |", "|---|---|---|---|---|"]
    for service, operations in services.items():
        groups = [
            operations,
            *([e for e in operations if e.priority == priority] for priority in _PRIORITIES),
        ]
        counts = [f"{sum(e.key in built for e in some)} of {len(some)}" for some in groups]
        lines.append(f"| {service} | {' | '.join(counts)} |")
    return "\n".join([*lines, ""])
