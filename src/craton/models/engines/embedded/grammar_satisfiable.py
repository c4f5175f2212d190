"""The last reading of a schema's nodes: what nothing satisfies goes, and `oneOf` must be exact."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from craton.models.engines.embedded.grammar_fits import same, type_of
from craton.models.engines.embedded.grammar_keywords import Place
from craton.models.engines.embedded.grammar_nodes import (
    NOTHING,
    Anything,
    Array,
    Literals,
    Node,
    Numbers,
    Object,
    Schema,
    Strings,
    Union,
)

LOOK_MAX = 4
"""How deep alternatives are compared."""


class Exclusive(NamedTuple):
    """The alternatives of a `oneOf`: a value may fit only one."""

    pointer: str
    places: tuple[int, ...]


def settled(nodes: Sequence[Node], root: int, exclusives: Sequence[Exclusive], what: str) -> Schema:
    """The nodes without what can't be satisfied; BadRequest where that leaves nothing."""
    alive = _alive(nodes)
    if root not in alive:
        raise Place(what, "#").refused("no value can satisfy the schema, or only an endless one")
    pruned = [_pruned(node, alive) if n in alive else NOTHING for n, node in enumerate(nodes)]
    comparing = _Comparing(pruned)
    for pointer, places in exclusives:
        kept = [(number, place) for number, place in enumerate(places) if place in alive]
        for index, (one, first) in enumerate(kept):
            for two, second in kept[:index]:
                if not comparing.are_apart(first, second, LOOK_MAX):
                    raise Place(what, pointer).unsupported(
                        "oneOf",
                        f"a value might fit both alternative {two} and alternative {one}; "
                        "use `anyOf`, or tell them apart by a constant in a required property",
                    )
    for node in pruned:
        if isinstance(node, Array) and node.is_unique:
            _check_unique(node, pruned, what)
        if isinstance(node, Object) and node.extras is not None:
            _check_fewest(node, what)
    flat = [_flattened(n, pruned) if isinstance(e, Union) else e for n, e in enumerate(pruned)]
    return Schema(tuple(flat), root)


def _alive(nodes: Sequence[Node]) -> set[int]:
    """The nodes that a finite value satisfies: the least set that holds itself up."""
    alive: set[int] = set()
    count = -1
    while count < len(alive):
        count = len(alive)
        for number, node in enumerate(nodes):
            if number not in alive and _holds(node, alive):
                alive.add(number)
    return alive


def _holds(node: Node, alive: set[int]) -> bool:
    match node:
        case Literals(values=values):
            return bool(values)
        case Union(alternatives=alternatives):
            return any(place in alive for place in alternatives)
        case Array():
            return node.shortest <= _reach(node, alive)
        case Object():
            if not all(each.value in alive for each in node.properties if each.is_required):
                return False
            required = sum(each.is_required for each in node.properties)
            most = sum(each.value in alive for each in node.properties)
            if node.extras is not None and node.extras.value in alive:
                most += node.fewest
            limit = most if node.most is None else min(most, node.most)
            return node.fewest <= limit and (node.most is None or required <= node.most)
        case _:
            return True


def _reach(node: Array, alive: set[int]) -> float:
    """How many items there can be."""
    limit = float("inf") if node.longest is None else node.longest
    for index, place in enumerate(node.first):
        if place not in alive:
            return min(index, limit)
    if node.rest is None or node.rest not in alive:
        return min(len(node.first), limit)
    return limit


def _pruned(node: Node, alive: set[int]) -> Node:
    match node:
        case Union(alternatives=alternatives):
            return Union(tuple(place for place in alternatives if place in alive))
        case Array():
            reach = _reach(node, alive)
            first = node.first[: int(min(reach, len(node.first)))]
            keeps = node.rest is not None and node.rest in alive and reach > len(node.first)
            return replace(
                node,
                first=first,
                rest=node.rest if keeps else None,
                longest=None if reach == float("inf") else int(reach),
            )
        case Object():
            extras = node.extras
            return replace(
                node,
                properties=tuple(each for each in node.properties if each.value in alive),
                extras=extras if extras is not None and extras.value in alive else None,
            )
        case _:
            return node


def _check_unique(node: Array, nodes: Sequence[Node], what: str) -> None:
    if node.longest is not None and node.longest <= 1:
        return
    if not node.first and node.rest is not None and isinstance(nodes[node.rest], Literals):
        return
    raise Place(what, node.pointer).unsupported(
        "uniqueItems", "only items that are listed in an `enum` can be held apart"
    )


def _check_fewest(node: Object, what: str) -> None:
    # A name that isn't declared may come twice, and then it counts once.
    if node.fewest > len(node.properties) + 1:
        raise Place(what, node.pointer).unsupported(
            "minProperties", "beyond the declared properties only one more can be promised"
        )


