"""Which operation a request is for.

REST services: a tree of path segments, each a literal or a label. A literal goes before a label,
and a label before a greedy one, so `/foundation-models/x` can't be taken for `/{anything}/x`. All
services share one port, so a few paths are shared too; there the signing name decides. Services
with one path for everything are told apart by `Action=` (query) or `X-Amz-Target` (JSON).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import msgspec

from craton.apis.aws.forms import read_form
from craton.apis.aws.model import EC2
from craton.apis.aws.operations import REST_JSON, Entry
from craton.kernel.errors import BadRequest, CratonError

SEGMENTS_MAX = 32
_KEPT_MAX = 1024
_KEPT_BYTES_MAX = 256
"""How many matches are kept, and of paths up to which length: clients use few models."""
_CLAIMED_SERVICE = re.compile(r"Credential=[^,]*?/([a-z0-9-]+)/aws4_request")
_PRESIGNED_SERVICE = re.compile(rb"[^&]*?(?:%2F|/)([a-z0-9-]+)(?:%2F|/)aws4_request")


class Match(msgspec.Struct, frozen=True):
    """An operation, and the labels of its path, decoded."""

    entry: Entry
    labels: dict[str, str] = {}
    form: dict[str, str] | None = None
    """The parameters, where they were read to find the operation."""
    refusal: CratonError | None = None
    """Why no operation could be found, where its service is known all the same.

    `entry` stands for that service then, so that the refusal is told as the service tells it.
    """


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])
    label: "_Node | None" = None
    greedy: "_Node | None" = None
    ends: dict[tuple[str, bool], list[tuple[Entry, tuple[str, ...]]]] = field(
        default_factory=dict[tuple[str, bool], list[tuple[Entry, tuple[str, ...]]]]
    )
    """(method, path ends with a slash) → the operations that end here, with their labels' names."""


