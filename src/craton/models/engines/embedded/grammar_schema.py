"""JSON Schema, read and checked: a table of nodes, or a refusal that names keyword and place.

What is read is never wider than the schema: whatever a decoder writes under these nodes is valid.
It may be narrower, as each node says. Schemas that apply together (`allOf`, `$ref` beside other
keywords, the parts of an `anyOf` with what stands beside it) are read as one.
"""

from collections.abc import Iterable
from typing import Any

from craton.models.engines.embedded.grammar_automaton import (
    Automaton,
    TooManyStates,
    intersection,
    of_lengths,
    of_words,
    without_words,
)
from craton.models.engines.embedded.grammar_document import Document, Part, escaped
from craton.models.engines.embedded.grammar_fits import Fitting, distinct
from craton.models.engines.embedded.grammar_formats import FORMATS
from craton.models.engines.embedded.grammar_keywords import (
    ANNOTATIONS,
    OF_TYPE,
    TYPES,
    Json,
    Place,
    extra_keyword,
    first_items,
    is_list,
    is_object,
    require_dependents,
    rest_keyword,
)
from craton.models.engines.embedded.grammar_nodes import (
    NOTHING,
    Anything,
    Array,
    Extras,
    Literals,
    Node,
    Object,
    Property,
    Schema,
    Strings,
    Union,
)
from craton.models.engines.embedded.grammar_numbers import Bounds, numbers
from craton.models.engines.embedded.grammar_patterns import BadPattern, of_pattern
from craton.models.engines.embedded.grammar_satisfiable import Exclusive, are_all, settled

NODES_MAX = 5000
DEPTH_MAX = 64
TOGETHER_MAX = 64
"""Most schemas that apply to one value."""
WORK_MAX = 25_000
"""Most parts and listed values that are looked at, each as often as it is: a fifth of a second."""
VALUES_MAX = 5000
"""Most values of one `enum`."""
LENGTH_MIN_MAX = 20_000
"""Longest `minLength` that can be promised."""
NAME_LENGTH_MAX = 200
"""Longest name of a property that isn't declared, where its length is limited at all."""
STATES_COUNTED_MAX = 3000
"""Most states of a language whose length is limited too."""


def read_schema(document: Any, *, what: str, is_strict: bool = False, only: str = "") -> Schema:  # noqa: ANN401 - a JSON value
    """Read a caller's schema; `what` names it in messages, as in "The schema of tool 'x'".

    BadRequest or Unsupported names the place, as a JSON pointer, and the keyword. `is_strict`
    also refuses keywords that aren't known. `only` is the one type that a value may have.
    """
    reader = _Reader(document, what, is_strict=is_strict)
    root = reader.node((Part("#", frozenset()),))
    schema = settled(reader.nodes, root, reader.exclusives, what)
    if only and not are_all(schema, only):
        raise Place(what, "#").malformed("type", f"must be {only!r}")
    return schema


