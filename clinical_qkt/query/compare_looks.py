"""The pass that measures how an answering site's images look, before any of them is mapped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from clinical_qkt.core.rows import Rows
from clinical_qkt.core.terms import Kind
from clinical_qkt.privacy.mechanisms import Guarantee, Noise
from clinical_qkt.query.looks import FEWEST
from clinical_qkt.query.patient_batches import Meter
from clinical_qkt.query.private_look import reference
from clinical_qkt.query.residual import private_sums
from clinical_qkt.query.seen_look import Numbers, SeenLook, seen_exactly, seen_privately
from clinical_qkt.query.shared_classes import Beside
from clinical_qkt.query.site_images import SiteImages, warn_left_out

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Comparing:
    """With what looks are compared, where they are.

    Attributes:
        beside: classes that asker and site both know, from their lists.
        exact: places in the site's list of those that an exact response may tell of.
        fewest: patients of a class that an exact response tells of.
        guarantee: of a private response.
        noise: its source; the operating system's randomness by default.
    """

    beside: Beside
    exact: Collection[int]
    fewest: int
    guarantee: Guarantee
    noise: Noise | None = None


def looks_of_site(images: SiteImages, comparing: Comparing, kinds: Mapping[int, Kind]) -> dict[int, SeenLook]:
    """How images look beside the asker's, for each response.

    Args:
        kinds: of the responses, by position in the query.
    """
    private = [i for i, kind in kinds.items() if kind == "private_mean"]
    exact = [i for i in kinds if i not in private]
    found = _private(images, comparing, private) if private else {}
    return found | (_exact(images, comparing, exact) if exact else {})


def _private(images: SiteImages, comparing: Comparing, positions: Sequence[int]) -> dict[int, SeenLook]:
    """Of each private response by itself: each has releases, and a guarantee, of its own."""
    card, known, asked = images.query.card, comparing.beside.names, comparing.beside.asked
    beside = reference(known.values(), asked)
    if beside is None:
        return {i: SeenLook(asked) for i in positions}
    names = {place: name for place, name in known.items() if name in beside.classes}
    numbers, found = measured(images, names, private=True), {}
    for i in positions:
        found[i] = seen_privately(numbers, asked, beside, comparing.guarantee, comparing.noise)
        sums = private_sums(card.private_axes, card.radius, found[i].mapped)
        found[i].sums, found[i].axes, found[i].radius = sums, card.private_axes, card.radius
    return found


def _exact(images: SiteImages, comparing: Comparing, positions: Sequence[int]) -> dict[int, SeenLook]:
    """Of all exact responses together: by shared classes, or through sites that know any of this one's."""
    card, asked, beside = images.query.card, comparing.beside.asked, comparing.beside.only(comparing.exact)
    further = {name for looks in asked.others for name in looks}
    names = beside.shared or {place: name for place, name in beside.names.items() if name in further}
    if not names:
        return {i: SeenLook(asked) for i in positions}
    numbers = measured(images, names, private=False)
    return dict.fromkeys(
        positions, seen_exactly(numbers, asked, max(comparing.fewest, FEWEST), card.whole_radius)
    )


def measured(images: SiteImages, names: Mapping[int, str], *, private: bool) -> Numbers:
    """The look of all images of some own classes.

    Args:
        names: what the asker calls them, by their places in the site's list.
        private: a patient's numbers follow from that patient's images alone, to the last bit.
    """
    given, meter = images.query.card.input, Meter(images.query.card.input)
    items = images.items({place: place for place in names})
    batches = images.batches(items, set(names) if private else (), meter, given, CPU)
    rows = Rows(len(items))
    classes: list[str] = []
    patients: list[str] = []
    left_out = 0
    for batch, found in images.seen_by(meter, given, batches, CPU, "looks"):
        rows.add(found.features)
        classes += [names[batch.label]] * len(found.patients)
        patients += found.patients
        left_out += found.left_out
    warn_left_out(left_out, "classes that the asker knows, too,")
    return Numbers(rows.all().view(len(patients), meter.numbers).double(), classes, patients)
