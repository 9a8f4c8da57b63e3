"""What a new model must show on test images before it counts as accepted: sections of the site's YAML.

How the rule is held against what was measured: ``evidence.criteria``.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from pydantic import ConfigDict, Field

from clinical_qkt.core.files import digest_of
from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import EvidenceFrom
from clinical_qkt.core.values import Strict

_NO_LIMIT = {"date", "looks", "evidence"}
"""Keys of the rule that are no limit of a criterion."""


class LookLimits(Strict):
    """From when on it speaks against a new model that other hospitals' images look different.

    Beyond a limit the model is not accepted, unless test images of the queried classes meet `query_recall`:
    then the report only warns. Everything is in spreads between the hospital's own images, unless said.
    """

    distance_without_map: float = Field(default=0.5, ge=0, le=1000)
    """How far looks may lie apart where images were not brought to one look, or where no class is shared that
    would show what is left."""
    residual: float = Field(default=1.5, ge=0, le=1000)
    """What may be left after they were: of a model between looks, of statistics between features, there in
    spreads within a class. Of private statistics it is told where looks pass for alike, too."""
    length: float = Field(default=10.0, ge=0, le=1000)
    """How long the mean features of a queried class may be, in units of the length at which the query has
    private responses clipped."""
    class_apart: float = Field(default=0.6, ge=0, le=1000)
    """By how much a class that both know may look otherwise than their other classes do. Beyond it the report
    warns that the class may mean something else there; it decides nothing."""


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
    looks: LookLimits = Field(default=LookLimits(), json_schema_extra={SHOWN: "see there"})
    """From when on it counts that other hospitals' images look different."""
    evidence: EvidenceFrom = "own"
    """Whose test images the limits of `query_recall` and `false_alarms` are held against: the hospital's
    `own`; those of `others`, which measured the new model and told rounded counts, see the stage `judge`; or
    `both` together. The other limits are held against own images always."""
    date: datetime.date | None = None
    """When the rule was written, such as 2026-11-01. The report shows it; the ledger knows since when the
    rule was in use."""

    def limits(self, forgetting_budget: float) -> dict[str, float]:
        """The whole rule: each criterion's limit, in points or of 100 images."""
        return {"forgetting": forgetting_budget, **self.model_dump(exclude=_NO_LIMIT)}

    def digest(self, forgetting_budget: float) -> str:
        """SHA-256 of the whole rule; another limit makes another rule, another date does not.

        Limits of looks that nobody has changed, and own evidence, are left out: rules are known that were
        written before these.
        """
        more: dict[str, Any] = {} if self.looks == LookLimits() else {"looks": self.looks.model_dump()}
        more |= {} if self.evidence == "own" else {"evidence": self.evidence}
        return digest_of(json.dumps({**self.limits(forgetting_budget), **more}, sort_keys=True))

    def written(self) -> frozenset[str]:
        """The criteria whose limit is the hospital's, not the software's default."""
        return frozenset(self.model_fields_set - _NO_LIMIT)


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
