"""How a site's training images look: measured where its model is trained, told where the site shares it.

These are exact numbers, which nothing protects but that each is a mean over many patients. So a model that
was trained with differential privacy says nothing of them, nor does a card whose mask half hides its classes.
"""

from __future__ import annotations

import sys
from typing import Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_shared import looks_of, spread_of
from clinical_qkt.data.transforms import cached
from clinical_qkt.networks.committee import CommitteeSpec
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.privacy.statement import FEWEST
from clinical_qkt.query.looks import numbers_of
from clinical_qkt.site.config import Site

PRIVATE = "the training protects each patient, and exact numbers of their images would not"
HIDDEN = "the mask tells the classes with noise, and the looks would tell them without"


def measured(site: Site, data: CheckedData, read: list[Any], given: InputContract) -> SentLooks | None:
    """Of the classes with as many patients as the site's policy asks for; None if there are none.

    Args:
        read: MONAI transforms from a file to a raw channel-first image.
        given: how images are prepared for the model.
    """
    items = [item for item in data.items["training"] if item["label"] < len(site.classes)]
    numbers = numbers_of(cached(items, read, given, "training images", once=True), given)
    classes = [site.classes[item["label"]].name for item in items]
    whose = data.whose_are(items)
    people = None if whose is None else [str(patient) for patient in whose.tolist()]
    found, spread = looks_of(numbers, classes, people), spread_of(numbers, classes)
    return SentLooks.of(found, spread, site.classes, given, site.policy.minimum_patients)


def told(site: Site, card: Card) -> SentLooks | None:
    """What the card of a shared model tells, by the site's choice; why it tells less, on standard error."""
    against = PRIVATE if card.privacy.training else HIDDEN if site.mask_epsilon is not None else None
    if against and site.tell_looks:
        print(f"note: how the training images look is not told: {against}", file=sys.stderr)
    if card.looks is None or against or not site.tell_looks:
        return None
    fewest = site.policy.minimum_patients
    enough = [c for c in card.looks.classes if (c.count or FEWEST - 1) >= fewest]
    return card.looks.model_copy(update={"classes": enough}) if enough else None


def require_told(site: Site, card: Card) -> None:
    """Refuse to share a model that brings images to other looks, if the site tells none of its own.

    Raises:
        InputError: its card would tell how the site's images look, for it maps them from there.
    """
    seats = card.network.members if isinstance(card.network, CommitteeSpec) else []
    if not site.tell_looks and any(given.look for given in (card.input, *(s.input for s in seats))):
        raise InputError(
            "the model brings images from this site's look to others', so that its card tells it",
            where="tell_looks",
            fix="say 'tell_looks: true', or make the transfer again with 'settings: {harmonise: false}'",
        )
