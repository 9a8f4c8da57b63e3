"""What a model gets right on a site's test images, as counts, and what of them leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.site.assess import Assess

Array = NDArray[Any]


@dataclass(frozen=True)
class Tested:
    """Test images, and of how many patients; None where they name none."""

    images: int
    patients: int | None

    @property
    def units(self) -> int:
        """What a minimum counts: patients where they are named."""
        return self.images if self.patients is None else self.patients

    @property
    def unit(self) -> str:
        return "images" if self.patients is None else "patients"


@dataclass(frozen=True)
class MeasuredClass:
    """One gained class: on which images, how many of them are right, how many others are called so."""

    tested: Tested
    right: int
    called: int


@dataclass(frozen=True)
class Measured:
    """A model on a site's test images; exact, so it stays here.

    Attributes:
        classes: by the row of a gained class.
        others: the images of the classes that the model knew before.
    """

    classes: dict[int, MeasuredClass]
    others: Tested


def measured(truth: Array, named: Array, patients: Array | None, gained: Sequence[int]) -> Measured:
    """Count.

    Args:
        truth, named: ``(N,)`` the row of each image's class, and of the class that the model names.
        patients: ``(N,)`` whose image it is; None where they name none.
        gained: rows of the gained classes.

    >>> found = measured(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), None, gained=[1])
    >>> found.classes[1].right, found.classes[1].called, found.others.images
    (2, 1, 2)
    """
    before = ~np.isin(truth, gained)
    return Measured(
        {
            row: MeasuredClass(
                _tested(truth == row, patients),
                int(np.sum((truth == row) & (named == row))),
                int(np.sum(before & (named == row))),
            )
            for row in gained
        },
        _tested(before, patients),
    )


def _tested(shown: Array, patients: Array | None) -> Tested:
    whose = None if patients is None else len(np.unique(patients[shown]))
    return Tested(int(np.sum(shown)), whose)


def figures(found: Measured, row: int, rule: Assess) -> dict[str, Any]:
    """What leaves of one class, as plain JSON data: rounded, and nothing of too few.

    >>> counts = MeasuredClass(Tested(98, None), right=95, called=7)
    >>> told = figures(Measured({1: counts}, Tested(412, None)), 1, Assess())
    >>> told["images"], told["recall"], told["called"], told["others"]["images"]
    (95, 97, 5, 410)
    """
    one = found.classes[row]
    told: dict[str, Any] = {"rounding": rule.rounding, "others": None}
    if found.others.units >= rule.minimum_images:
        told |= {"others": _rounded(found.others, rule), "called": rule.rounded(one.called)}
    if one.tested.units < rule.minimum_images:
        return told | {"declined": f"fewer than {rule.minimum_images} {one.tested.unit} to test it on"}
    return told | _rounded(one.tested, rule) | {"recall": round(100 * one.right / one.tested.images)}


def _rounded(tested: Tested, rule: Assess) -> dict[str, int | None]:
    patients = None if tested.patients is None else rule.rounded(tested.patients)
    return {"images": rule.rounded(tested.images), "patients": patients}
