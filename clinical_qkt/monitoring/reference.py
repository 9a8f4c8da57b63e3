"""The yardstick: what images were like when the model was accepted, or in a first period of daily use."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import write_whole
from clinical_qkt.monitoring.drift import Floats, Seen, Whole
from clinical_qkt.monitoring.mix import estimated_mix, thinned

Kind = Literal["acceptance", "baseline"]
FILES: dict[Kind, str] = {"acceptance": "reference.npz", "baseline": "baseline.npz"}
MOST = 2000
"""Images that a reference keeps: more take time in each check and find little more."""
AXES = 10
"""Main axes of what the model sees that are kept."""
_ARRAYS = ("look", "features", "called", "stated", "patient")


class About(BaseModel):
    """What a reference's file says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["clinical-qkt/monitoring-reference/1"] = "clinical-qkt/monitoring-reference/1"
    kind: Kind
    name: str = Field(max_length=64)
    created: str = Field(default_factory=lambda: datetime.date.today().isoformat())
    weights_sha256: str
    data_sha256: str
    classes: list[str]
    patients_named: bool
    unreadable: int = Field(ge=0)
    listed: int = Field(ge=1)
    counted: dict[str, int]
    """By class, how many of ``units`` were called so."""
    units: int = Field(ge=1)
    """Patients where they are named, else images."""


@dataclass(frozen=True)
class Reference:
    """A yardstick. Nothing in it leads back to a picture or a person.

    Attributes:
        seen: of each image.
        truth: ``(N,)`` the true class of each; of a baseline -1, since nobody knows.
        axes: ``(D, AXES)``: what arrives at the model's head times these gives ``seen.features``.
    """

    about: About
    seen: Seen
    truth: Whole
    axes: Floats

    def save(self, folder: Path) -> Path:
        """Write the file of its kind."""
        path = folder / FILES[self.about.kind]
        arrays = {name: getattr(self.seen, name) for name in _ARRAYS}
        about = np.array(json.dumps(self.about.model_dump()))
        rows = {"truth": self.truth, "axes": self.axes, **arrays}
        write_whole(path, partial(_save, about=about, **rows), private=True)
        return path

    def like(self, new: Seen, seed: int) -> Seen:
        """Its images, thinned to the class mix of new ones where true classes are known; see ``mix``."""
        if self.about.kind == "baseline":
            return self.seen
        judged = new.called[np.isin(new.called, self.seen.called)]
        if not len(judged):
            return self.seen
        mix = estimated_mix(self.truth, self.seen.called, judged)
        return self.seen.rows(thinned(self.truth, mix, np.random.default_rng(seed)))


def read_reference(folder: Path, kind: Kind, weights_sha256: str) -> Reference | None:
    """The reference of a kind, if there is one.

    Raises:
        InputError: it is damaged, or another model's.
    """
    path = folder / FILES[kind]
    if not path.exists():
        return None
    fix = f"move the folder {folder} away: the next `monitor` begins anew"
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = About.model_validate(json.loads(str(stored["about"])))
            seen = Seen(*(stored[name] for name in _ARRAYS))
            found = Reference(about, seen, stored["truth"], stored["axes"])
    except (OSError, ValueError, KeyError, BadZipFile, ValidationError) as e:
        raise InputError(f"is damaged ({type(e).__name__})", where=str(path), fix=fix) from None
    if about.weights_sha256 != weights_sha256:
        raise InputError("was made with another model than the one that is watched", where=str(path), fix=fix)
    return found


def main_axes(features: NDArray[np.float32], called: Whole, count: int = AXES) -> Floats:
    """Along which images of one class called differ most, ``(D, count)``; each feature in its own spread.

    Args:
        features: ``(N, D)``.
    """
    _, place = np.unique(called, return_inverse=True)
    means = np.stack([features[place == c].mean(0) for c in range(place.max() + 1)])
    residuals = (features - means[place]).astype(np.float64)
    spread = residuals.std(0)
    scale = np.where(spread > 1e-9, spread, np.inf)
    _, _, axes = np.linalg.svd(residuals / scale, full_matrices=False)
    return (axes[:count] / scale).T


def counts_of(seen: Seen, classes: list[str], *, by_patient: bool) -> tuple[dict[str, int], int]:
    """By class how many images, or patients with such an image, were called so; and of how many."""
    units = len(np.unique(seen.patient)) if by_patient else len(seen)
    if by_patient:
        found = {name: len(np.unique(seen.patient[seen.called == c])) for c, name in enumerate(classes)}
    else:
        found = {name: int((seen.called == c).sum()) for c, name in enumerate(classes)}
    return found, units


def as_baseline(acceptance: Reference, seen: Seen, name: str, seed: int, **facts: Any) -> Reference:
    """A first period of daily use as the yardstick; of more than ``MOST`` images some, drawn by patient."""
    by_patient = facts["patients_named"]
    counted, units = counts_of(seen, acceptance.about.classes, by_patient=by_patient)
    about = replace_about(acceptance.about, kind="baseline", name=name, counted=counted, units=units, **facts)
    kept = some(seen.patient, MOST, seed)
    chosen = seen.rows(kept)
    return replace(acceptance, about=about, seen=chosen, truth=np.full(len(chosen), -1))


def replace_about(about: About, **changes: Any) -> About:
    """A copy made today."""
    return About.model_validate({**about.model_dump(exclude={"created"}), **changes})


def some(patient: Whole, most: int, seed: int) -> Whole:
    """Positions of at most so many images, drawn at random, the images of a patient together."""
    if len(patient) <= most:
        return np.arange(len(patient))
    names, unit, counts = np.unique(patient, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    kept = order[np.cumsum(counts[order]) <= most]
    return np.flatnonzero(np.isin(unit, kept))


def _save(part: Path, **arrays: NDArray[Any]) -> None:
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
