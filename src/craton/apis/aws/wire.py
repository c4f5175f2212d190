"""The AWS wire as the gateway uses it: find, parse, render, refuse.

match = wire.find(…)                    which operation, or None
params = wire.parse(match, …)           its input, checked; NotBuilt if nothing serves it
… a handler, or a turn of a model …
wire.render(match, document, id)        its answer
wire.error(error, match, id)            or its error
"""

from collections.abc import Iterable, Mapping

from craton.apis.aws.errors import not_built, render_error, unknown_operation
from craton.apis.aws.model import Document, Models
from craton.apis.aws.operations import BUILT, Entry, entries
from craton.apis.aws.parse import parse
from craton.apis.aws.render import Reply, render
from craton.apis.aws.routes import Match, Routes
from craton.kernel.errors import CratonError, NotFound

_KEEPS_UNKNOWN = frozenset({"Converse", "ConverseStream"})
"""Operations whose input may go on to another Converse server, newer than our model."""


class AwsWire:
    """All AWS services on one port."""

    def __init__(
        self,
        *,
        table: Iterable[Entry] | None = None,
        built: frozenset[tuple[str, str]] = BUILT,
        models: Models | None = None,
    ) -> None:
        self._routes = Routes(entries() if table is None else table)
        self._built = built
        self._models = models or Models()

    def load(self) -> None:
        """Read the models of the built operations now, so that the first request needn't wait."""
        for service, name in self._built:
            self._models.operation(service, name)

    def find(
        self,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Match | None:
        """The operation a request is for, built or not; None if no service has it.

        A match with a `refusal` is for no operation, but its service is known.
        """
        return self._routes.find(method, raw_path, raw_query, headers, body)

    def parse(
        self, match: Match, raw_query: bytes, headers: Mapping[str, str], body: bytes
    ) -> Document:
        """The input of the operation, checked against its model; NotBuilt if it isn't served."""
        entry = match.entry
        if match.refusal is not None:
            raise match.refusal
        if entry.key not in self._built:
            raise not_built(entry)
        return parse(
            self._models.operation(*entry.key),
            labels=match.labels,
            raw_query=raw_query,
            headers=headers,
            body=body,
            form=match.form,
            keep_unknown=entry.name in _KEEPS_UNKNOWN,
        )

    def render(self, match: Match, document: Document, request_id: str) -> Reply:
        """The answer of the operation."""
        return render(self._models.operation(*match.entry.key), document, request_id)

    def error(self, error: CratonError, match: Match | None, request_id: str) -> Reply:
        """The answer that tells of an error, in the operation's own protocol and words."""
        return render_error(error, None if match is None else match.entry, request_id)

    def unknown(self, method: str, raw_path: bytes) -> NotFound:
        """The error for a request that no service answers to."""
        return unknown_operation(method, raw_path)