class Routes:
    """Finds the operation of a request; built once from the table of operations."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._root = _Node()
        self._found: dict[tuple[str, bytes], Match] = {}
        self._actions: dict[str, list[Entry]] = {}
        self._services: list[Entry] = []
        self._targets: dict[str, Entry] = {}
        for entry in entries:
            if entry.protocol == REST_JSON:
                self._add(entry)
            elif entry.protocol == "json":
                self._targets[entry.name] = entry
            else:
                self._actions.setdefault(entry.name, []).append(entry)
                if all(entry.service != known.service for known in self._services):
                    self._services.append(msgspec.structs.replace(entry, name="", errors={}))

    def find(
        self,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Match | None:
        """The operation of a request, or None if no service has it.

        Path and query are as they stood on the wire; header names are lower-case. BadRequest for
        a label that isn't UTF-8.
        """
        known = self._found.get((method, raw_path))
        if known is not None:
            return known
        if raw_path == b"/":
            return self._find_by_name(raw_query, headers, body)
        text = raw_path.decode("latin-1")
        slash = text.endswith("/")
        segments = text.removesuffix("/").split("/")[1:]
        if not text.startswith("/") or len(segments) > SEGMENTS_MAX:
            return None
        if not all(segment and segment not in (".", "..") for segment in segments):
            # A signature covers the path without these, so they must not lead anywhere.
            return None
        values: list[str] = []
        ends = self._walk(self._root, segments, 0, method, slash, values)
        if ends is None:
            return None
        entry, names = ends[0] if len(ends) == 1 else _by_signing_name(ends, headers)
        labels = {name: _decoded(value) for name, value in zip(names, values, strict=True)}
        match = Match(entry=entry, labels=labels)
        if len(ends) == 1 and len(raw_path) <= _KEPT_BYTES_MAX:
            if len(self._found) >= _KEPT_MAX:
                self._found.clear()
            self._found[method, raw_path] = match
        return match

    def _add(self, entry: Entry) -> None:
        path = entry.uri.partition("?")[0]
        slash = path.endswith("/")
        node, names = self._root, list[str]()
        for segment in path.strip("/").split("/"):
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment, _Node())
                continue
            names.append(segment.strip("{}").removesuffix("+"))
            if segment.endswith("+}"):
                node.greedy = node.greedy or _Node()
                node = node.greedy
            else:
                node.label = node.label or _Node()
                node = node.label
        node.ends.setdefault((entry.method, slash), []).append((entry, tuple(names)))

    def _walk(  # noqa: PLR0917 - the state of the search, handed down its own recursion
        self,
        node: _Node,
        segments: list[str],
        at: int,
        method: str,
        slash: bool,
        values: list[str],
    ) -> list[tuple[Entry, tuple[str, ...]]] | None:
        if at == len(segments):
            # A slash at the end matters only where two operations differ by it.
            return node.ends.get((method, slash)) or node.ends.get((method, not slash))
        literal = node.literals.get(segments[at])
        if literal is not None:
            found = self._walk(literal, segments, at + 1, method, slash, values)
            if found is not None:
                return found
        if node.label is not None:
            values.append(segments[at])
            found = self._walk(node.label, segments, at + 1, method, slash, values)
            if found is not None:
                return found
            values.pop()
        if node.greedy is not None:
            for end in range(len(segments), at, -1):
                values.append("/".join(segments[at:end]))
                found = self._walk(node.greedy, segments, end, method, slash, values)
                if found is not None:
                    return found
                values.pop()
        return None

    def _find_by_name(
        self, raw_query: bytes, headers: Mapping[str, str], body: bytes
    ) -> Match | None:
        target = headers.get("x-amz-target")
        if target is not None:
            entry = self._targets.get(target.rpartition(".")[2])
            return None if entry is None else Match(entry=entry)
        try:
            form = read_form(raw_query, headers, body)
        except CratonError as error:
            service = self._claimed(raw_query, headers, None)
            if service is None:
                raise
            return Match(entry=service, refusal=error)
        return self._find_by_action(form, raw_query, headers)

    def _find_by_action(
        self, form: dict[str, str], raw_query: bytes, headers: Mapping[str, str]
    ) -> Match | None:
        action, version = form.get("Action"), form.get("Version")
        found = self._actions.get(action or "", [])
        found = [entry for entry in found if version in (None, entry.api_version)]
        if len(found) > 1:
            name = _claimed_name(raw_query, headers)
            found.sort(key=lambda entry: entry.signing_name != name)
        if found:
            return Match(entry=found[0], form=form)
        service = self._claimed(raw_query, headers, version)
        if service is None or (action is None and not form):
            return None
        return Match(entry=service, refusal=_unknown_action(service, action, version))

    def _claimed(
        self, raw_query: bytes, headers: Mapping[str, str], version: str | None
    ) -> Entry | None:
        """The service that a form is meant for, by signature, host or version, as an entry."""
        name = _claimed_name(raw_query, headers)
        host = headers.get("host", "").partition(".")[0]
        for claim in (name, host):
            for service in self._services:
                if claim is not None and claim == service.signing_name:
                    return service
        for service in self._services:
            if version == service.api_version:
                return service
        return None


def _unknown_action(service: Entry, action: str | None, version: str | None) -> CratonError:
    if action is None:
        return BadRequest("The request must contain the parameter Action", code="MissingAction")
    shown = action[:100]
    if service.protocol != EC2:
        spoken = "NO_VERSION_SPECIFIED" if version is None else version[:40]
        message = f"Could not find operation {shown} for version {spoken}"
        return BadRequest(message, code="InvalidAction")
    if version not in (None, service.api_version):
        return BadRequest(
            f"The requested version ( {version[:40]} ) of service AmazonEC2 does not exist. This "
            f"cloud has {service.api_version}.",
            code="NoSuchVersion",
        )
    return BadRequest(
        f"The action {shown} is not valid for this web service.", code="InvalidAction"
    )


def _by_signing_name(
    ends: list[tuple[Entry, tuple[str, ...]]], headers: Mapping[str, str]
) -> tuple[Entry, tuple[str, ...]]:
    claimed = _claimed_name(b"", headers)
    for end in ends:
        if end[0].signing_name == claimed:
            return end
    return ends[0]


def _claimed_name(raw_query: bytes, headers: Mapping[str, str]) -> str | None:
    """The service that a signature says it is for, in a header or in a presigned query."""
    found = _CLAIMED_SERVICE.search(headers.get("authorization", "")[:1024])
    if found is not None:
        return found[1]
    # Matched where it begins and no further, so that a hostile query costs no more than this.
    credential = raw_query.partition(b"X-Amz-Credential=")[2][:512]
    presigned = _PRESIGNED_SERVICE.match(credential)
    return None if presigned is None else presigned[1].decode()


def _decoded(value: str) -> str:
    if "%" not in value and value.isascii():
        return value
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"The path holds {value[:100]!r}, which is not UTF-8 in percent-encoding.",
            code="SerializationException",
        ) from error
