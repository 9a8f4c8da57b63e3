"""Models made of several sites' models or statistics: committees, multi-heads, Gaussian classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from clinical_qkt.networks.spec import find_head
from clinical_qkt.packages import made_of, pretrained
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.licences import joined
from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.packages.response import ResponseCard


@dataclass(frozen=True, eq=False)
class DerivedModel(CardedNetwork):
    """One that lies in no folder yet.

    Attributes:
        sources: the sites whose models or statistics it was made of, the student's first.
    """

    sources: tuple[str, ...]


def derived(
    card: Card, made: nn.Module, sources: Sequence[Card | ResponseCard], **about: Any
) -> DerivedModel:
    """A network made of several sources, with the licences of all of them and of what they started from.

    Args:
        card: whose it is from now on; what is not in ``about`` stays as it says.
        made: the network.
        sources: the cards of all that it was made of.
        about: fields of the card that are new.

    Raises:
        InputError: the licences are too many or too long for a card.
    """
    licences = [
        (source.site, [source.licence] if isinstance(source.licence, str) else source.licence)
        for source in sources
    ]
    about |= {
        "head": find_head(made),
        "licence": joined(licences),
        "pretrained": pretrained.joined(s.pretrained for s in sources if isinstance(s, Card)),
        "made_of": made_of.joined(s.made_of if isinstance(s, Card) else made_of.taken_in(s) for s in sources),
        "generated_data": any(source.generated_data for source in sources),
    }
    return DerivedModel(made, card.model_copy(update=about), tuple(source.site for source in sources))
