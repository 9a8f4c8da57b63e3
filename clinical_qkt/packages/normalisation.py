"""How images are to be normalised for pretrained weights, and whether a site's input does it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from clinical_qkt.core.values import Sent
from clinical_qkt.data.inputs import InputContract

CLOSE = 0.05
"""How far apart what black and white become may be, before the input counts as normalised otherwise."""


class Normalisation(Sent):
    """What the weights expect of an image whose brightness goes from 0 to 1: ``(x - mean) / std``."""

    mean: list[Annotated[float, Field(ge=-10, le=10)]] = Field(min_length=1, max_length=16)
    std: list[Annotated[float, Field(gt=0, le=10)]] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _as_many(self) -> Normalisation:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std need as many numbers")
        return self

    def wanted(self, given: InputContract) -> dict[str, list[float]] | None:
        """``mean`` and ``std`` for a site's ``input``; None if what it gives is the same already.

        >>> half = Normalisation(mean=[0.5], std=[0.5])
        >>> half.wanted(InputContract(channels=1, spatial_size=[28, 28])) is None  # value_range -1 to 1
        True
        >>> half.wanted(InputContract(channels=1, spatial_size=[28, 28], value_range=(0, 1)))
        {'mean': [0.5], 'std': [0.5]}
        """
        low, high = given.value_range
        mean = [low + m * (high - low) for m in self.mean]
        std = [s * (high - low) for s in self.std]
        has, needs = _ends(given.mean or [0.0], given.std or [1.0], given), _ends(mean, std, given)
        if all(abs(a - b) <= CLOSE for a, b in zip(has, needs, strict=True)):
            return None
        return {"mean": [round(m, 4) for m in mean], "std": [round(s, 4) for s in std]}


def _ends(mean: list[float], std: list[float], given: InputContract) -> list[float]:
    """What black and white become in each channel."""
    each = [(v * given.channels if len(v) == 1 else v) for v in (mean, std)]
    return [(end - m) / s for m, s in zip(*each, strict=False) for end in given.value_range]
