"""What all of EC2's operations have done for them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from craton.apis.aws.ec2_errors import ec2_error
from craton.apis.ec2.operation import Asked, Document, Ec2Operation, Paged, Place
from craton.apis.ec2.pages import page
from craton.apis.exchange import Exchange
from craton.kernel.clock import Clock

SERVICE = "ec2"
DRY_RUN = "DryRun"
TAG_SPECIFICATIONS = "TagSpecifications"
CREATE_TAGS = f"{SERVICE}:CreateTags"

Key = tuple[str, str]
"""Service and operation name."""


class Answers(Protocol):
    """What an operation needs of the wire: to leave its output there."""

    def respond(self, exchange: Exchange, document: Document) -> None:
        """Answer with the operation's output."""
        ...


Handler = Callable[[Exchange, Answers, Document], Awaitable[None]]


def _key(thing: Document, keys: Sequence[str]) -> str:
    """A text by which things sort, and no two of which are the same."""
    return "\0".join(str(thing.get(name, "")) for name in keys)


def _page_of(document: Document, paged: Paged, operation: str, params: Document) -> Document:
    chosen, token = page(
        document[paged.member],
        operation=operation,
        params=params,
        key=lambda thing: _key(thing, paged.keys),
        results_max=paged.results_max,
    )
    return {**document, paged.member: chosen, "NextToken": token}


class Ec2:
    """EC2's operations as the server calls them."""

    def __init__(self, clock: Clock, place: Place, operations: Mapping[str, Ec2Operation]) -> None:
        self._clock = clock
        self._place = place
        self._operations = operations

    @property
    def handlers(self) -> dict[Key, Handler]:
        """What answers each operation."""
        return {(SERVICE, name): self._handler(name) for name in self._operations}

    @property
    def about_resources(self) -> frozenset[Key]:
        """The operations that ask about their resources themselves, before they do anything."""
        rows = self._operations.items()
        return frozenset((SERVICE, name) for name, row in rows if row.resources is not None)

    def _handler(self, name: str) -> Handler:
        operation = self._operations[name]
        action = f"{SERVICE}:{name}"

        async def handle(exchange: Exchange, answers: Answers, params: Document) -> None:
            asked = self._asked(exchange)
            if operation.resources is not None:
                for arn in operation.resources(asked, params):
                    exchange.allowed.admit(action, arn)
                    if params.get(TAG_SPECIFICATIONS):
                        # EC2 asks so, too: who may create may not therefore tag.
                        exchange.allowed.admit(CREATE_TAGS, arn)
            if params.get(DRY_RUN):
                # Only whoever was authorised gets so far; the others were told so.
                raise ec2_error(
                    "DryRunOperation", "Request would have succeeded, but DryRun flag is set."
                )
            document = await operation.run(asked, params)
            if operation.paged is not None:
                document = _page_of(document, operation.paged, name, params)
            answers.respond(exchange, document)

        return handle

    def _asked(self, exchange: Exchange) -> Asked:
        assert exchange.principal is not None, "a handler ran before its caller was known"
        host = exchange.request.headers.get(b"host") or b""
        return Asked(
            principal=exchange.principal,
            place=self._place,
            host=host.decode("latin-1"),
            now_ms=self._clock.now_ns() // 1_000_000,
        )
