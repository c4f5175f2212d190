"""`additionalModelResponseFieldPaths`: what else of the answer a caller of Converse wants told.

Each path is a JSON pointer (RFC 6901) into the model's own answer beyond what Converse has a member
for: the stop sequence that was met, under `/stop_sequence`, and whatever a remote model's server
added. What a path names and the answer doesn't have is left out, as Bedrock does.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from craton.dialects.dialect import StreamWriter
from craton.kernel.errors import BadRequest, CratonError
from craton.messages import Event, MessageStop, Metadata

Json = dict[str, Any]
_ABSENT = object()


def check_paths(paths: Sequence[str]) -> None:
    """BadRequest for a path that isn't a JSON pointer into an object."""
    for path in paths:
        if not path.startswith("/") or "~" in path.replace("~0", "").replace("~1", ""):
            raise BadRequest(
                f"`additionalModelResponseFieldPaths`: {path!r} is not a JSON pointer such as "
                "/stop_sequence."
            )


def asked_fields(stop: MessageStop, paths: Sequence[str]) -> MessageStop:
    """The end of an answer with the fields that the paths name, each at its place."""
    if not paths:
        return stop
    fields: Json = {"stop_sequence": stop.stop_sequence}
    if isinstance(stop.additional_fields, dict):
        fields |= cast("Json", stop.additional_fields)
    told: Json = {}
    for path in paths:
        names = [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")[1:]]
        value = _at(fields, names)
        if value is not _ABSENT:
            place = told
            for name in names[:-1]:
                place = place.setdefault(name, {})
            place[names[-1]] = value
    return msgspec.structs.replace(stop, additional_fields=told or None)


def _at(value: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    for name in names:
        if isinstance(value, dict):
            value = cast("Json", value).get(name, _ABSENT)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(cast("Any", value)):
            value = cast("list[Any]", value)[int(name)]
        else:
            return _ABSENT
    return value


class AdditionalFields:
    """A stream's writer, before which the answer's end is given what was asked for."""

    def __init__(
        self,
        writer: StreamWriter,
        paths: Sequence[str],
        served: Callable[[Metadata], Metadata],
    ) -> None:
        self._writer = writer
        self._paths = paths
        self._served = served

    def write(self, event: Event) -> bytes:
        """The frames of one event; may be empty."""
        if isinstance(event, MessageStop):
            event = asked_fields(event, self._paths)
        elif isinstance(event, Metadata):
            event = self._served(event)
        return self._writer.write(event)

    def write_error(self, error: CratonError) -> bytes:
        """The frame that ends a stream which had begun and then failed."""
        return self._writer.write_error(error)
