"""A caller's schema as a document: parts by JSON pointer, references followed, forms checked."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

from craton.models.engines.embedded.grammar_keywords import (
    ANNOTATIONS,
    Json,
    Place,
    check,
    is_list,
    is_object,
)


class Part(NamedTuple):
    """A schema that applies, without the keywords that were dealt with already."""

    pointer: str
    done: frozenset[str]


class Document:
    """The parts of a schema; `what` names it in messages."""

    def __init__(self, document: Any, what: str, *, is_strict: bool) -> None:  # noqa: ANN401 - JSON
        self._document = document
        self._what = what
        self._is_strict = is_strict
        self._schemas: dict[str, Json] = {}
        self._anchors: dict[str, str] | None = None

    def at(self, pointer: str) -> Place:
        """A place in it, for messages."""
        return Place(self._what, pointer)

    def raw(self, pointer: str) -> Json | bool:
        """The schema at a pointer; every one that is looked at is checked for its form."""
        if (known := self._schemas.get(pointer)) is not None:
            return known
        value = self._document
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if is_object(value) and name in value:
                value = value[name]
            elif is_list(value) and name.isdigit() and int(name) < len(value):
                value = value[int(name)]
            else:
                raise self.at(pointer).malformed("$ref", "names nothing in this schema")
        if isinstance(value, bool):
            return value
        if not is_object(value):
            raise self.at(pointer).refused("a schema must be an object, true or false")
        check(value, self.at(pointer), is_strict=self._is_strict)
        if pointer != "#" and "$id" in value:
            raise self.at(pointer).unsupported("$id", "only the whole schema may have one")
        self._schemas[pointer] = value
        return value

    def target(self, reference: str, pointer: str) -> str:
        """Where a reference leads, as a pointer."""
        root: Any = self._document.get("$id") if is_object(self._document) else None
        if isinstance(root, str) and root and reference.startswith(root):
            reference = reference[len(root) :] or "#"
        if reference == "#" or reference.startswith("#/"):
            return unquote(reference)
        if reference.startswith("#"):
            if self._anchors is None:
                self._anchors = dict(_anchors(self._document, "#"))
            if reference[1:] in self._anchors:
                return self._anchors[reference[1:]]
            raise self.at(pointer).malformed("$ref", f"{reference!r} names nothing in this schema")
        raise self.at(pointer).unsupported("$ref", "only parts of this same schema can be named")

    def flat(self, part: Part, under: tuple[str, ...] = ()) -> list[Part] | None:
        """The part and all that apply with it; None where nothing can fit."""
        raw = self.raw(part.pointer)
        if isinstance(raw, bool):
            return [] if raw else None
        if part.pointer in under:
            raise self.at(part.pointer).refused("the schema refers to itself without end")
        found: list[Part] = []
        inner = (*under, part.pointer)
        if "$ref" in raw and "$ref" not in part.done:
            applied = self.flat(Part(self.target(raw["$ref"], part.pointer), frozenset()), inner)
            if applied is None:
                return None
            found += applied
        own = part._replace(done=part.done | {"$ref", "allOf"})
        if raw.keys() - ANNOTATIONS - own.done or "format" in raw:
            found.append(own)
        if "allOf" not in part.done:
            for number in range(len(raw.get("allOf", ()))):
                applied = self.flat(Part(f"{part.pointer}/allOf/{number}", frozenset()), inner)
                if applied is None:
                    return None
                found += applied
        return found


def escaped(name: str) -> str:
    """A name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _anchors(value: Any, pointer: str) -> Iterable[tuple[str, str]]:  # noqa: ANN401 - a JSON value
    if is_object(value):
        if isinstance(value.get("$anchor"), str):
            yield value["$anchor"], pointer
        for name, inner in value.items():
            yield from _anchors(inner, f"{pointer}/{escaped(name)}")
    elif is_list(value):
        for number, inner in enumerate(value):
            yield from _anchors(inner, f"{pointer}/{number}")
