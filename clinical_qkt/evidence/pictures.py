"""How far a picture is from the site's own ones: by brightness, contrast and sharpness, whatever it shows.

A network may be very sure of a picture that is unlike anything that it was made for. Three plain numbers a
channel tell such pictures, with a Mahalanobis distance (Ledoit and Wolf's covariance, 2004).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from sklearn.covariance import LedoitWolf

from clinical_qkt.core.values import Strict
from clinical_qkt.evidence.intervals import Array

SLACK = 2.0
"""Squared distances up to so many times that of the farthest own image pass."""
LEAST = 0.02
"""Of a number's spread over images: where all are nearly alike, a hair's breadth is no distance."""
FEW = 30
"""Below this number of own images nothing can be said."""
NUMBERS_BYTES = 40
"""That ``numbers_of`` takes for every number of an image: it counts in double precision, with copies."""
Numbers = list[Annotated[float, Field(allow_inf_nan=False)]]


def numbers_of(images: Any) -> Array:
    """Mean, logarithm of the standard deviation and of the mean step between neighbours, of each channel.

    Args:
        images: ``(B, channels, *places)``, as the network takes them.

    Returns:
        ``(B, 3 * channels)``.

    >>> stripes = np.tile([[0.0], [1.0]], (1, 1, 2, 4))  # one grey picture
    >>> numbers_of(stripes).round(2).tolist()
    [[0.5, -0.69, 0.0]]
    """
    values = np.asarray(images, dtype=np.float64)
    places = tuple(range(2, values.ndim))
    steps = sum(np.abs(np.diff(values, axis=axis)).mean(places) for axis in places)
    spread = values.std(places)
    return np.concatenate([values.mean(places), *(np.log(np.maximum(x, 1e-3)) for x in (spread, steps))], 1)


class Pictures(Strict):
    """What own pictures are like, and the squared distance beyond which another one is unlike them."""

    centre: Numbers
    scale: Numbers
    precision: list[Numbers]
    limit: float = Field(gt=0)

    def distance(self, numbers: Array) -> Array:
        """``(N, D)`` as from ``numbers_of`` to ``(N,)`` squared distances."""
        away = (numbers - np.array(self.centre)) / np.array(self.scale)
        return np.einsum("nd,de,ne->n", away, np.array(self.precision), away)

    def unlike(self, numbers: Array) -> Array:
        """``(N,)`` booleans."""
        return self.distance(numbers) > self.limit

    @classmethod
    def of(cls, numbers: Array, labels: Array) -> Pictures | None:
        """From own training and validation images, none of a queried class.

        The limit is set for a class of which the site has no images: each class in turn is left out, and the
        farthest of its images from all others says how far an image of another class may be.

        Args:
            numbers: ``(N, D)``.
            labels: ``(N,)``.

        Returns:
            None if the images, or the classes, are too few.
        """
        classes = [c for c in np.unique(labels) if (labels != c).sum() >= FEW]
        if len(numbers) < FEW or len(np.unique(labels)) < 2 or not classes:
            return None
        apart = [_fit(numbers[labels != c], 1.0).distance(numbers[labels == c]).max() for c in classes]
        everything = _fit(numbers, 1.0)
        limit = SLACK * max(*apart, everything.distance(numbers).max())
        return everything.model_copy(update={"limit": float(limit)})


def _fit(numbers: Array, limit: float) -> Pictures:
    centre, scale = numbers.mean(0), np.maximum(numbers.std(0), LEAST)
    precision = LedoitWolf(assume_centered=True).fit((numbers - centre) / scale).precision_
    return Pictures(centre=centre.tolist(), scale=scale.tolist(), precision=precision.tolist(), limit=limit)
