"""When ``monitor`` alarms, and from when on the model is to be switched off: a section of the site's YAML."""

from __future__ import annotations

from pydantic import Field

from clinical_qkt.core.values import Strict

SHARES = {"images": 0.6, "counts": 0.3, "unreadable": 0.1}
"""How the false alarms that are allowed are dealt out: to what images show, to counts of classes, to files
that cannot be read. Where there is no yardstick for counts, the other two have all."""


class Monitoring(Strict):
    """The site's limits for a model that is in use."""

    quiet_checks: int = Field(default=100, ge=20, le=1000)
    """Of so many checks in which nothing has changed, one may alarm, all rules together."""
    minimum_images: int = Field(default=30, ge=20)
    """Of fewer images nothing is said."""
    confidence: float = Field(default=0.9, gt=0, lt=1)
    """Below this stated probability an image counts as one of which the model is not sure."""
    alarms_in_a_row: int = Field(default=2, ge=1)
    """The model is to be switched off when the same rule alarms in so many checks in a row."""
    certain: float = Field(default=0.001, ge=0.0002, le=0.01)
    """It is to be switched off at once when images have changed, and chance does that in a share of checks
    below this."""

    def level(self, part: str, *, with_counts: bool) -> float:
        """The share of quiet checks in which a part of ``SHARES`` may alarm."""
        whole = sum(share for name, share in SHARES.items() if with_counts or name != "counts")
        return SHARES[part] / whole / self.quiet_checks
