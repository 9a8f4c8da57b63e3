"""One check: new images against a yardstick, by every rule; and whether the model is to be switched off."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from clinical_qkt.core.version import __version__
from clinical_qkt.monitoring.descriptors import look_names
from clinical_qkt.monitoring.drift import PERMUTATIONS, RULES, Drift, Rule, Seen, drift
from clinical_qkt.monitoring.limits import against_counts, against_prevalence, most_against
from clinical_qkt.monitoring.reference import Kind, Reference, counts_of, some
from clinical_qkt.site.monitoring_limits import Monitoring

AnyRule = Literal["look", "features", "certainty", "counts", "unreadable"]
ANY_RULE: tuple[AnyRule, ...] = get_args(AnyRule)
Verdict = Literal["quiet", "alarm", "too few images"]
MOST = 5000
"""New images that are compared; of more some are drawn at random, by patient."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Changed(_Part):
    """A rule of images: how far they are from the yardstick, and from where on that is an alarm."""

    deviation: float
    limit: float
    p: float


class Counted(_Part):
    """How many images were called a class, or cannot be read; no limits: there is no yardstick."""

    count: int
    low: int | None = None
    high: int | None = None

    @property
    def outside(self) -> bool:
        return (self.low is not None and self.count < self.low) or (
            self.high is not None and self.count > self.high
        )


class Check(_Part):
    """One line of the record. It names no image and no patient."""

    format: Literal["clinical-qkt/monitoring-check/1"] = "clinical-qkt/monitoring-check/1"
    software: str = f"clinical-qkt {__version__}"
    name: str
    day: str = Field(default_factory=lambda: datetime.date.today().isoformat())
    weights_sha256: str
    yardstick: Kind
    yardstick_name: str
    reference_images: int
    """Of the yardstick that were compared."""
    images: int
    units: int
    unit: Literal["image", "patient"]
    compared: int
    """Images by whose look and features was judged: of classes that the yardstick shows."""
    images_changed: dict[Rule, Changed]
    moved: dict[str, float]
    """The three numbers of the look that moved most, in spreads between images of a class."""
    unsure: int
    counts: dict[str, Counted]
    unreadable: Counted
    listed: int
    verdict: Verdict
    alarms: list[AnyRule]
    switch_off: list[str]
    """Why the model is to be switched off; empty: nothing says so."""


def checked(
    name: str,
    new: Seen,
    unreadable: int,
    yardstick: Reference,
    rules: Monitoring,
    *,
    by_patient: bool,
    channels: int,
    prevalence: dict[str, float],
    earlier: Sequence[Check],
    seed: int,
    permutations: int = PERMUTATIONS,
) -> Check:
    """Judge new images.

    Args:
        unreadable: files besides them that cannot be read.
        by_patient: ``new.patient`` tells patients, not images.
        prevalence: of queried classes, of 100 images how many show it.
        earlier: the checks before this one, in their order.
        seed: of what is drawn at random.
    """
    classes = yardstick.about.classes
    enough = len(new) >= rules.minimum_images
    counts, units = _counts(
        new, yardstick, rules, by_patient=by_patient, prevalence=prevalence, judged=enough
    )
    with_counts = any(c.high is not None for c in counts.values())
    listed = len(new) + unreadable
    level = rules.level("unreadable", with_counts=with_counts)
    most = most_against(yardstick.about.unreadable, yardstick.about.listed, listed, level)
    lost = Counted(count=unreadable, high=most if listed >= rules.minimum_images else None)
    sample = new.rows(some(new.patient, MOST, seed))
    like = yardstick.like(sample, seed)
    level = rules.level("images", with_counts=with_counts)
    found = None
    if enough:
        found = drift(
            like, sample, level=level, unsure_below=rules.confidence, seed=seed, permutations=permutations
        )
    alarms: list[AnyRule] = [r for r in RULES if found and found.p[r] <= level]
    alarms += ["counts"] if any(c.outside for c in counts.values()) else []
    alarms += ["unreadable"] if lost.outside else []
    judged = enough and found is not None
    check = Check(
        name=name,
        weights_sha256=yardstick.about.weights_sha256,
        yardstick=yardstick.about.kind,
        yardstick_name=yardstick.about.name,
        reference_images=len(like),
        images=len(new),
        units=units,
        unit="patient" if by_patient else "image",
        compared=found.compared if found else 0,
        images_changed=_changed(found),
        moved=_moved(found, channels),
        unsure=int((new.stated < rules.confidence).sum()),
        counts={c: counts[c] for c in classes},
        unreadable=lost,
        listed=listed,
        verdict="alarm" if alarms else "quiet" if judged else "too few images",
        alarms=alarms,
        switch_off=[],
    )
    return check.model_copy(update={"switch_off": switch_off(check, earlier, rules)})


