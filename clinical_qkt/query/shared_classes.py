"""Classes that asker and answering site both know, from their lists alone: images are not looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import Alignment, ClassLabel, LabelSpace
from clinical_qkt.packages.query import Query
from clinical_qkt.query.looks import AskersLooks

SAME = ("code", "name", "synonym")
"""By what another site's class is one of ours, and not a part of it."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What an answering site's images are compared with.

    Attributes:
        asked: the asker's looks and those that it passes on, under its names.
        names: of own classes, by their place in the site's list, that the query speaks of; as it calls them.
    """

    asked: AskersLooks
    names: Mapping[int, str]

    @property
    def shared(self) -> dict[int, str]:
        """Of those, the ones whose looks the asker tells."""
        return {place: name for place, name in self.names.items() if name in self.asked.classes}

    def only(self, places: Collection[int]) -> Beside:
        """The same with no other own classes than these."""
        return replace(self, names={p: name for p, name in self.names.items() if p in places})


def asked_looks(query: Query) -> AskersLooks | None:
    """What a query tells of looks; None if it is nothing."""
    told = query.card.looks
    if told is None or query.means is None:
        return None
    means = {label.name: row for label, row in zip(told.labels, query.means, strict=True)}
    others = query.card.others_looks
    return AskersLooks(told.looks, told.spreads, means, others)


def beside(query: Query, own: LabelSpace) -> Beside | None:
    """What of a query's looks a site's images can be compared with; None if the query tells none.

    A class that could be several is none of them, and a part of one of the site's classes is not that class.
    Parts of a whole that is asked for are left out: what is told of them could be taken from what is told of
    the whole.
    """
    asked = asked_looks(query)
    if asked is None:
        return None
    known = query.card.vocabulary
    rows = [row for row in Alignment(known, own).rows if row.how in SAME]
    parts = {place for label in query.card.query for place in _parts(label, own)}
    return Beside(
        asked,
        {row.targets[0]: known[row.source].name for row in rows if row.targets[0] not in parts},
    )


def _parts(label: ClassLabel, own: LabelSpace) -> tuple[int, ...]:
    """Where the parts of a whole stand in a site's list; empty of any other class."""
    try:
        places = own.places(label)
    except InputError:  # it could be several, and is declined
        return ()
    return places if len(places) > 1 else ()
