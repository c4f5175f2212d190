"""A form to its operation's input, by the shapes of the service's model.

Two protocols send forms, which differ in how lists stand in them and in how names are spelled:

    query   Tags.member.1.Key     Entries.entry.1.key     names as the model has them
    ec2     TagSpecification.1.Tag.1.Key                  names capitalised, or as `queryName` says

The model of a service knows the names (`Member.form_name`); the rest is here. EC2 refuses
parameters that it doesn't know; the services of the other protocol ignore them.
"""

from typing import NoReturn

from craton.apis.aws.coerce import Path, coerce_text
from craton.apis.aws.forms import Form, Tree, grow, invalid_query
from craton.apis.aws.model import EC2, Document, Member, Operation, Shape
from craton.apis.aws.validate import NOT_NULL, first_violation, validate
from craton.kernel.errors import BadRequest

RESERVED = frozenset({"Action", "Version"})
SHOWN_CHARACTERS_MAX = 60

_EXPECTED = {
    "boolean": "Expected true or false.",
    "integer": "Expected an integer of 32 bits.",
    "long": "Expected an integer of 64 bits.",
    "float": "Expected a number.",
    "double": "Expected a number.",
    "timestamp": "Expected a time in the form of ISO 8601, such as 2026-01-31T08:00:00Z.",
    "blob": "Expected base64.",
}


def read_document(operation: Operation, form: Form) -> Document:
    """The input of an operation, of the model's types and within its constraints.

    BadRequest has one of the codes that services of forms share: InvalidParameterValue,
    InvalidQueryParameter, MissingParameter, UnknownParameter; or none (a ValidationError).
    """
    shape = operation.input or Shape(name="Nothing", kind="structure")
    tree = grow({name: text for name, text in form.items() if name not in RESERVED})
    is_ec2 = operation.protocol == EC2
    document = _Reader(is_ec2=is_ec2).structure(shape, tree, "")
    if is_ec2:
        _check_constraints(shape, document)
    else:
        validate(shape, document)
    return document


def _check_constraints(shape: Shape, document: Document) -> None:
    # EC2 names the first fault, and its parameter as the form spells it.
    found = first_violation(shape, document)
    if found is None:
        return
    name = _parameter(shape, found.path)
    if found.constraint == NOT_NULL:
        raise BadRequest(f"The request must contain the parameter {name}", code="MissingParameter")
    shown = "" if found.value is None else f" ( {found.value} )"
    raise BadRequest(
        f"Value{shown} for parameter {name} is invalid. {found.constraint}.",
        code="InvalidParameterValue",
    )


def _parameter(shape: Shape, path: Path) -> str:
    steps: list[str | int] = []
    while path:
        path, step = path
        steps.append(step)
    names: list[str] = []
    here: Shape | None = shape
    for step in reversed(steps):
        assert here is not None, "a path of a violation stays within its shape"
        if isinstance(step, int):
            names.append(str(step + 1))
            here = here.element
        else:
            member = here.members.get(step)
            names.append(step if member is None else member.form_name)
            here = here.value if member is None else member.shape
    return ".".join(names)