def switch_off(check: Check, earlier: Sequence[Check], rules: Monitoring) -> list[str]:
    """What says that the model is to be switched off: an unlikely change, or the same alarm again and again.

    Checks of too few images are passed over: they neither alarm nor end a row of alarms.
    """
    told: list[str] = []
    certain = [r for r in RULES if r in check.alarms and check.images_changed[r].p < rules.certain]
    told += [
        f"{IN_WORDS[r]}: chance does this in fewer than {_one_in(rules.certain)} checks" for r in certain
    ]
    judged = [c for c in earlier if c.verdict != "too few images"]
    row = [*judged, check][-rules.alarms_in_a_row :]
    for rule in check.alarms:
        if len(row) == rules.alarms_in_a_row and all(rule in c.alarms for c in row):
            told.append(f"{IN_WORDS[rule]}: alarm in {len(row)} checks in a row")
    return told


IN_WORDS: dict[AnyRule, str] = {
    "look": "the look of the images",
    "features": "what the model sees in them",
    "certainty": "how sure the model is",
    "counts": "how often a class is named",
    "unreadable": "files that cannot be read",
}


def _one_in(share: float) -> str:
    return f"1 in {round(1 / share):,}"


def _counts(
    new: Seen,
    yardstick: Reference,
    rules: Monitoring,
    *,
    by_patient: bool,
    prevalence: dict[str, float],
    judged: bool,
) -> tuple[dict[str, Counted], int]:
    """By class, with limits where there is a yardstick: a baseline of the same units, or a prevalence."""
    about = yardstick.about
    found, units = counts_of(new, about.classes, by_patient=by_patient)
    limits: dict[str, tuple[int, int]] = {}
    level = rules.level("counts", with_counts=True)
    if judged and about.kind == "baseline" and about.patients_named == by_patient:
        level /= len(about.classes)
        limits = {n: against_counts(about.counted[n], about.units, units, level) for n in about.classes}
    elif judged and about.kind == "acceptance" and not by_patient:
        told = {n: p for n, p in prevalence.items() if n in about.classes}
        for n, percent in told.items():
            pairs = _on_test_images(yardstick, about.classes.index(n))
            if pairs:
                limits[n] = against_prevalence(percent / 100, *pairs, units, level / len(told))
    return {n: Counted(count=c, **_ends(limits.get(n))) for n, c in found.items()}, units


def _ends(limits: tuple[int, int] | None) -> dict[str, int]:
    return {"low": limits[0], "high": limits[1]} if limits else {}


def _on_test_images(yardstick: Reference, c: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Found of the class, and false alarms of the others; None without images of the class."""
    shows, called = yardstick.truth == c, yardstick.seen.called == c
    if not shows.any() or shows.all():
        return None
    counted = [(int((called & part).sum()), int(part.sum())) for part in (shows, ~shows)]
    return counted[0], counted[1]


def _changed(found: Drift | None) -> dict[Rule, Changed]:
    if found is None:
        return {}
    rounded = {r: round(float(found.deviation[r]), 3) for r in RULES}
    return {r: Changed(deviation=rounded[r], limit=round(found.limit, 3), p=found.p[r]) for r in RULES}


def _moved(found: Drift | None, channels: int) -> dict[str, float]:
    if found is None:
        return {}
    names = look_names(channels)
    order = np.argsort(-np.abs(found.shift))[:3]
    return {names[i]: round(float(found.shift[i]), 2) for i in order}


assert 1 / (PERMUTATIONS + 1) <= 0.0002, "a p-value below the least of Monitoring.certain must be possible"
