"""What of one class leaves: statistics, and what is told of looks beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from clinical_qkt.core.terms import Kind
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.packages.looks import short
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.told_look import LookNumbers, NoisedCounts, Shares, ToldLook
from clinical_qkt.privacy.mechanisms import Guarantee, Noise, Release, private_release
from clinical_qkt.privacy.statement import tens
from clinical_qkt.query.contributions import Seen
from clinical_qkt.query.private_look import RADII, SHARES
from clinical_qkt.query.seen_look import SeenLook
from clinical_qkt.site.policy import Policy

_RELEASES = (*RADII, "residual")


def labels_of(card: QueryCard, names: tuple[str, ...] | list[str]) -> list[ClassLabel]:
    """Classes that a query tells of, by their names, as it has them."""
    known = {label.name: label for label in card.vocabulary}
    return [known[name] for name in names]


def too_little(seen: Seen, policy: Policy) -> str | None:
    """Why exact statistics cannot be given, or None."""
    if len(seen.patients) < policy.minimum_patients:
        return f"fewer than {policy.minimum_patients} {policy.unit}s show this class"
    if not seen.finite or (seen.look and not seen.look.finite):
        return "the extractor gives NaN or infinity on this site's images"
    found = seen.statistics()
    assert found.covariance is not None
    if float(found.covariance.diagonal().max()) < 1e-12:
        return "the extractor gives the same features for every image"
    left = None if seen.look is None else seen.look.left()
    told = [found.covariance, found.mean, *([] if left is None else [left.shift])]
    if not all(bool(torch.isfinite(numbers.float()).all()) for numbers in told):
        return "the extractor gives features that are too large"
    return None


def compared(seen: Seen) -> str:
    """What is told of looks, in words that follow a kind of answer."""
    if seen.look is None:
        return ""
    if seen.look.compared and not seen.look.shared:
        through = ", ".join(seen.look.compared.first)
        return f", and how images look beside further sites', and so beside the asker's: {through}"
    return f", and how images look beside the asker's: {', '.join(seen.look.shared) or 'nothing to compare'}"


def most_numbers(seen: Seen, card: QueryCard) -> int:
    """How many numbers leave; of a private response, whose look decides it, at most."""
    look = seen.look
    if seen.kind != "private_mean":
        return _exact_numbers(seen.kind, card, None if look is None or look.compared is None else _told(look))
    told = len(RADII) * (1 + len(look.asked.spread)) if look and look.private else 0
    return 1 + card.private_axes + told + (2 + card.private_axes if look and look.shared else 0)


def most_told(kind: Kind, card: QueryCard, looks: bool) -> int:
    """How many numbers would leave at most, before any image is looked at.

    Args:
        looks: whether the site tells how its images look, to those who tell it of theirs.
    """
    spread = len(card.looks.spread) if looks and card.looks else 0
    if kind != "private_mean":
        return _exact_numbers(kind, card, (spread, len(card.vocabulary), True) if spread else None)
    axes = card.private_axes
    return 1 + axes + (len(RADII) * (1 + spread) + 2 + axes if spread else 0)


def _told(look: SeenLook) -> tuple[int, int, bool]:
    """Numbers of a look, classes that are compared, and whether it is told what is left."""
    return len(look.asked.spread), len(look.shared), bool(look.mapped and look.shared)


def _exact_numbers(kind: str, card: QueryCard, told: tuple[int, int, bool] | None) -> int:
    width = card.extractor.features
    numbers = {"covariance": width * (width + 3) // 2, "diagonal": 2 * width}.get(kind, width)
    if told is None:
        return 1 + numbers
    spread, shared, left = told
    return 1 + numbers + 2 * spread + 1 + shared + (width + 1 if left else 0)


def told_exactly(look: SeenLook | None, card: QueryCard) -> tuple[ToldLook | None, LookNumbers]:
    """What an exact response tells of looks; None where they are not compared."""
    if look is None:
        return None, LookNumbers()
    found, left = look.compared, look.left()
    if found is None:
        return ToldLook(), LookNumbers()
    told = ToldLook(
        shared=labels_of(card, found.shared),
        counts=[tens(look.counts[c]) for c in found.shared],
        mapped=look.mapped,
        seen=short(found.seen),
        wanted=short(found.wanted),
        distance=round(found.distance, 4),
        unclipped=None if left is None or left.unclipped is None else round(left.unclipped, 4),
    )
    return told, LookNumbers(None if left is None else left.shift.float())


def drawn(seen: Seen, guarantee: Guarantee, noise: Noise | None = None) -> dict[str, Any]:
    """All releases of one private response, as JSON data: together they keep the guarantee.

    Args:
        noise: its source; the operating system's randomness by default.
    """
    look = seen.look
    shares = look.shares if look else {"mean": 1.0}
    made = asdict(private_release(seen.sums.contributions(), guarantee.part(shares["mean"]), noise))
    if look is None:
        return made
    told: dict[str, Any] = {}
    if look.private and look.beside:
        told |= {"shared": list(look.beside.classes), "through": look.beside.through}
        told |= {"mapped": look.mapped, "shares": {**{name: SHARES[name] for name in RADII}, **shares}}
        told |= {name: asdict(release) for name, release in look.private.releases.items()}
    if "residual" in shares:
        assert look.sums is not None
        part = guarantee.part(shares["residual"])
        told["residual"] = asdict(private_release(look.sums.contributions(), part, noise))
    return {**made, "look": told}


def read(kept: Mapping[str, Any], card: QueryCard) -> tuple[Release, ToldLook | None, LookNumbers]:
    """What was drawn, as it leaves: the statistics, and what is told of looks."""
    release, told = Release(kept["total"], kept["count"]), kept.get("look")
    if told is None:
        return release, None, LookNumbers()
    if "shares" not in told:
        return release, ToldLook(), LookNumbers()
    parts = {name: told[name] for name in _RELEASES if name in told}
    look = ToldLook(
        shared=labels_of(card, told["shared"]),
        through=told["through"],
        mapped=told["mapped"],
        shares=Shares(**told["shares"]),
        noised_counts=NoisedCounts(**{name: part["count"] for name, part in parts.items()}),
    )
    totals = {name: torch.tensor(part["total"], dtype=torch.int64) for name, part in parts.items()}
    return release, look, LookNumbers(**totals)
