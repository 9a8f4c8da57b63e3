"""What several private responses promise together; without torch, so that looking at a ledger is quick.

Answers that protect a patient and answers that protect an image do not add up as if they were alike:

- Counted for an image, an answer that protects a patient counts as one with a little less noise, ``WHOLE``.
  Whoever takes away one of a patient's two images moves the patient's mean by the radius at most, of more
  images by less, and the count not at all; or takes the patient away. But means are truncated to whole steps.
- Counted for a patient, an answer that protects an image counts as one with noise k times smaller, where no
  patient has more than k images of a class: together they move sum and count k times as far; k times the
  number of classes where looks of several are compared. Without such a k nothing is known, and nothing added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clinical_qkt.core.terms import Unit

WHOLE = 0.96
"""What truncation can add where one of two images is taken away. Let x be what stays and -y what goes, in
steps of which the radius R has 1,024, so that the mean was (x - y)/2. Coordinate by coordinate, the square of
the difference of what is truncated is larger than that of (x + y)/2 by 2|x| or by |y| at most. In all that
is, for 4,096 features, R² + √5 · √4096 · R, the square of 1,094 steps; a patient counts for 1,055."""


class Incomparable(Exception):
    """Answers that hide an image cannot be counted for a patient: it is not known how many a patient has."""


@dataclass(frozen=True)
class Spent:
    """One private response's part of a privacy budget.

    Attributes:
        noise_multiplier: standard deviation of the noise over what one unit can change.
        unit: whom the noise hides; None if that was not written down, which counts as an image.
        classes: whose images one of its releases adds up; of each a patient may have as many.
    """

    noise_multiplier: float
    unit: Unit | None
    classes: int = 1


def counted_for(spent: Iterable[Spent], unit: Unit, images_per_patient: int | None) -> list[float]:
    """The noise multipliers of several answers as they count for one unit.

    Args:
        images_per_patient: at most so many images of a class show one patient; None if nobody said.

    Raises:
        Incomparable: it would have to be known.

    >>> spent = [Spent(2.0, "image"), Spent(2.0, "patient")]
    >>> counted_for(spent, "image", None), counted_for(spent, "patient", images_per_patient=4)
    ([2.0, 1.92], [0.5, 2.0])
    """
    return [_counted(one, unit, images_per_patient) for one in spent]


def _counted(one: Spent, unit: Unit, images_per_patient: int | None) -> float:
    if one.unit == unit or (one.unit is None and unit == "image"):
        return one.noise_multiplier
    if unit == "image":
        return WHOLE * one.noise_multiplier
    if images_per_patient is None:
        raise Incomparable
    return one.noise_multiplier / (images_per_patient * one.classes)


def composed_epsilon(noise_multipliers: Sequence[float], delta: float) -> float:
    """The epsilon of several releases together, at ``delta``; dp-accounting's.

    All of them may have touched the same patient: that is assumed, whatever their classes.

    >>> round(composed_epsilon([4.0], 1e-5), 2), round(composed_epsilon([4.0] * 4, 1e-5), 2)  # twice
    (0.93, 1.99)
    """
    if not noise_multipliers:
        return 0.0
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    events = [dp_accounting.GaussianDpEvent(m) for m in noise_multipliers]
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    accountant.compose(dp_accounting.ComposedDpEvent(events))
    return float(accountant.get_epsilon(delta))
