"""Of whose responses a model was made, and so where it may go: a model made of exact numbers holds them.

The Gaussian of a queried class has the pooled mean of all exact responses. Whoever sent one of them, and
knows the others, computes the last one from it. So a model says on its card of whose responses it was made,
and leaves the student only for sites that learn nothing new of it, or with leave of those who responded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import EXACT, KEPT, PSEUDONYM, Onward
from clinical_qkt.core.values import Sent
from clinical_qkt.networks.gaussian_classifier import GaussianSpec

if TYPE_CHECKING:
    from clinical_qkt.packages.card import Card
    from clinical_qkt.packages.response import ResponseCard

MOST = 2000
"""Entries on a card."""
ASK = (
    "ask them for private means, or for a response to a new query with 'onward: assessment' under 'policy'; "
    "a site whose exact numbers alone are in it may have the model: --to SITE"
)
AGAIN = "run `transfer` again with this version, whose models say of whose responses they were made"


class TakenIn(Sent):
    """One site's response, which a model was made of."""

    site: str = Field(pattern=PSEUDONYM)
    """Who responded."""
    exact: bool
    """Whether numbers without noise are in it."""
    onward: Onward = KEPT
    """Where a model may go that was made of it, as its response says."""

    def keeps_from(self, to: str) -> bool:
        """Whether a model with this in it has to stay away from a site."""
        return self.exact and self.onward == KEPT and self.site != to


MadeOf = Annotated[list[TakenIn], Field(max_length=MOST)]
"""On a card: one entry for each response, of whichever model it came in."""


def taken_in(card: ResponseCard) -> list[TakenIn]:
    """A response as the card of a model tells of it; empty where it declined for every class."""
    kinds = [told.kind for told in card.answers if told.kind]
    exact = any(kind in EXACT for kind in kinds)
    return [TakenIn(site=card.site, exact=exact, onward=card.onward)] if kinds else []


def joined(each: Iterable[list[TakenIn]]) -> list[TakenIn]:
    """What all models and responses were made of, each entry once, in their order.

    Raises:
        InputError: they are too many for a card.
    """
    found = list(dict.fromkeys(one for entries in each for one in entries))
    if len(found) > MOST:
        raise InputError(
            f"the model would be made of {len(found)} responses; a card takes {MOST}",
            where="responses",
            fix="list fewer responses or teachers in the site's YAML",
        )
    return found


def obstacle(card: Card, to: str) -> str | None:
    """Why a model may not go to a site, in a sentence that names the responses; None if it may.

    Args:
        to: its pseudonym; empty: nobody is named, so it could go anywhere.
    """
    if kept := sorted({one.site for one in card.made_of if one.keeps_from(to)}):
        whose = " and ".join(f"'{site}'" for site in kept)
        return (
            f"the model holds exact numbers of {whose}, whose response allows it to nobody but the asker: "
            "from its Gaussians others could compute them"
        )
    if not card.made_of and holds_gaussians(card):
        return "the model's head is made of statistics, and its card does not say of whose"
    return None


def require_may_travel(card: Card, to: str) -> None:
    """
    Raises:
        InputError: it may not go there, see ``obstacle``.
    """
    if told := obstacle(card, to):
        named = bool(card.made_of)
        raise InputError(
            told,
            where=f"model of '{card.site}' for '{to}'" if to else f"model of '{card.site}' for anybody",
            fix=ASK if named else AGAIN,
        )


def holds_gaussians(card: Card) -> bool:
    """Whether a network made of statistics is in it, wherever in a committee."""
    return any(isinstance(part, GaussianSpec) for part in _networks(card.network))


def _networks(spec: Any) -> Iterator[Any]:
    yield spec
    for seat in getattr(spec, "members", ()):
        yield from _networks(seat.network)
