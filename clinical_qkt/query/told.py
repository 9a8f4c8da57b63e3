"""The asker's reading of what answering sites told of looks, and which answers it goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clinical_qkt.data.look_shared import Compared
from clinical_qkt.packages.query import Query, QueryCard
from clinical_qkt.packages.response import ClassResponse, Response
from clinical_qkt.packages.told_look import LookNumbers, ToldLook
from clinical_qkt.privacy.mechanisms import Guarantee, Release
from clinical_qkt.query.looks import AskersLooks, sure
from clinical_qkt.query.private_look import RADII, PrivateLook, Reference, compared_privately
from clinical_qkt.query.request import CLIP
from clinical_qkt.query.residual import Residual, expected, private_residual
from clinical_qkt.query.shared_classes import asked_looks


@dataclass(frozen=True, eq=False)
class Told:
    """What a site told of how its images of a class look.

    Attributes:
        compared: beside the asker's own; None: nothing could be compared.
        residual: what is left of the difference after the map; None: nothing was mapped, or no class shared.
    """

    compared: Compared | None
    residual: Residual | None


def told_looks(response: Response, query: Query, counts: Mapping[str, int]) -> dict[int, Told]:
    """By position in the query; a class is left out of which the site tells no look.

    Args:
        counts: the asker's own images, by class.
    """
    asked, found = asked_looks(query), {}
    for position, numbers in response.looks.items() if asked else ():
        told = response.card.answers[position]
        assert asked and told.look
        if told.kind == "private_mean":
            found[position] = _privately(told, told.look, numbers, asked, counts, query.card)
        else:
            found[position] = _exactly(told.look, numbers.residual, counts)
    return found


def _exactly(told: ToldLook, shift: Tensor | None, counts: Mapping[str, int]) -> Told:
    if told.seen is None or told.wanted is None or told.distance is None:
        return Told(None, None)
    seen, wanted = (torch.tensor(x, dtype=torch.float64) for x in (told.seen, told.wanted))
    names = tuple(label.name for label in told.shared)
    left = None
    if shift is not None:
        noise = expected(told.images, [counts[c] for c in names])
        left = Residual(shift, noise, unclipped=told.unclipped)
    return Told(Compared(seen, wanted, names, told.distance), left)


def _privately(
    answer: ClassResponse,
    told: ToldLook,
    numbers: LookNumbers,
    asked: AskersLooks,
    counts: Mapping[str, int],
    card: QueryCard,
) -> Told:
    """The same as the site computed, from the same whole numbers."""
    if told.shares is None or told.noised_counts is None:
        return Told(None, None)
    assert answer.epsilon and answer.delta
    guarantee, noised = Guarantee(answer.epsilon, answer.delta), told.noised_counts
    names, shares = [label.name for label in told.shared], told.shares.model_dump()
    releases = {}
    for name in RADII:
        total = getattr(numbers, name)
        assert total is not None
        releases[name] = Release(total.tolist(), getattr(noised, name))
    beside = Reference.named(asked, names, told.through)
    compared, left = compared_privately(PrivateLook(releases), guarantee, asked, beside, shares), None
    if numbers.residual is not None and noised.residual is not None:
        release, part = Release(numbers.residual.tolist(), noised.residual), shares["residual"]
        own = [counts[c] for c in names]
        asks = card.private_axes, card.radius, card.radius / CLIP
        left = private_residual(release, guarantee.part(part), *asks, own, told.mapped)
    return Told(compared, left)


def left_out(told: Sequence[Told | None]) -> list[bool]:
    """Which answers for a class are left out: those of which it is not known how their images look.

    Only where others are known, and do not all look alike.

    Args:
        told: one a site; None: the site tells no look.
    """
    compared = [one.compared if one else None for one in told]
    differ = any(found is not None and not found.alike for found in compared)
    return [differ and not sure(found) for found in compared]