class _Reader:
    """Walks a tree of parameters along a shape; `name` is the parameter a value came by."""

    def __init__(self, *, is_ec2: bool) -> None:
        self._is_ec2 = is_ec2

    def structure(self, shape: Shape, tree: Tree | str, name: str) -> Document:
        if isinstance(tree, str):
            _refuse_value(shape, tree, name, "It has parts of its own: name them after a dot.")
        document: Document = {}
        known = 0
        for member in shape.members.values():
            found = tree.get(member.form_name)
            if found is not None:
                known += 1
                document[member.name] = self._member(member, found, _join(name, member.form_name))
            elif member.is_flattened and tree.get(member.wire_name) == "":
                # An empty list has no elements to be named after, so it has the member's own name.
                document[member.name] = []
        if self._is_ec2 and known < len(tree):
            self._refuse_unknown(shape, tree, name)
        return document

    def _member(self, member: Member, tree: Tree | str, name: str) -> object:
        if member.shape.kind == "list":
            is_flat = self._is_ec2 or member.is_flattened
            return self._list(member.shape, tree, name, is_flat=is_flat)
        if member.shape.kind == "map":
            return self._map(member.shape, tree, name, is_flat=member.is_flattened)
        form = member.timestamp_format or "iso8601"
        return self._value(member.shape, tree, name, timestamp_format=form)

    def _value(
        self, shape: Shape, tree: Tree | str, name: str, *, timestamp_format: str = "iso8601"
    ) -> object:
        match shape.kind:
            case "structure":
                return self.structure(shape, tree, name)
            case "list":
                return self._list(shape, tree, name, is_flat=self._is_ec2)
            case "map":
                return self._map(shape, tree, name, is_flat=False)
            case _:
                return _scalar(shape, tree, name, timestamp_format)

    def _list(self, shape: Shape, tree: Tree | str, name: str, *, is_flat: bool) -> list[object]:
        assert shape.element is not None, "a list of a model has elements"
        if tree == "" and not self._is_ec2:
            return []  # so clients of this protocol send an empty list
        elements = tree
        if not is_flat:
            elements = self._within(shape, tree, name, shape.element_name)
            name = _join(name, shape.element_name)
        return [
            self._value(shape.element, item, f"{name}.{number}")
            for number, item in enumerate(_numbered(shape, elements, name), start=1)
        ]

    def _map(self, shape: Shape, tree: Tree | str, name: str, *, is_flat: bool) -> Document:
        assert shape.key is not None, "a map of a model has keys"
        assert shape.value is not None, "a map of a model has values"
        if tree == "" and not self._is_ec2:
            return {}
        entries = tree
        if not is_flat:
            entries = self._within(shape, tree, name, "entry")
            name = _join(name, "entry")
        document: Document = {}
        for number, entry in enumerate(_numbered(shape, entries, name), start=1):
            where = f"{name}.{number}"
            if isinstance(entry, str) or shape.key_name not in entry:
                raise BadRequest(
                    f"The request must contain the parameter {where}.{shape.key_name}",
                    code="MissingParameter",
                )
            key = str(_scalar(shape.key, entry[shape.key_name], where, "iso8601"))
            if key in document:
                raise invalid_query(f"{where} has the key {_shown(key)} again. Send it once.")
            value = entry.get(shape.value_name, "")
            document[key] = self._value(shape.value, value, _join(where, shape.value_name))
        return document

    def _within(self, shape: Shape, tree: Tree | str, name: str, step: str) -> Tree | str:
        if isinstance(tree, str):
            _refuse_value(shape, tree, name, f"Its elements are {name}.{step}.1 and so on.")
        found = tree.get(step)
        if found is None or len(tree) > 1:
            other = next(key for key in tree if key != step)
            raise invalid_query(
                f"The parameter {_join(name, other)[:100]!r} has no meaning: the elements are "
                f"{name}.{step}.1 and so on."
            )
        return found

    def _refuse_unknown(self, shape: Shape, tree: Tree, name: str) -> NoReturn:
        names = {member.form_name for member in shape.members.values()}
        unknown = _join(name, next(key for key in tree if key not in names))
        raise BadRequest(
            f"The parameter {unknown[:100]} is not recognized", code="UnknownParameter"
        )


def _numbered(shape: Shape, tree: Tree | str, name: str) -> list[Tree | str]:
    """The elements of a list in order; they are numbered from 1 without a gap."""
    if isinstance(tree, str):
        _refuse_value(shape, tree, name, f"Its elements are {name}.1 and so on.")
    elements: list[Tree | str] = []
    for number in range(1, len(tree) + 1):
        element = tree.get(str(number))
        if element is None:
            odd = next(key for key in tree if not _is_index(key, len(tree)))
            raise invalid_query(
                f"The parameter {name}.{number} is missing beside {_join(name, odd)[:100]!r}. "
                "Number the elements from 1 without a gap."
            )
        elements.append(element)
    return elements


def _is_index(key: str, count: int) -> bool:
    # Only texts that short are made numbers of.
    return len(key) <= 6 and key.isdecimal() and key == str(int(key)) and 1 <= int(key) <= count


def _scalar(shape: Shape, tree: Tree | str, name: str, timestamp_format: str) -> object:
    if not isinstance(tree, str):
        raise invalid_query(
            f"The parameter {_join(name, next(iter(tree)))[:100]!r} has no meaning: {name} has no "
            "parts. Send it as one value."
        )
    try:
        return coerce_text(shape, tree, ((), name), timestamp_format=timestamp_format)
    except BadRequest:
        _refuse_value(shape, tree, name, _EXPECTED[shape.kind])


def _refuse_value(shape: Shape, text: str, name: str, reason: str) -> NoReturn:
    shown = "" if shape.is_sensitive else f" ( {_shown(text)} )"
    raise BadRequest(
        f"Value{shown} for parameter {name[:100]} is invalid. {reason}",
        code="InvalidParameterValue",
    )


def _shown(text: str) -> str:
    is_short = len(text) <= SHOWN_CHARACTERS_MAX
    return text if is_short else f"{text[:SHOWN_CHARACTERS_MAX]}…"


def _join(name: str, step: str) -> str:
    return f"{name}.{step}" if name else step
