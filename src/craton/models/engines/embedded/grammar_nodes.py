"""What a checked schema is made of: a table of nodes that any constrained decoder can be built on.

Nodes name their children by their place in the table, so a schema may refer to itself. What a node
allows is a part of what the schema allows, chosen so that an answer reads well: declared properties
come in their order, and numbers have a sensible length.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from craton.models.engines.embedded.grammar_automaton import Automaton

Place: TypeAlias = int


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""


@dataclass(frozen=True, slots=True)
class Literals:
    """One of these JSON values; none of them, where nothing can satisfy the schema."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Strings:
    """A string: of a language, or of a length in characters where there is no language."""

    language: Automaton | None = None
    shortest: int = 0
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number between two bounds, either of which may be missing or left out itself."""

    low: Fraction | None
    high: Fraction | None
    is_low_open: bool
    is_high_open: bool
    is_integer: bool


@dataclass(frozen=True, slots=True)
class Array:
    """First the items of `first`, one each; then any number of `rest`, if there is one."""

    first: tuple[Place, ...]
    rest: Place | None
    shortest: int
    longest: int | None
    is_unique: bool
    pointer: str


@dataclass(frozen=True, slots=True)
class Property:
    """A declared property."""

    name: str
    value: Place
    is_required: bool


@dataclass(frozen=True, slots=True)
class Extras:
    """Properties under names that aren't declared; no language is any name."""

    value: Place
    names: Automaton | None


@dataclass(frozen=True, slots=True)
class Object:
    """The declared properties in their order, then extras.

    `is_closed`: the schema itself, not only what is generated of it, has no other properties.
    """

    properties: tuple[Property, ...]
    extras: Extras | None
    fewest: int
    most: int | None
    is_closed: bool
    pointer: str


@dataclass(frozen=True, slots=True)
class Union:
    """One of several."""

    alternatives: tuple[Place, ...]


Node: TypeAlias = Anything | Literals | Strings | Numbers | Array | Object | Union

NOTHING = Literals(())


@dataclass(frozen=True, slots=True)
class Schema:
    """A checked schema: every node can be satisfied, and node `root` stands for the whole."""

    nodes: tuple[Node, ...]
    root: Place
