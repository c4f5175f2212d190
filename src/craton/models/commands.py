"""What can be done to the catalogue."""

import re

import msgspec

from craton.kernel.errors import BadRequest, Conflict
from craton.models.card import ALIASES, MODELS, Alias, ModelCard
from craton.models.contract import AddModel, RemoveAlias, RemoveModel, SetAlias
from craton.store.documents import Transaction

# Bedrock's own pattern of a foundation model id: a provider and a name, in lower case.
MODEL_ID = re.compile(r"[a-z0-9-]{1,63}[.][a-z0-9-]{1,63}([.:]?[a-z0-9-]{1,63})?")
NAME_LENGTH_MAX = 20
"""Bedrock's own limit on a model's name."""
ALIAS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")


def add_model(transaction: Transaction, command: AddModel) -> ModelCard:
    """Add a model; its id must be free and of Bedrock's form."""
    card = msgspec.structs.replace(command.card, created_ms=transaction.now_ms)
    if not MODEL_ID.fullmatch(card.id):
        raise BadRequest(
            f"The model id {card.id!r} must look like 'lab.name': lower-case letters, digits and "
            "dashes, with one dot."
        )
    if not 0 < len(card.name) <= NAME_LENGTH_MAX or not card.name.isprintable():
        raise BadRequest(
            f"The model name {card.name!r} must have 1 to {NAME_LENGTH_MAX} printable characters, "
            "as Bedrock's catalogue has it."
        )
    if transaction.find(ALIASES, card.id) is not None:
        raise Conflict(f"{card.id!r} is an alias already. Remove the alias, or choose another id.")
    transaction.add(MODELS, card.id, card, account="", name=card.id)
    return card


def remove_model(transaction: Transaction, command: RemoveModel) -> RemoveModel:
    """Take a model out, with the aliases that mean it."""
    transaction.get(MODELS, command.id)
    for alias in transaction.list(ALIASES, limit=10_000):
        if alias.model == command.id:
            transaction.remove(ALIASES, alias.name)
    transaction.remove(MODELS, command.id)
    return command


def set_alias(transaction: Transaction, command: SetAlias) -> Alias:
    """Let a name mean a model."""
    if not ALIAS_NAME.fullmatch(command.name):
        raise BadRequest(
            f"The alias {command.name!r} must have 1 to 200 letters, digits or any of . _ : / -"
        )
    if transaction.find(MODELS, command.name) is not None:
        raise Conflict(f"{command.name!r} is a model of its own, so it can't be an alias.")
    transaction.get(MODELS, command.model)
    alias = Alias(command.name, command.model, transaction.now_ms)
    if transaction.find(ALIASES, command.name) is None:
        transaction.add(ALIASES, alias.name, alias, account="", name=alias.name)
    else:
        transaction.put(ALIASES, alias.name, alias)
    return alias


def remove_alias(transaction: Transaction, command: RemoveAlias) -> RemoveAlias:
    """Forget an alias."""
    transaction.get(ALIASES, command.name)
    transaction.remove(ALIASES, command.name)
    return command
