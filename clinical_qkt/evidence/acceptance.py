"""What a new model must show on test images before it counts as accepted: sections of the site's YAML.

How the rule is held against what was measured: ``evidence.criteria``.
"""

from __future__ import annotations

import datetime
import json

from pydantic import ConfigDict, Field

from clinical_qkt.core.files import digest_of
from clinical_qkt.core.values import Strict


class Acceptance(Strict):
    """The site's rule, besides its forgetting budget.

    Every limit is held against the bad end of the 95 % interval: an upper limit against the upper end, a
    lower one against the lower. Where the interval reaches over the limit, nothing can be decided.
    """

    query_recall: float = Field(default=50.0, ge=0, le=100)
    """Of 100 test images of the queried classes, how many are recognised at least. By default, the class must
    be recognised more often than not."""
    false_alarms: float = Field(default=5.0, ge=0, le=100)
    """Of 100 test images of the classes known before, how many may be called a queried class."""
    worst_forgetting: float = Field(default=10.0, ge=0, le=100)
    """Points of recall that a single retained class may lose."""
    calibration_error: float = Field(default=15.0, ge=0, le=100)
    """Points by which the stated probability and the share of right answers may differ on average (expected
    calibration error)."""
    date: datetime.date | None = None
    """When the rule was written, such as 2026-11-01. The report shows it; the ledger knows since when the
    rule was in use."""

    def limits(self, forgetting_budget: float) -> dict[str, float]:
        """The whole rule: each criterion's limit, in points or of 100 images."""
        return {"forgetting": forgetting_budget, **self.model_dump(exclude={"date"})}

    def digest(self, forgetting_budget: float) -> str:
        """SHA-256 of the whole rule; another limit makes another rule, another date does not."""
        return digest_of(json.dumps(self.limits(forgetting_budget), sort_keys=True))

    def written(self) -> frozenset[str]:
        """The criteria whose limit is the hospital's, not the software's default."""
        return frozenset(self.model_fields_set - {"date"})


class TestImages(Strict):
    """Where the test images come from, in the hospital's own words; the report quotes them.

    Roles, not names of people: what stands here goes to the report and to MLflow.
    """

    __test__ = False  # for pytest, which takes it for a test

    model_config = ConfigDict(str_strip_whitespace=True)

    origin: str = Field(default="", max_length=500)
    """Where they come from, and how they were chosen."""
    labelled_by: str = Field(default="", max_length=500)
    """Who labelled them, as a role: two haematologists, independently."""
    reference: str = Field(default="", max_length=500)
    """Against what: histology, consensus of three readers, the report of the day."""
    dates: str = Field(default="", max_length=500)
    """When they were taken."""
    device: str = Field(default="", max_length=500)
    """With which scanner, microscope, stain."""
    exclusions: str = Field(default="", max_length=500)
    """What was left out, and why."""
