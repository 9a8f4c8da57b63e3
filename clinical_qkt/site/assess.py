"""What a site tells of other sites' new models when it measures them: a section of its YAML."""

from __future__ import annotations

from pydantic import Field, model_validator

from clinical_qkt.core.values import Strict


class Assess(Strict):
    """How much the site tells of another site's new model, measured on its own test images."""

    minimum_images: int = Field(default=20, ge=2, le=100_000)
    """A figure is told of so many test images at least; where the datalist names patients, of so many of
    these."""
    assessments_per_query: int = Field(default=2, ge=1, le=100)
    """So many models of the same asker are measured for a class; the same model again gets the same figures.
    Each further one tells a little more of the same images."""
    rounding: int = Field(default=5, ge=1, le=100)
    """Counts are rounded down to multiples of it before they leave."""

    @model_validator(mode="after")
    def _something_is_left(self) -> Assess:
        if self.rounding > self.minimum_images:
            raise ValueError("rounding: is more than 'minimum_images', so a count could become nothing")
        return self

    def rounded(self, count: int) -> int:
        """A count as it leaves.

        >>> Assess(rounding=5).rounded(98)
        95
        """
        return count - count % self.rounding
