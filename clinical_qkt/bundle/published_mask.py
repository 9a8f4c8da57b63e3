"""The knowledge mask as a card tells it: as found, or by randomised response that a ledger remembers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.packages.card import KnowledgeMask
from clinical_qkt.privacy.randomised_response import chance
from clinical_qkt.qkt.knowledge_masks import THRESHOLD
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.site.ledger.lines import MaskLine, Told


def published(
    scores: dict[str, float],
    epsilon: float | None = None,
    ledger: Ledger | None = None,
    site: str = "",
    earlier: Path | None = None,
) -> KnowledgeMask:
    """The mask as a card tells it: the scores as found; or with an epsilon 0 or 1, by randomised response.

    Args:
        ledger: of the site; it keeps what is told of each class for good. The same is told again, since two
            draws tell more than one (Erlingsson et al., CCS 2014, arXiv 1407.6981, section 3). At another
            epsilon, what is told is tied to what was told before, so that all together tell no more than the
            largest, see ``randomised_response``. A class that comes to be known, or no longer is, is drawn
            for itself, once: it tells twice as much at most, however often it comes and goes.
        site: whose mask it is.
        earlier: a file in which an earlier version kept what it told; taken over, if it is there.

    Raises:
        InputError: the ledger is not begun, or the earlier file is damaged.
        OutputError: the ledger cannot be used, or lacks lines that it once had.
    """
    if epsilon is None:
        return KnowledgeMask(scores=scores, threshold=THRESHOLD)
    known = {name: score >= THRESHOLD for name, score in scores.items()}
    told: dict[str, bool] = {}
    taken_over = _read_earlier(earlier)

    def draw(before: Mapping[str, Told]) -> list[MaskLine]:
        kept = [line for line in taken_over if (line.known, line.epsilon) not in before.get(line.label, {})]
        new = []
        for name, really in known.items():
            levels = _levels(name, really, before, kept)
            if epsilon not in levels:
                drawn = random.SystemRandom().random() < chance(really, epsilon, levels)
                new.append(MaskLine(name, really, epsilon, drawn))
            told[name] = levels[epsilon] if epsilon in levels else new[-1].told
        return [*kept, *new]

    if ledger:
        ledger.mask(site, draw)
    else:
        draw({})
    return KnowledgeMask(scores={n: float(t) for n, t in told.items()}, threshold=0.5, epsilon=epsilon)


def _levels(
    name: str, known: bool, before: Mapping[str, Told], kept: Sequence[MaskLine]
) -> dict[float, bool]:
    """What was told of a class that is known, or is not, by epsilon."""
    found = {e: t for (k, e), t in before.get(name, {}).items() if k is known}
    return found | {line.epsilon: line.told for line in kept if (line.label, line.known) == (name, known)}


class _Earlier(BaseModel):
    """What a site told of its mask, and what it knew then, as an earlier version kept it."""

    model_config = ConfigDict(extra="forbid")
    epsilon: float
    known: dict[str, bool] = {}
    told: dict[str, bool] = {}


def _read_earlier(file: Path | None) -> list[MaskLine]:
    if file is None or not file.exists():
        return []
    try:
        found = _Earlier.model_validate_json(file.read_bytes())
        return [MaskLine(n, found.known[n], found.epsilon, told) for n, told in found.told.items()]
    except (OSError, ValidationError, KeyError):
        raise InputError(
            "cannot be read, so that what was told of the mask before cannot be told again",
            where=str(file),
            fix="restore it from a backup; without it the mask is drawn anew, and two draws tell more",
        ) from None
