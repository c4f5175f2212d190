"""What an HTTP request is to a handler, and what a handler may do with the answer.

Nothing here knows a socket or an HTTP version: these are the words between the protocol classes
and everything above them.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from craton.kernel.errors import CratonError

HeaderPairs = Sequence[tuple[bytes, bytes]]


class Headers:
    """Header fields in the order they came: lower-case names, values without outer blanks.

    Repeated names are kept; `get` gives the first, and `is_repeated` tells whether there are more,
    since a signature or a credential that comes twice must not be guessed at.
    """

    __slots__ = ("first", "is_repeating", "pairs")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.pairs = pairs if isinstance(pairs, list) else list(pairs)
        first: dict[bytes, bytes] = dict(self.pairs)
        self.is_repeating = len(first) != len(self.pairs)
        """Whether any name came more than once."""
        if self.is_repeating:
            first = dict(reversed(self.pairs))
        self.first = first
        """Each name with its first value."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a lower-case name."""
        return self.first.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of a lower-case name, in order."""
        if name not in self.first:
            return []
        return [value for key, value in self.pairs if key == name]

    def is_repeated(self, name: bytes) -> bool:
        """Whether a name came more than once."""
        return self.is_repeating and len(self.get_all(name)) > 1

    def __contains__(self, name: bytes) -> bool:
        return name in self.first

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.pairs == other.pairs

    __hash__ = None  # type: ignore[assignment]  # the list inside may change

    def __repr__(self) -> str:
        # Names only: values carry credentials, and this text ends up in logs.
        return f"Headers({[name.decode('latin-1') for name, _ in self.pairs]})"


@dataclass(slots=True, eq=True)
class HttpRequest:
    """One whole request.

    `raw_path` and `raw_query` are as they came, percent-encoded: signatures are over those bytes.
    `peer` is the client's address, without its port. In a refusal of a request that was still
    coming, `body` is empty and `headers` has what came until then.
    """

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: Headers
    body: bytes
    peer: str


class HttpResponder(Protocol):
    """The answer to one request: either `respond`, or `start`, any number of `write`, `finish`.

    After the client has gone, every call is accepted and does nothing: the handler learns of it
    from `on_gone` or `is_gone` and decides itself, since what was made until then is to be billed.
    """

    @property
    def is_gone(self) -> bool:
        """Whether the client has left, or stopped reading for too long."""
        ...

    @property
    def is_started(self) -> bool:
        """Whether a status line has been given, so that no other one can be."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether the whole answer was given, or given up."""
        ...

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call back once if the client leaves before `finish`; at once if it has left."""
        ...

    def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Give the whole answer; its length is added. It leaves before this returns."""
        ...

    def start(self, status: int, headers: HeaderPairs) -> None:
        """Begin an answer of unknown length; it leaves with the first bytes of this turn."""
        ...

    def write(self, data: bytes) -> None:
        """Add to the body. What is written in one turn of the loop leaves in one piece."""
        ...

    async def drain(self) -> None:
        """Wait while the client reads too slowly; returns at once when it is gone."""
        ...

    def finish(self) -> None:
        """End the body properly: the client may now take it for whole."""
        ...

    def abort(self) -> None:
        """End the connection without ending the body, so that it can't be taken for whole."""
        ...


Handler = Callable[[HttpRequest, HttpResponder], Awaitable[None]]
"""Answers one request. Runs in its connection's task, one at a time."""

Reply = tuple[int, HeaderPairs, bytes]
"""Status, headers and body of a whole answer."""

Refuse = Callable[[HttpRequest | None, CratonError], Reply]
"""Says in the client's own protocol why its request can't be taken.

The request is as far as it was understood; None when not even the path was. `CratonError.code` is
one of `limits.Code` where HTTP has a finer word than the error tree.
"""

OnInternalError = Callable[[HttpRequest, HttpResponder, Exception], None]
"""Called when a handler raised, or ended without an answer; may answer if nothing was started."""
