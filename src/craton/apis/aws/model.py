"""botocore's service models, as the shapes and operations a server needs.

The files are read from botocore's package and from nowhere else: its loader would also look into
the user's home folder, and importing it brings an HTTP client along (botocore 1.44.5: 0.3 s and 240
modules, against 50 ms for the files of the three services served here). A service is read when it
is first needed.
"""

import gzip
import importlib.resources
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

QUERY = "query"
EC2 = "ec2"
"""The protocol that only EC2 speaks: nearly `query`, but spelled otherwise."""
FORMS = frozenset({QUERY, EC2})
"""The protocols whose requests are forms and whose answers are XML."""

Document = dict[str, Any]
"""A structure of a service model: member names as botocore has them, blobs as bytes."""


class Location(StrEnum):
    """Where in a request or an answer a member stands."""

    BODY = "body"
    URI = "uri"
    QUERY = "querystring"
    HEADER = "header"
    HEADERS = "headers"
    STATUS = "statusCode"


@dataclass(slots=True)
class Shape:
    """A type of a service model, with its constraints. Shapes may refer to themselves."""

    name: str
    kind: str
    """structure, list, map, string, integer, long, float, double, boolean, blob or timestamp."""
    members: dict[str, "Member"] = field(default_factory=dict[str, "Member"])
    body_members: dict[str, "Member"] = field(default_factory=dict[str, "Member"])
    """Those members that stand in the body, by their name on the wire."""
    located: list["Member"] = field(default_factory=list["Member"])
    """Those members that stand elsewhere."""
    required: tuple[str, ...] = ()
    is_union: bool = False
    is_document: bool = False
    is_event_stream: bool = False
    element: "Shape | None" = None
    """Of a list."""
    element_name: str = "member"
    """What forms and XML call each element of a list that isn't flattened."""
    key: "Shape | None" = None
    value: "Shape | None" = None
    """Of a map."""
    key_name: str = "key"
    value_name: str = "value"
    """What forms and XML call the key and the value of an entry."""
    enum: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    """Of a number, or of the length of a string, list, map or blob."""
    pattern: str | None = None
    is_plain: bool = False
    """A scalar without constraints, or a free-form document: of the right type is good enough."""
    is_sensitive: bool = False
    timestamp_format: str | None = None
    payload: str | None = None
    """The member that is the whole body."""


@dataclass(slots=True)
class Member:
    """A member of a structure: its shape and where it stands on the wire."""

    name: str
    wire_name: str
    shape: Shape
    location: Location = Location.BODY
    timestamp_format: str | None = None
    form_name: str = ""
    """Its name in a form: EC2's forms spell it otherwise than its answers do."""
    xml_name: str = ""
    """Its name in XML; of each element, where it is a flattened list."""
    is_flattened: bool = False
    """A list or map whose elements stand where it stands itself."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    service: str
    name: str
    protocol: str
    namespace: str
    """The XML namespace of a query protocol's answers."""
    status: int
    input: Shape | None
    output: Shape | None
    result_wrapper: str | None


class Reference(msgspec.Struct, frozen=True, rename="camel"):
    """A shape where it is used, as a model's file has it."""

    shape: str
    location: Location = Location.BODY
    location_name: str | None = None
    query_name: str | None = None
    timestamp_format: str | None = None
    flattened: bool | None = None
    result_wrapper: str | None = None


class ShapeSource(msgspec.Struct, frozen=True, rename="camel"):
    """A shape as a model's file has it."""

    type: str
    members: dict[str, Reference] = {}
    required: tuple[str, ...] = ()
    member: Reference | None = None
    key: Reference | None = None
    value: Reference | None = None
    enum: tuple[str, ...] | None = None
    min: int | float | None = None
    max: int | float | None = None
    pattern: str | None = None
    union: bool = False
    document: bool = False
    eventstream: bool = False
    sensitive: bool = False
    flattened: bool = False
    location_name: str | None = None
    timestamp_format: str | None = None
    payload: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether any value of its type will do."""
        is_scalar = self.type not in ("structure", "list", "map")
        is_free = self.enum is None and self.min is None and self.max is None
        return self.document or (is_scalar and is_free and self.pattern is None)


class _Http(msgspec.Struct, frozen=True, rename="camel"):
    response_code: int = 200


class OperationSource(msgspec.Struct, frozen=True):
    """An operation as a model's file has it."""

    http: _Http
    input: Reference | None = None
    output: Reference | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What a model's file says of its service."""

    protocol: str
    xml_namespace: str = ""


