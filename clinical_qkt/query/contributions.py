"""The answering site's passes over its images; neither images nor features are kept.

One pass over those of the queried classes. Where the query tells how the asker's images look, another before
it measures how images look here, and what is found is brought to the asker's look: see ``seen_look``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.privacy.mechanisms import PatientSums, clipped
from clinical_qkt.query.compare_looks import Comparing, looks_of_site
from clinical_qkt.query.seen_look import SeenLook
from clinical_qkt.query.site_images import SiteImages, warn_left_out
from clinical_qkt.statistics.class_statistics import ClassStatistics, Kind, Moments


@dataclass
class Seen:
    """What one pass over a class's images leaves behind.

    Attributes:
        kind: of the answer that is being prepared.
        patients: different ones, or images where the unit is the image.
        look: how images look beside the asker's; None: that is not told.
        clipped, radius: of an exact response whose images are mapped, the same as ``moments`` of features
            that are clipped there.
    """

    kind: Kind
    moments: Moments
    sums: PatientSums
    patients: set[str]
    finite: bool = True
    look: SeenLook | None = None
    clipped: Moments | None = None
    radius: float = float("inf")

    def update(self, features: torch.Tensor, patients: Sequence[str]) -> None:
        self.patients.update(patients)
        if self.kind == "private_mean":
            self.sums.update(features[:, : self.sums.features], patients)
            return
        self.finite = self.finite and bool(torch.isfinite(features).all())
        if self.finite:
            self.moments.update(features)
            if self.clipped is not None:
                self.clipped.update(clipped(features, self.radius))

    def statistics(self) -> ClassStatistics:
        """Of the features as they are, or clipped where much is left of a difference in look."""
        left = self.look.left() if self.look and self.clipped else None
        if self.clipped is None or left is None or left.unclipped is None:
            return self.moments.statistics()
        return self.clipped.statistics()

    def exact(self) -> ClassStatistics:
        """What an exact response of its kind tells."""
        return self.statistics().reduced(self.kind)


@dataclass(frozen=True)
class OnePass(SiteImages):
    """Looks at a site's images as a query asks for them.

    Attributes:
        comparing: None: looks are not compared.
    """

    comparing: Comparing | None = None

    def run(self, own: LabelSpace, kinds: Mapping[int, Kind]) -> dict[int, Seen]:
        """Statistics of each queried class that is responded for, by its position in the query.

        Args:
            own: the site's classes.
            kinds: of the responses, by that position.

        Raises:
            PackageError: this site's images cannot meet the query's input contract.
            InputError: patients are not named.
        """
        if not kinds:
            return {}
        self.require_same_kind()
        self.require_patients()
        card = self.query.card
        looks = looks_of_site(self, self.comparing, kinds) if self.comparing else {}
        seen = {i: self.nothing_seen(kind, looks.get(i)) for i, kind in kinds.items()}
        for given, alike in _by_contract(seen, card.input):
            self.look_at(own, given, alike)
        return seen

    def nothing_seen(self, kind: Kind, look: SeenLook | None) -> Seen:
        """Of one class, before its first image."""
        card = self.query.card
        width, sums = card.extractor.features, PatientSums(card.private_axes, card.radius)
        clips = look is not None and look.mapped and kind != "private_mean"
        seen = Seen(kind, Moments(width), sums, set(), look=look)
        return replace(seen, clipped=Moments(width), radius=card.whole_radius) if clips else seen

    def look_at(self, own: LabelSpace, given: InputContract, seen: Mapping[int, Seen]) -> None:
        """Fill what is seen of queried classes whose images are prepared alike, and of shared ones."""
        asked = self.query.card.query
        # Images of a whole's parts become one class before patients are told apart.
        places = {c: i for i in seen for c in own.places(asked[i])}
        looks = _different(one.look for one in seen.values() if one.look and one.look.tells_left)
        names = {}
        if looks and self.comparing:
            shared = {name: place for place, name in self.comparing.beside.shared.items()}
            names = {len(asked) + shared[c]: c for c in looks[0].shared}
            places |= {shared[c]: label for label, c in names.items()}
        private = {i for i, one in seen.items() if one.kind == "private_mean"}
        items = self.items(places)
        batches = self.batches(
            items, private | (set(names) if private else set()), self.query.extractor, given, self.device
        )
        left_out = 0
        for batch, found in self.seen_by(self.query.extractor, given, batches, self.device, "statistics"):
            if batch.label in names:
                for look in looks:
                    look.update(names[batch.label], found.features, found.patients)
                continue
            seen[batch.label].update(found.features, found.patients)
            left_out += found.left_out
        warn_left_out(left_out)


def _by_contract(
    seen: Mapping[int, Seen], plain: InputContract
) -> list[tuple[InputContract, dict[int, Seen]]]:
    """Which classes' images are prepared alike, and how."""
    found: list[tuple[InputContract, dict[int, Seen]]] = []
    for i, one in seen.items():
        given = one.look.contract(plain) if one.look else plain
        alike = next((some for known, some in found if known == given), None)
        if alike is None:
            found.append((given, {i: one}))
        else:
            alike[i] = one
    return found


def _different(looks: Iterator[SeenLook]) -> list[SeenLook]:
    """Each once."""
    found: list[SeenLook] = []
    for look in looks:
        if not any(look is known for known in found):
            found.append(look)
    return found