def _flattened(number: int, nodes: Sequence[Node]) -> Node:
    """A union of no unions: so a schema that is an alternative of itself has an end."""
    leaves: dict[int, None] = {}
    seen = {number}
    queue = [number]
    for place in queue:
        node = nodes[place]
        if isinstance(node, Union):
            inner = [each for each in node.alternatives if each not in seen]
            seen.update(inner)
            queue += inner
        else:
            leaves[place] = None
    kinds: dict[Node, int] = {}
    for place in leaves:
        # A node that says the same as another adds nothing; literals may not be hashable.
        if isinstance(nodes[place], Anything):
            return Anything()
        if isinstance(nodes[place], Strings | Numbers):
            kinds.setdefault(nodes[place], place)
    return Union(
        tuple(
            place
            for place in leaves
            if not isinstance(nodes[place], Strings | Numbers) or kinds[nodes[place]] == place
        )
    )


class _Comparing:
    """Tells whether two schemas have no value in common, as far as their outlines show."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes

    def are_apart(self, one: int, two: int, look: int) -> bool:
        """True where it is certain that no value written for one fits the other."""
        if one == two or look == 0:
            return False
        first, second = self._nodes[one], self._nodes[two]
        if isinstance(first, Union):
            return all(self.are_apart(each, two, look - 1) for each in first.alternatives)
        if isinstance(second, Union):
            return all(self.are_apart(one, each, look - 1) for each in second.alternatives)
        if isinstance(first, Anything) or isinstance(second, Anything):
            return False
        if not _types(first) & _types(second):
            return True
        if isinstance(first, Literals):
            return self._literals_apart(first, second)
        if isinstance(second, Literals):
            return self._literals_apart(second, first)
        if isinstance(first, Numbers) and isinstance(second, Numbers):
            return _is_below(first, second) or _is_below(second, first)
        if isinstance(first, Object) and isinstance(second, Object):
            return self._objects_apart(first, second, look) and self._objects_apart(
                second, first, look
            )
        if isinstance(first, Array) and isinstance(second, Array):
            return self._arrays_apart(first, second, look)
        return False

    def _literals_apart(self, literals: Literals, other: Node) -> bool:
        if isinstance(other, Literals):
            return not any(same(a, b) for a in literals.values for b in other.values)
        return all(_is_outside(value, other) for value in literals.values)

    def _objects_apart(self, written: Object, schema: Object, look: int) -> bool:
        """Whether nothing written under one fits the other."""
        known = {each.name: each for each in schema.properties}
        names = {each.name for each in written.properties}
        for each in schema.properties:
            if each.is_required and each.name not in names and written.extras is None:
                return True
        for each in written.properties:
            if not each.is_required:
                continue
            if each.name not in known:
                if schema.is_closed:
                    return True
            elif self.are_apart(each.value, known[each.name].value, look - 1):
                return True
        return False

    def _arrays_apart(self, one: Array, two: Array, look: int) -> bool:
        if one.longest is not None and one.longest < two.shortest:
            return True
        if two.longest is not None and two.longest < one.shortest:
            return True
        for index in range(min(one.shortest, two.shortest, 8)):
            first = one.first[index] if index < len(one.first) else one.rest
            second = two.first[index] if index < len(two.first) else two.rest
            if first is not None and second is not None and self.are_apart(first, second, look - 1):
                return True
        return False


def _types(node: Node) -> set[str]:
    match node:
        case Literals(values=values):
            found = {type_of(value) for value in values}
            return {"number" if name == "integer" else name for name in found}
        case Strings():
            return {"string"}
        case Numbers():
            return {"number"}
        case Array():
            return {"array"}
        case Object():
            return {"object"}
        case _:
            return set()


def are_all(schema: Schema, name: str) -> bool:
    """Whether every value of the schema has this type."""
    node = schema.nodes[schema.root]
    places = node.alternatives if isinstance(node, Union) else (schema.root,)
    return all(_types(schema.nodes[place]) == {name} for place in places)


def _is_outside(value: object, node: Node) -> bool:
    """Whether a value surely doesn't fit, by its type and the node's bounds alone."""
    if isinstance(node, Numbers) and isinstance(value, int | float):
        return (node.low is not None and value < node.low) or (
            node.high is not None and value > node.high
        )
    kind = type_of(value)
    return ("number" if kind == "integer" else kind) not in _types(node)


def _is_below(one: Numbers, two: Numbers) -> bool:
    if one.high is None or two.low is None:
        return False
    return one.high < two.low or (one.high == two.low and (one.is_high_open or two.is_low_open))
