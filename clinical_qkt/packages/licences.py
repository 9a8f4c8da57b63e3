"""What may be done with a model: one text for each that it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from clinical_qkt.core.errors import InputError

OWN = "all rights reserved by the sending site"
"""Where a site says nothing."""
LONGEST, MOST, MOST_LETTERS = 20_000, 200, 100_000
"""Characters of one text, texts, and characters of all of them."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _within(texts: list[str]) -> list[str]:
    if len(set(texts)) < len(texts):
        raise ValueError("one stands there twice")
    if sum(map(len, texts)) > MOST_LETTERS:
        raise ValueError(f"together they have more than {MOST_LETTERS:,} characters")
    return texts


_Text = Annotated[str, Field(max_length=LONGEST)]
_Texts = Annotated[list[_Text], Field(min_length=1, max_length=MOST)]
Licences = Annotated[
    _Texts, AfterValidator(_within), BeforeValidator(_listed, json_schema_input_type=_Text | _Texts)
]
"""On a card. One text, as cards had before, is a list of one."""


def joined(each: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """The licences of a model that was made of several, each text once, in their order.

    Args:
        each: whose, and what licences that one has.

    Raises:
        InputError: they are too many or too long for a card; names whose are longest.
    """
    parts = list(each)
    texts = list(dict.fromkeys(chain.from_iterable(licences for _, licences in parts)))
    letters = sum(map(len, texts))
    if len(texts) > MOST or letters > MOST_LETTERS:
        longest = max(parts, key=lambda part: sum(map(len, part[1])))[0]
        raise InputError(
            f"the licences of all models are {len(texts)} texts of {letters:,} characters; a card takes "
            f"{MOST} of {MOST_LETTERS:,}",
            where=f"package of {longest}: licence",
            fix="ask that site for a shorter one, such as an address, or take it out of the site's YAML",
        )
    return texts