class Source(msgspec.Struct, frozen=True):
    """A model's file without its documentation, which is more than half of it."""

    metadata: Metadata
    operations: dict[str, OperationSource]
    shapes: dict[str, ShapeSource]


class ServiceModel:
    """The model of one service; shapes are built when an operation first needs them."""

    def __init__(self, service: str, source: Source) -> None:
        self.service = service
        self._source = source
        self._is_ec2 = source.metadata.protocol == EC2
        self._shapes: dict[str, Shape] = {}
        self._operations: dict[str, Operation] = {}

    @property
    def operation_names(self) -> list[str]:
        """Every operation, sorted."""
        return sorted(self._source.operations)

    def operation(self, name: str) -> Operation:
        """One operation; KeyError if the service has none of that name."""
        known = self._operations.get(name)
        if known is not None:
            return known
        source, metadata = self._source.operations[name], self._source.metadata
        made = Operation(
            service=self.service,
            name=name,
            protocol=metadata.protocol,
            namespace=metadata.xml_namespace,
            status=source.http.response_code,
            input=self.shape(source.input.shape) if source.input is not None else None,
            output=self.shape(source.output.shape) if source.output is not None else None,
            result_wrapper=source.output.result_wrapper if source.output is not None else None,
        )
        self._operations[name] = made
        return made

    def shape(self, name: str) -> Shape:
        """A shape by its name in the model."""
        known = self._shapes.get(name)
        if known is not None:
            return known
        source = self._source.shapes[name]
        shape = self._shapes[name] = Shape(
            name=name,
            kind=source.type,
            required=source.required,
            is_union=source.union,
            is_document=source.document,
            is_event_stream=source.eventstream,
            enum=source.enum,
            minimum=source.min,
            maximum=source.max,
            pattern=source.pattern,
            is_plain=source.is_plain,
            is_sensitive=source.sensitive,
            timestamp_format=source.timestamp_format,
            payload=source.payload,
        )
        # Filled in after the shape is known by name, since a shape may refer to itself.
        for member_name, member in source.members.items():
            made = shape.members[member_name] = self._member(member_name, member)
            if made.location is Location.BODY:
                shape.body_members[made.wire_name] = made
            else:
                shape.located.append(made)
        if source.member is not None:
            shape.element = self.shape(source.member.shape)
            plain = "item" if self._is_ec2 else "member"
            shape.element_name = self._location_name(source.member) or plain
        if source.key is not None and source.value is not None:
            shape.key = self.shape(source.key.shape)
            shape.value = self.shape(source.value.shape)
            shape.key_name = self._location_name(source.key) or "key"
            shape.value_name = self._location_name(source.value) or "value"
        return shape

    def _member(self, name: str, source: Reference) -> Member:
        own = self._source.shapes[source.shape]
        xml_name = form_name = self._location_name(source) or name
        is_flattened = own.flattened if source.flattened is None else source.flattened
        if self._is_ec2:
            # EC2's forms capitalise what its answers don't, and every list in them is flat.
            located = self._location_name(source)
            capitalised = name if located is None else located[0].upper() + located[1:]
            form_name = source.query_name or capitalised
        elif is_flattened and own.member is not None:
            xml_name = form_name = self._location_name(own.member) or form_name
        return Member(
            name=name,
            wire_name=source.location_name or name,
            shape=self.shape(source.shape),
            location=source.location,
            timestamp_format=source.timestamp_format,
            form_name=form_name,
            xml_name=xml_name,
            is_flattened=is_flattened,
        )

    def _location_name(self, reference: Reference) -> str | None:
        # What a reference to a shape doesn't say, the shape itself may.
        return reference.location_name or self._source.shapes[reference.shape].location_name


class Models:
    """The service models, each read once, when first needed."""

    def __init__(self) -> None:
        self._services: dict[str, ServiceModel] = {}

    def service(self, name: str) -> ServiceModel:
        """The model of a service, by botocore's name for it."""
        known = self._services.get(name)
        if known is None:
            known = self._services[name] = ServiceModel(name, _read_source(name))
        return known

    def operation(self, service: str, name: str) -> Operation:
        """One operation of a service."""
        return self.service(service).operation(name)


def _read_source(service: str) -> Source:
    folder = importlib.resources.files("botocore") / "data" / service
    version = max(entry.name for entry in folder.iterdir() if entry.is_dir())
    packed = (folder / version / "service-2.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=Source)
