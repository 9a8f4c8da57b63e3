"""A directory: what each site offers, signed by it, so that only those are asked who have the classes.

A file a site, beside the mailboxes, not sealed, since everybody may know it. It holds names and
codes of classes, never how many images there are. Nobody has to be in it, and nothing is believed without a
signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Sent
from clinical_qkt.data.label_space import ClassLabel, DistinctClasses, LabelSpace
from clinical_qkt.exchange import signed_text
from clinical_qkt.exchange.carriers.folder import Folder
from clinical_qkt.exchange.letters import now
from clinical_qkt.packages import plain_json

PURPOSE = b"clinical-qkt/offer/1"
_MOST_BYTES = 200_000


class Offer(Sent):
    """What a site says that it can be asked for."""

    format: Literal["clinical-qkt/offer/1"] = "clinical-qkt/offer/1"
    """The version of this schema."""
    site: str = Field(pattern=PSEUDONYM)
    """Who offers; the signature proves it."""
    classes: DistinctClasses = Field(min_length=1, max_length=1000)
    """The site's classes, with codes where there are any."""
    since: AwareDatetime
    """When it was written."""


def publish(carrier: Folder, site: str, classes: Iterable[ClassLabel], signing_key: Path) -> Offer:
    """Put a site's offer into the directory, in place of an earlier one.

    Raises:
        InputError: the key cannot be used.
        OutputError: the directory cannot be reached.
    """
    offer = Offer(site=site, classes=[c.plain for c in classes], since=now())
    text = offer.model_dump_json()
    signed = {"offer": text, "signature": signed_text.sign(text.encode(), signing_key, PURPOSE)}
    carrier.write_offer(site, json.dumps(signed).encode())
    return offer


def offers(carrier: Folder, keys: Mapping[str, Path]) -> tuple[dict[str, Offer], list[str]]:
    """What sites offer whose keys are held, and why others' files are passed over, a sentence each.

    Raises:
        OutputError: the directory cannot be reached.
    """
    found: dict[str, Offer] = {}
    doubts: list[str] = []
    for name in carrier.offer_names():
        if name not in keys:
            continue
        try:
            found[name] = _proven(carrier.read_offer(name, _MOST_BYTES), name, keys[name])
        except ValueError as e:
            doubts.append(f"the offer of {name} {e}")
    return found, doubts


def offering(found: Mapping[str, Offer], asked: Iterable[ClassLabel]) -> list[str]:
    """Sites that offer at least one of the classes.

    >>> offer = Offer(site="north", classes=["basophil", "monocyte"], since="2026-11-27T00:00:00Z")
    >>> offering({"north": offer}, [ClassLabel(name="Basophil")])
    ['north']
    """
    wanted = list(asked)
    return [site for site, offer in found.items() if any(_has(offer, label) for label in wanted)]


def _has(offer: Offer, label: ClassLabel) -> bool:
    try:
        return LabelSpace(offer.classes).find(label) is not None
    except InputError:  # it could be several: they are asked
        return True


def _proven(raw: bytes, site: str, key: Path) -> Offer:
    """
    Raises:
        ValueError: what is wrong with it.
    """
    try:
        signed = plain_json.parse(raw)
        text, signature = str(signed["offer"]), str(signed["signature"])
        value = plain_json.parse(text.encode())
        offer = Offer.model_validate(value)
    except (ValueError, ValidationError, LookupError, TypeError, InputError):
        raise ValueError("cannot be read") from None
    if plain_json.problems(value) or offer.site != site:
        raise ValueError("is not as it should be")
    if not signed_text.holds(text.encode(), signature, key, PURPOSE):
        raise ValueError("is not signed with the key that this site trusts")
    return offer
