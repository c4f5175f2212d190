"""Named makers: the whole plug-in mechanism.

A registry maps a name to a maker; the module that makes a thing is imported only when asked for,
so that a missing optional library is an error only to whoever wants it.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from craton.kernel.errors import NotFound

Made = TypeVar("Made")


class Registry(Generic[Made]):
    """Name → maker, with an error that lists what there is."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._makers: dict[str, Callable[..., Made]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
        """Decorate a maker; a name can be taken once."""
        assert name not in self._makers, f"{self._noun} {name} is registered twice"

        def keep(maker: Callable[..., Made]) -> Callable[..., Made]:
            self._makers[name] = maker
            return maker

        return keep

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        return sorted(self._makers)

    def get(self, name: str) -> Callable[..., Made]:
        """The maker of that name, or NotFound."""
        if name not in self._makers:
            raise NotFound(f"No {self._noun} is called {name!r}. There are: {self.names()}.")
        return self._makers[name]
