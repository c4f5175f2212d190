"""The shape of the code, held mechanically: layers, cycles, sizes, names, dead modules."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from craton.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "craton"
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
ENTRY_POINTS = {
    "craton.cli.main": "the console script",
    "craton.bootstrap.state_process": "started with python -m",
    "craton.bootstrap.worker": "started with python -m",
    "craton.bootstrap.fleet_keeper": "started with python -m",
    "craton.bootstrap.shim": "started with python -m",
    "craton.models.engines.embedded.process": "started with python -m",
    "craton.models.engines.embedded.embeddings_process": "started with python -m",
    "craton.silicon.claims": "writes docs/silicon-claims.md",
    "craton.bootstrap.migrations.env": "run by Alembic",
}


def layers() -> list[list[str]]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return data["tool"]["craton"]["layers"]


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


MODULES = modules()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[tuple[str, ast.stmt]]:
    """Every module of ours that a module imports, wherever in it."""
    for node in ast.walk(tree(MODULES[name])):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("craton"):
                    yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("craton"):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in MODULES else str(node.module)), node


def layer_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def breaches(edges: dict[str, set[str]], order: list[list[str]]) -> list[str]:
    """Imports that don't point down, given each module's imports and the layers, lowest first."""
    rank = {layer: number for number, line in enumerate(order) for layer in line}
    found: list[str] = []
    for name, targets in edges.items():
        mine = layer_of(name)
        for target in targets:
            theirs = layer_of(target)
            if theirs == mine or not theirs or not mine:
                continue
            if rank[theirs] >= rank[mine]:
                found.append(f"{name} imports {target}: {theirs} is not below {mine}")
    return found


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a ring, by depth-first search."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
            return
        if name in done:
            return
        for target in sorted(edges.get(name, ())):
            visit(target, [*path, name])
        done.add(name)

    for name in edges:
        visit(name, [])
    return found


EDGES = {name: {target for target, _ in imports(name)} - {name} for name in MODULES}
EDGES["craton.cli.commands"] |= {entry.module for entry in COMMANDS.values()}
"""Imported by name, when they are asked for."""


def test_every_package_stands_on_one_line_of_the_layer_list() -> None:
    listed = [layer for line in layers() for layer in line]
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(packages)


def test_imports_point_down() -> None:
    assert breaches(EDGES, layers()) == []


def test_an_upward_and_a_sideways_import_would_be_seen() -> None:
    edges = {
        "craton.kernel.ids": {"craton.models.card"},
        "craton.access.policy": {"craton.economics.ledger"},
        "craton.apis.app": {"craton.access.policy"},
    }
    assert len(breaches(edges, layers())) == 2


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert cycles(EDGES) == []


def test_a_ring_would_be_seen() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_is_of_reading_size(name: str) -> None:
    lines = MODULES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= MODULE_LINES_MAX, f"{name} has {lines} lines; split it"


def test_functions_are_of_reading_size() -> None:
    long = [
        f"{name}.{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for name, path in MODULES.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_module_is_called_by_a_word_that_says_nothing() -> None:
    assert [name for name in MODULES if name.rsplit(".", 1)[-1] in FORBIDDEN_NAMES] == []


def test_every_module_is_imported_by_another_or_started_by_name() -> None:
    imported = {target for targets in EDGES.values() for target in targets}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    revisions = {name for name in MODULES if name.startswith("craton.bootstrap.migrations.")}
    dead = set(MODULES) - imported - packages - revisions - set(ENTRY_POINTS)
    assert sorted(dead) == []


def test_the_environment_is_read_in_bootstrap_and_cli_only() -> None:
    readers = [
        name
        for name, path in MODULES.items()
        if layer_of(name) not in {"bootstrap", "cli"}
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
    ]
    assert readers == []


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    suffixes = {".py", ".md", ".toml", ".json", ".c", ".conf", ".yaml", ".lock", ".sh"}
    places = ("/work" + "/", "../" + "shared", "/root" + "/", "files.python" + "hosted")
    ours = [
        path
        for folder in ("src", "tests", "docs", "decisions", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes
    ]
    ours += [path for path in ROOT.glob("*") if path.suffix in suffixes]
    named = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in ours
        for place in places
        if place in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert named == []
