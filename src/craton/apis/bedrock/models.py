"""The catalogue as Bedrock tells it: which models there are, and who may use them."""

from typing import Any

from craton.apis.permit import INVOKE, Permit
from craton.kernel.errors import AccessDenied
from craton.models.card import Modality, ModelCard, ModelState
from craton.models.router import Router

Document = dict[str, Any]

ON_DEMAND = "ON_DEMAND"


def list_foundation_models(router: Router, region: str, params: Document) -> Document:
    """Every model of the catalogue that passes the filters."""
    cards = [card for card in router.cards() if _passes(card, params)]
    return {"modelSummaries": [summary(card, region) for card in cards]}


def availability(card: ModelCard, permit: Permit) -> Document:
    """Whether the caller may use a model. What stands in the catalogue needs no agreement."""
    try:
        permit.about_model(INVOKE, card.id, card.id)
        authorization = "AUTHORIZED"
    except AccessDenied:
        authorization = "NOT_AUTHORIZED"
    return {
        "modelId": card.id,
        "agreementAvailability": {"status": "AVAILABLE"},
        "authorizationStatus": authorization,
        "entitlementAvailability": "AVAILABLE",
        "regionAvailability": "AVAILABLE",
    }


def summary(card: ModelCard, region: str) -> Document:
    """A model as Bedrock describes it."""
    return {
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{card.id}",
        "modelId": card.id,
        "modelName": card.name,
        "providerName": card.lab,
        "inputModalities": list(card.input_modalities),
        "outputModalities": list(card.output_modalities),
        "responseStreamingSupported": Modality.TEXT in card.output_modalities,
        "customizationsSupported": [],
        "inferenceTypesSupported": [ON_DEMAND],
        "modelLifecycle": {"status": "ACTIVE" if card.state is ModelState.ACTIVE else "LEGACY"},
    }


def _passes(card: ModelCard, params: Document) -> bool:
    provider = params.get("byProvider")
    if provider is not None and provider.lower() != card.lab.lower():
        return False
    modality = params.get("byOutputModality")
    if modality is not None and modality not in card.output_modalities:
        return False
    if params.get("byInferenceType") not in (None, ON_DEMAND):
        return False
    return params.get("byCustomizationType") is None
