"""From the name a caller writes to the engine that answers.

A name is a model's id, an alias, or a foundation-model ARN that ends in either. There is no silent
fallback: a name that means nothing here is refused with the list of what exists.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from craton.kernel.errors import NotFound
from craton.models.card import ALIASES, MODELS, Alias, ModelCard
from craton.models.engine import Answers, Engine
from craton.store.kind import Change

_ARN = re.compile(
    r"arn:[a-z0-9-]+:bedrock:[a-z0-9-]*:[0-9]*:(?:foundation-model|inference-profile)/(.+)"
)
LISTED_MAX = 20
MODEL_HEADER = b"x-craton-model"

OpenEngine = Callable[[ModelCard], Engine]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: the card, the engine, and the replica's name for the record."""

    card: ModelCard
    engine: Engine
    replica: str
    answers: Answers | None
    """The engine again, if it gives whole answers whole."""
    header: tuple[bytes, bytes]
    """Tells the caller which model really answers, whatever name it was asked by."""


class Router:
    """The catalogue as a worker knows it, with an open engine for each model that was asked for."""

    def __init__(self, open_engine: OpenEngine, on_closed: Callable[[Engine], None]) -> None:
        self._open_engine = open_engine
        self._on_closed = on_closed
        self._cards: dict[str, ModelCard] = {}
        self._aliases: dict[str, Alias] = {}
        self._routes: dict[str, Route] = {}

    def apply(self, change: Change) -> None:
        """Take a change of the catalogue; others are not this snapshot's."""
        if change.kind == MODELS.name:
            card = None if change.body is None else MODELS.decode(change.body)
            if card == self._cards.get(change.id):
                return  # said again by a new state process: requests under way go on
            self._close(change.id)
            if card is None:
                del self._cards[change.id]
            else:
                self._cards[change.id] = card
        elif change.kind == ALIASES.name:
            if change.body is None:
                self._aliases.pop(change.id, None)
            else:
                self._aliases[change.id] = ALIASES.decode(change.body)

    def _close(self, model: str) -> None:
        route = self._routes.pop(model, None)
        if route is not None:
            self._on_closed(route.engine)

    async def close(self) -> None:
        """Close every engine that was opened."""
        routes, self._routes = self._routes, {}
        for route in routes.values():
            await route.engine.close()

    def cards(self) -> Sequence[ModelCard]:
        """Every model, by id."""
        return [self._cards[name] for name in sorted(self._cards)]

    def aliases(self) -> Sequence[Alias]:
        """Every alias, by name."""
        return [self._aliases[name] for name in sorted(self._aliases)]

    def card(self, name: str) -> ModelCard:
        """The model that a name means; NotFound lists what exists."""
        card = self._cards.get(name)
        if card is not None:
            return card
        if name.startswith("arn:") and (match := _ARN.fullmatch(name)):
            return self.card(match[1])
        alias = self._aliases.get(name)
        if alias is not None:
            return self._cards[alias.model]
        names = sorted([*self._cards, *self._aliases])
        listed = ", ".join(names[:LISTED_MAX]) + (", …" if len(names) > LISTED_MAX else "")
        raise NotFound(
            f"The model {name!r} does not exist here. There are: {listed or 'none yet'}. "
            "`craton models` lists them."
        )

    def route(self, name: str) -> Route:
        """The engine that serves a name, opened when first asked for."""
        route = self._routes.get(name)  # the plain case: the name is a model's id
        if route is not None:
            return route
        card = self.card(name)
        route = self._routes.get(card.id)
        if route is None:
            replica = f"{type(card.source).__struct_config__.tag}/{card.id}/0"
            engine = self._open_engine(card)
            answers = engine if isinstance(engine, Answers) else None
            header = (MODEL_HEADER, card.id.encode())
            route = Route(card, engine, replica, answers, header)
            self._routes[card.id] = route
        return route
