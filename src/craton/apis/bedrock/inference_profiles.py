"""ListInferenceProfiles and GetInferenceProfile: every name that a model answers to.

On Bedrock a profile is another name under which models are asked for. Here that is an alias, and a
model's own id is one too. All are SYSTEM_DEFINED, which is where code looks for names such as
`us.anthropic.…`; application profiles are the caller's own and come with CreateInferenceProfile. An
alias that Bedrock's rules for the ids of profiles don't allow can be used, but not listed here.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

from craton.kernel.errors import BadRequest, NotFound
from craton.models.card import ModelCard
from craton.models.router import Router

Document = dict[str, Any]

SYSTEM_DEFINED = "SYSTEM_DEFINED"
PAGE_DEFAULT = 100
_ID = re.compile(r"[a-zA-Z0-9-:.]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^0-9a-zA-Z]+")
_ARN = re.compile(r"arn:[^:]*:bedrock:[^:]*:[^:]*:(?:application-)?inference-profile/")
NAME_LENGTH_MAX = 64


def list_inference_profiles(
    router: Router, region: str, account: str, params: Document
) -> Document:
    """A page of the profiles, by id."""
    found: dict[str, tuple[ModelCard, int]]
    found = _profiles(router) if params.get("typeEquals") in (None, SYSTEM_DEFINED) else {}
    after = _read_token(params.get("nextToken"))
    ids = sorted(id for id in found if after is None or id > after)
    limit: int = params.get("maxResults", PAGE_DEFAULT)
    page: Document = {
        "inferenceProfileSummaries": [
            _describe(id, *found[id], region, account) for id in ids[:limit]
        ]
    }
    if len(ids) > limit:
        page["nextToken"] = _write_token(ids[limit - 1])
    return page


def get_inference_profile(router: Router, region: str, account: str, params: Document) -> Document:
    """One profile, by its id or ARN."""
    id = _ARN.sub("", params["inferenceProfileIdentifier"])
    found = _profiles(router).get(id)
    if found is None:
        raise NotFound(
            f"There is no inference profile {id!r} here. ListInferenceProfiles has all there are; "
            "`craton models alias` makes one."
        )
    return _describe(id, *found, region, account)


def _profiles(router: Router) -> dict[str, tuple[ModelCard, int]]:
    """Each profile's model, and when the profile was made, in milliseconds since the epoch."""
    cards = {card.id: card for card in router.cards()}
    found = {card.id: (card, card.created_ms) for card in cards.values()}
    found |= {
        alias.name: (cards[alias.model], alias.created_ms)
        for alias in router.aliases()
        if alias.model in cards
    }
    return {id: profile for id, profile in found.items() if _ID.fullmatch(id)}


def _describe(
    id: str,
    card: ModelCard,
    created_ms: int,
    region: str,
    account: str,
) -> Document:
    made = datetime.fromtimestamp(created_ms // 1000, UTC)
    # Names may hold letters, digits and single blanks only.
    name = _NOT_IN_NAMES.sub(" ", id if id != card.id else card.name).strip()
    return {
        "inferenceProfileName": (name or _NOT_IN_NAMES.sub(" ", card.id).strip())[:NAME_LENGTH_MAX],
        "description": f"Answered by {_NOT_IN_NAMES.sub(' ', card.id).strip()}"[:200],
        "createdAt": made,
        "updatedAt": made,
        "inferenceProfileArn": f"arn:aws:bedrock:{region}:{account}:inference-profile/{id}",
        "models": [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{card.id}"}],
        "inferenceProfileId": id,
        "status": "ACTIVE",
        "type": SYSTEM_DEFINED,
    }


def _write_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _read_token(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequest(
            "`nextToken`: is not one that this operation gave. Begin again without it."
        ) from None
