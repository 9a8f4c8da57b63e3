"""``summary.json`` as one typed model: what a transfer found, for report, MLflow, comparison and scripts.

It needs neither torch nor MONAI, and takes a summary from another hospital as hostile: what is read must be
of its type and in its range. Keys may be added within a version of the schema. The published JSON Schema is
made of it: configs/schemas/transfer-summary.json.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from clinical_qkt.core.terms import ACCEPTED, REFUSED, UNDECIDED, EvidenceFrom, TrainedLayers, Verdict
from clinical_qkt.core.values import Written
from clinical_qkt.evidence import parts
from clinical_qkt.evidence.evaluation import (
    Agreement,
    Amount,
    Count,
    Criterion,
    Evaluation,
    Forgetting,
    Share,
)
from clinical_qkt.evidence.others import MeasuredByOthers
from clinical_qkt.review.budget_fit import Fit
from clinical_qkt.review.summary_checks import contradictions

SCHEMA: Final = "clinical-qkt/transfer-summary/5"


class Rule(Written):
    """The rule as a whole, and what else was judged on the same test images."""

    date: str | None = None
    """When the hospital says that it was written."""
    sha256: str
    limits: dict[str, Amount]
    used_since: str | None = None
    """When this rule was first used on these test images, as the ledger knows."""
    judged_before: Count = 0
    """How many other transfers were judged on these very test images before."""
    rules_before: Count = 0
    """By how many other rules."""
    evidence: EvidenceFrom = "own"
    """Whose test images the limits of ``query_recall`` and ``false_alarms`` are held against."""


class TestData(Written):
    """Where the test images come from, in the hospital's words; empty where nothing was told."""

    __test__ = False

    origin: str = ""
    labelled_by: str = ""
    reference: str = ""
    dates: str = ""
    device: str = ""
    exclusions: str = ""


class Data(Written):
    """The datalist."""

    name: str
    generated: bool
    sha256: str
    skipped: Count
    skipped_because: dict[str, Count]
    patients: dict[str, Count | None] = Field(default={})
    """By section; null where the list names nobody."""
    test_data: TestData = TestData()


class Student(Written):
    """Who asked for what."""

    site: str
    classes: list[str]
    query: list[str] = Field(min_length=1)
    images: dict[str, Count]
    prevalence: dict[str, Amount] = Field(default={})
    """By queried class, in percent of the images of daily practice."""


class Aligned(Written):
    """What a teacher's class is here."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="class")
    as_: str | None = Field(alias="as")
    how: str


class TeacherFacts(Written):
    """One teacher's package."""

    site: str
    classes: list[str]
    alignment: list[Aligned]
    adapted: list[str]
    mask: dict[str, float]
    known: list[str]
    recall: dict[str, float]
    relevant: bool
    participant: bool
    signature: str
    weights_sha256: str
    bytes: Count
    agreement: Agreement | None = None


class RespondedClass(Written):
    """What a response says of one class."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    name: str = Field(alias="class")
    kind: str | None
    declined: str | None = None
    count: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    unit: str | None = None
    distance: float | None = None
    limit: float | None = None
    far_off: bool = False


class ResponseFacts(Written):
    """One response with statistics."""

    site: str
    signature: str
    classes: list[RespondedClass]
    weights_sha256: str = ""
    bytes: Count


class StartWeights(Written):
    """A file of pretrained weights that one of the models started from."""

    sha256: str
    name: str
    source: str
    licence: str
    trained_layers: TrainedLayers


class Method(Written):
    """Every choice of the method, and what came of them."""

    model_config = ConfigDict(extra="allow")

    variant: str
    started_from: str = ""
    start_from: str = ""
    licence: list[str] = Field(default=[])
    pretrained: list[StartWeights] = Field(default=[])
    head: str = ""
    max_epochs: int = 0
    refine_epochs: int = 0
    fit: Fit


class Budget(Written):
    """What a site is willing to lose."""

    forgetting: Amount


class SwitchOff(Written):
    """From when on the model is to be switched off again, by what `clinical-qkt monitor` finds."""

    quiet_checks: Count
    """Of so many checks in which nothing has changed, one may alarm."""
    alarms_in_a_row: Count
    """After so many alarms of the same rule."""
    certain: Share
    """Or at once, where chance does it in a smaller share of checks."""


class Identity(Written):
    """Which report this is, of what; nothing of it is a figure."""

    report_id: str
    created: str
    run_id: str
    model_version: str | None
    weights_sha256: str
    data_sha256: str
    test_sha256: str
    rule_sha256: str
    commit: str | None


class Judgement(Written):
    """What was decided of the model before it was judged again, with other evidence or by another rule."""

    created: str
    report_id: str
    rule_sha256: str
    evidence: EvidenceFrom
    assessments: dict[str, str]
    """By hospital, the digest of its assessment's card."""
    verdict: Verdict
    criteria: list[Criterion]


class TransferSummary(Written):
    """A transfer: who asked, what was measured before and after, by which rule, and the verdict."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["clinical-qkt/transfer-summary/5"] = Field(alias="schema")
    command: Literal["transfer"]
    version: str
    seed: int
    device: str
    identity: Identity
    data: Data
    student: Student
    teachers: list[TeacherFacts]
    responses: list[ResponseFacts]
    method: Method
    before: Evaluation
    after: Evaluation
    forgetting: Forgetting
    verdict: Verdict
    criteria: list[Criterion]
    budget: Budget
    rule: Rule
    switch_off: SwitchOff | None = None
    abstention: parts.Abstention | None = None
    gate: parts.Gate | None = None
    subgroups: parts.Subgroups | None = None
    net_benefit: list[parts.NetBenefit] = Field(default=[])
    precision_recall: list[parts.PrecisionRecall] = Field(default=[])
    in_use: parts.InUse | None = None
    looks: parts.Looks | None = None
    others: MeasuredByOthers | None = None
    judged_earlier: list[Judgement] = Field(default=[])
    untrusted_packages: list[str]
    bytes_received: Count
    seconds: dict[str, Amount]

    @model_validator(mode="after")
    def _whole(self) -> TransferSummary:
        if wrong := contradictions(self):
            raise ValueError("; ".join(wrong[:3]))
        return self

    @property
    def accepted(self) -> bool:
        return self.verdict == ACCEPTED

    @property
    def refused(self) -> bool:
        return self.verdict == REFUSED

    @property
    def undecided(self) -> bool:
        return self.verdict == UNDECIDED

    def judgement(self) -> Judgement:
        """What is decided now, as it is kept when the model is judged again."""
        return Judgement(
            created=self.identity.created,
            report_id=self.identity.report_id,
            rule_sha256=self.rule.sha256,
            evidence=self.rule.evidence,
            assessments={s.site: s.card_sha256 for s in self.others.sites} if self.others else {},
            verdict=self.verdict,
            criteria=self.criteria,
        )

    @property
    def names(self) -> list[str]:
        """All classes, in the order of the confusion's rows: the student's own, then the queried ones."""
        return [*self.student.classes, *self.student.query]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data, under the keys of the schema."""
        return self.model_dump(mode="json", by_alias=True)
