"""A card's file: one reader, and one writer that writes nothing which that reader would not take."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.refusals import sentences
from clinical_qkt.packages import plain_json
from clinical_qkt.packages.card import PackageCard

MAX_CARD_BYTES = 1_000_000
_SHOWN = 3
"""Problems with a card of one's own that are told."""

C = TypeVar("C", bound=PackageCard)


def read_card(raw: bytes, schema: type[C]) -> tuple[C | None, list[str]]:
    """A card from its file, and all that is wrong with it; one that anything is wrong with is None.

    Args:
        raw: from another site; nothing is known of it but its length.
    """
    try:
        value = plain_json.parse(raw)
    except ValueError as e:
        return None, [str(e)]
    found = plain_json.problems(value)
    try:
        card = schema.model_validate(value)
    except ValidationError as e:
        return None, [*found, *sentences(e)]
    except InputError as e:
        return None, [*found, e.problem]
    except Exception as e:  # a check that another site's values break refuses them all the same
        return None, [*found, f"cannot be checked ({type(e).__name__})"]
    if "format" not in card.model_fields_set:
        found.append("format: is missing")
    return None if found else card, found


def card_text(card: PackageCard) -> str:
    """What a card's file holds.

    Raises:
        InputError: whoever receives it would refuse it, with the reasons: a field is not as its schema says,
            a text could steer a terminal or a config, or all of it is too long.
    """
    facts = card.facts()
    found = plain_json.problems(facts)  # what these refuse could not even be written
    if not found:
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        raw = text.encode("utf-8")
        if len(raw) <= MAX_CARD_BYTES:
            found = read_card(raw, type(card))[1]
        else:
            found = [f"it has {len(raw):,} bytes, more than {MAX_CARD_BYTES:,}"]
    if found:
        raise InputError(
            f"the card would be refused by whoever receives it: {'; '.join(found[:_SHOWN])}",
            where=f"package of '{card.site[:64]}'",
            fix="correct it where it comes from: the site's YAML, or a package that was received",
        )
    return text
