"""What a worker may ask about models; free of any database library."""

import msgspec

from craton.models.card import ModelCard


class AddModel(msgspec.Struct, frozen=True):
    """Add a model to the catalogue."""

    card: ModelCard


class RemoveModel(msgspec.Struct, frozen=True):
    """Take a model out of the catalogue; requests under way finish."""

    id: str


class SetAlias(msgspec.Struct, frozen=True):
    """Let `name` mean a model; replaces what it meant before."""

    name: str
    model: str


class RemoveAlias(msgspec.Struct, frozen=True):
    """Forget an alias."""

    name: str