class _Reader:
    def __init__(self, document: Any, what: str, *, is_strict: bool) -> None:  # noqa: ANN401
        self._document = Document(document, what, is_strict=is_strict)
        self._depth = 0
        self._done = 0
        self._places: dict[tuple[Part, ...], int] = {}
        self._automata: dict[str, Automaton] = {}
        self._fitting = Fitting(
            lambda reference: self._document.raw(self._document.target(reference, "#")),
            self._matches,
        )
        self.nodes: list[Node] = []
        self.exclusives: list[Exclusive] = []

    def node(self, parts: Iterable[Part]) -> int:
        """The node of schemas that apply together."""
        key = tuple(dict.fromkeys(parts))
        if key in self._places:
            return self._places[key]
        place = self._at(key[0].pointer) if key else self._at("#")
        if len(self.nodes) >= NODES_MAX:
            raise place.refused(f"the schema has more than {NODES_MAX} parts; make it smaller")
        if len(key) > TOGETHER_MAX:
            raise place.refused(f"more than {TOGETHER_MAX} schemas apply together; combine some")
        if self._depth > DEPTH_MAX:
            raise place.refused(f"the schema is nested more than {DEPTH_MAX} deep; flatten it")
        number = len(self.nodes)
        self._places[key] = number
        self.nodes.append(NOTHING)
        self._depth += 1
        self.nodes[number] = self._build(key)
        self._depth -= 1
        return number

    def _work(self, amount: int, part: Part) -> None:
        self._done += amount
        if self._done > WORK_MAX:
            raise self._at(part.pointer).refused(
                "the schema has too many values and combined parts to be read; make it smaller"
            )

    def _at(self, pointer: str) -> Place:
        return self._document.at(pointer)

    # --- building nodes -------------------------------------------------------------------------

    def _build(self, key: tuple[Part, ...]) -> Node:
        parts: list[Part] = []
        for part in key:
            applied = self._document.flat(part)
            if applied is None:
                return NOTHING
            parts += applied
        parts = list(dict.fromkeys(parts))
        if not parts:
            return Anything()
        self._work(len(parts), parts[0])
        for part in parts:
            raw = self._schema(part)
            for keyword in ("anyOf", "oneOf"):
                if keyword in raw and keyword not in part.done:
                    return self._union(parts, part, keyword)
            self._refuse_unevaluated(raw, part, is_alone=len(key) == len(parts) == 1)
        for part in parts:
            for keyword in ("const", "enum"):
                if keyword in self._schema(part):
                    return self._literals(parts, part, keyword)
        nodes = [self._typed(name, parts) for name in self._types(parts)]
        found = [node for node in nodes if node != NOTHING]
        if len(found) == 1:
            return found[0]
        return Union(tuple(self._added(node) for node in found)) if found else NOTHING

    def _schema(self, part: Part) -> Json:
        raw = self._document.raw(part.pointer)
        assert not isinstance(raw, bool), "a flat part is never true or false"
        return raw

    def _added(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _union(self, parts: list[Part], part: Part, keyword: str) -> Node:
        rest = [
            each._replace(done=each.done | {keyword}) if each == part else each for each in parts
        ]
        rest = [
            each
            for each in rest
            if self._schema(each).keys() - ANNOTATIONS - each.done or "format" in self._schema(each)
        ]
        pointer = f"{part.pointer}/{keyword}"
        count = len(self._schema(part)[keyword])
        places = tuple(
            self.node([*rest, Part(f"{pointer}/{number}", frozenset())]) for number in range(count)
        )
        if keyword == "oneOf":
            self.exclusives.append(Exclusive(part.pointer, places))
        return Union(places)

    def _refuse_unevaluated(self, raw: Json, part: Part, *, is_alone: bool) -> None:
        for keyword in ("unevaluatedProperties", "unevaluatedItems"):
            if raw.get(keyword, True) is not True and not (
                is_alone and not part.done - {"$ref", "allOf"}
            ):
                raise self._at(part.pointer).unsupported(
                    keyword, "it can't stand beside combined schemas; name all properties in one"
                )

    def _literals(self, parts: list[Part], first: Part, keyword: str) -> Node:
        listed: Any = self._schema(first)[keyword]
        candidates: list[Any] = listed if keyword == "enum" else [listed]
        if len(candidates) > VALUES_MAX:
            raise self._at(first.pointer).unsupported(
                "enum", f"it has {len(candidates)} values, which is more than {VALUES_MAX}"
            )
        self._work(2 * len(candidates), first)
        others = [p._replace(done=p.done | {keyword}) if p == first else p for p in parts]
        return Literals(
            distinct(v for v in candidates if all(self._fits_part(part, v) for part in others))
        )

    def _fits_part(self, part: Part, value: object) -> bool:
        raw = self._schema(part)
        return self._fitting.fits({k: v for k, v in raw.items() if k not in part.done}, value)

    def _types(self, parts: list[Part]) -> list[str]:
        allowed = set(TYPES)
        is_said = False
        for part in parts:
            types: Any = self._schema(part).get("type")
            if types is not None:
                is_said = True
                names: list[str] = types if is_list(types) else [types]
                allowed &= {*names, "integer"} if "number" in names else set(names)
        if not is_said:
            # No type was said, and keywords of some only: those are meant.
            keywords = {keyword for part in parts for keyword in self._schema(part)}
            meant = {name for name, own in OF_TYPE.items() if own & keywords}
            if any(self._schema(part).get("format") in FORMATS for part in parts):
                meant.add("string")
            allowed = meant or allowed
        if "number" in allowed:
            allowed.discard("integer")
        return [name for name in TYPES if name in allowed]

    def _typed(self, name: str, parts: list[Part]) -> Node:
        match name:
            case "null":
                return Literals((None,))
            case "boolean":
                return Literals((True, False))
            case "integer" | "number":
                bounds = Bounds(is_integer=name == "integer")
                for part in parts:
                    bounds.narrow(self._schema(part), self._at(part.pointer))
                return numbers(bounds)
            case "string":
                return self._strings(parts)
            case "array":
                return self._array(parts)
            case _:
                return self._object(parts)

    # --- strings --------------------------------------------------------------------------------

    def _language(self, expression: str, place: Place, keyword: str) -> Automaton:
        if expression not in self._automata:
            try:
                self._automata[expression] = of_pattern(expression)
            except BadPattern as error:
                raise place.unsupported(keyword, f"in {expression!r} {error}") from error
            except TooManyStates as error:
                raise place.unsupported(keyword, f"{expression!r} is too large") from error
        return self._automata[expression]

    def _matches(self, pattern: str, text: str) -> bool:
        return self._language(pattern, self._at("#"), "pattern").accepts(text)

    def _strings(self, parts: list[Part]) -> Node:
        shortest, longest = 0, None
        language: Automaton | None = None
        place = self._at(parts[0].pointer)
        for part in parts:
            raw = self._schema(part)
            place = self._at(part.pointer)
            shortest = max(shortest, int(raw.get("minLength", 0)))
            if "maxLength" in raw:
                longest = min(
                    int(raw["maxLength"]), raw["maxLength"] if longest is None else longest
                )
            for keyword, expression in (
                ("pattern", raw.get("pattern")),
                ("format", FORMATS.get(raw.get("format", ""))),
            ):
                if expression is not None:
                    language = self._joined(
                        language, self._language(expression, place, keyword), place, keyword
                    )
        if shortest > LENGTH_MIN_MAX:
            raise place.unsupported("minLength", f"it is over {LENGTH_MIN_MAX}")
        if longest is not None and longest < shortest:
            return NOTHING
        if language is None:
            return Strings(None, shortest, longest)
        if shortest or longest is not None:
            language = self._counted(language, shortest, longest, place)
        return NOTHING if language.is_empty else Strings(language)

    @staticmethod
    def _joined(
        language: Automaton | None, more: Automaton, place: Place, keyword: str
    ) -> Automaton:
        if language is None:
            return more
        try:
            return intersection(language, more)
        except TooManyStates as error:
            raise place.unsupported(keyword, "together with the others it is too large") from error

    @staticmethod
    def _counted(
        language: Automaton, shortest: int, longest: int | None, place: Place
    ) -> Automaton:
        """The strings of a language with a length within bounds, or of those the shorter ones."""
        try:
            if longest is None:
                return intersection(language, of_lengths(shortest, None))
            reach = max(STATES_COUNTED_MAX // len(language.steps), shortest + 1)
            found = intersection(language, of_lengths(shortest, min(longest, reach)))
        except TooManyStates as error:
            raise place.unsupported("minLength", "beside this pattern it is too large") from error
        if found.is_empty and reach < longest:
            raise place.unsupported("maxLength", "beside this pattern it is too large")
        return found

    # --- arrays ---------------------------------------------------------------------------------

    def _array(self, parts: list[Part]) -> Node:
        schemas = [(part.pointer, self._schema(part)) for part in parts]
        shortest = max(int(raw.get("minItems", 0)) for _, raw in schemas)
        limits = [int(raw["maxItems"]) for _, raw in schemas if "maxItems" in raw]
        longest = min(limits) if limits else None
        leading = max(len(first_items(raw)) for _, raw in schemas)
        first = tuple(
            self.node(self._items(schemas, index))
            for index in range(leading if longest is None else min(leading, longest))
        )
        is_said = any(rest_keyword(raw) for _, raw in schemas)
        rest: int | None = None
        if (is_said or not first or shortest > len(first)) and longest != len(first):
            rest = self.node(self._items(schemas, None))
        return Array(
            first=first,
            rest=rest,
            shortest=shortest,
            longest=longest,
            is_unique=any(raw.get("uniqueItems") for _, raw in schemas),
            pointer=next((p for p, raw in schemas if raw.get("uniqueItems")), schemas[0][0]),
        )

    @staticmethod
    def _items(schemas: list[tuple[str, Json]], index: int | None) -> list[Part]:
        """What applies to the item at an index, or (None) to those past all that are listed."""
        found: list[Part] = []
        for pointer, raw in schemas:
            listed = first_items(raw)
            if index is not None and index < len(listed):
                name = "prefixItems" if "prefixItems" in raw else "items"
                found.append(Part(f"{pointer}/{name}/{index}", frozenset()))
            elif keyword := rest_keyword(raw):
                found.append(Part(f"{pointer}/{keyword}", frozenset()))
        return found

    # --- objects --------------------------------------------------------------------------------

    def _object(self, parts: list[Part]) -> Node:
        schemas = [(part.pointer, self._schema(part)) for part in parts]
        names = dict.fromkeys(name for _, raw in schemas for name in raw.get("properties", {}))
        required = dict.fromkeys(name for _, raw in schemas for name in raw.get("required", ()))
        require_dependents(schemas, names, required)
        names |= required
        properties: list[Property] = []
        for name in names:
            if self._may_be_named(name, schemas):
                value = self.node(self._property(schemas, name))
            else:
                value = self._added(NOTHING)
            properties.append(Property(name, value, name in required))
        fewest = max(int(raw.get("minProperties", 0)) for _, raw in schemas)
        limits = [int(raw["maxProperties"]) for _, raw in schemas if "maxProperties" in raw]
        most = min(limits) if limits else None
        return Object(
            properties=tuple(properties),
            extras=self._extras(schemas, names, fewest),
            fewest=fewest,
            most=most,
            is_closed=any(
                raw.get("additionalProperties") is False and not raw.get("patternProperties")
                for _, raw in schemas
            ),
            pointer=schemas[0][0],
        )

    def _may_be_named(self, name: str, schemas: list[tuple[str, Json]]) -> bool:
        return all(
            self._fitting.fits(self._document.raw(f"{pointer}/propertyNames"), name)
            for pointer, raw in schemas
            if "propertyNames" in raw
        )

    def _property(self, schemas: list[tuple[str, Json]], name: str) -> list[Part]:
        """What applies to the property of a name."""
        found: list[Part] = []
        for pointer, raw in schemas:
            applied: list[str] = []
            if name in raw.get("properties", {}):
                applied.append(f"{pointer}/properties/{escaped(name)}")
            for pattern in raw.get("patternProperties", {}):
                place = self._at(f"{pointer}/patternProperties")
                if not (name.isascii() and name.isprintable()):
                    # Engines differ on whether `\w` and the like match such a name.
                    raise place.unsupported(
                        "patternProperties", f"beside a property with the name {name!r}"
                    )
                if self._language(pattern, place, "patternProperties").accepts(name):
                    applied.append(f"{pointer}/patternProperties/{escaped(pattern)}")
            if not applied and (keyword := extra_keyword(raw)):
                applied.append(f"{pointer}/{keyword}")
            found += [Part(each, frozenset()) for each in applied]
        return found

    def _extras(
        self, schemas: list[tuple[str, Json]], names: dict[str, None], fewest: int
    ) -> Extras | None:
        """Properties that aren't declared: where none is, or the schema describes them itself."""
        patterns = [
            (f"{pointer}/patternProperties/{escaped(pattern)}", pattern)
            for pointer, raw in schemas
            for pattern in raw.get("patternProperties", {})
        ]
        described = any(
            is_object(raw.get(keyword)) and raw[keyword]
            for _, raw in schemas
            if (keyword := extra_keyword(raw))
        )
        is_empty = not names and any("properties" in raw for _, raw in schemas)
        if (names or is_empty) and not described and fewest <= len(names):
            return None
        if patterns and names:
            return None
        if len({pattern for _, pattern in patterns}) > 1:
            raise self._at(schemas[0][0]).unsupported(
                "patternProperties", "more than one pattern without declared properties"
            )
        languages: list[Automaton] = [without_words(names)] if names else []
        parts: list[Part] = []
        for pointer, raw in schemas:
            place = self._at(pointer)
            if pattern := next(iter(raw.get("patternProperties", {})), None):
                languages.append(self._language(pattern, place, "patternProperties"))
                parts.append(Part(f"{pointer}/patternProperties/{escaped(pattern)}", frozenset()))
            elif keyword := extra_keyword(raw):
                parts.append(Part(f"{pointer}/{keyword}", frozenset()))
            if "propertyNames" in raw:
                languages += self._names(pointer, place)
        language: Automaton | None = None
        for each in languages:
            language = self._joined(language, each, self._at(schemas[0][0]), "propertyNames")
        if language is not None and language.is_empty:
            return None
        return Extras(self.node(parts), language)

    def _names(self, pointer: str, place: Place) -> list[Automaton]:
        node = self.nodes[self.node([Part(f"{pointer}/propertyNames", frozenset())])]
        match node:
            case Anything():
                return []
            case Literals(values=values):
                return [of_words(each for each in values if isinstance(each, str))]
            case Strings(language=None, shortest=shortest, longest=longest):
                if shortest > NAME_LENGTH_MAX:
                    raise place.unsupported("propertyNames", f"minLength over {NAME_LENGTH_MAX}")
                limit = None if longest is None else min(longest, NAME_LENGTH_MAX)
                return [of_lengths(shortest, limit)]
            case Strings(language=Automaton() as language):
                return [language]
            case _:
                raise place.unsupported("propertyNames", "describe one kind of string")
