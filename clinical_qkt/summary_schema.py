"""``summary.json`` as one typed model: what a transfer found, for report, MLflow, comparison and scripts.

It needs neither torch nor MONAI, and takes a summary from another hospital as hostile: what is read must be
of its type and in its range. Keys may be added within a version of the schema. The published JSON Schema is
made of it: configs/schemas/transfer-summary.json.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clinical_qkt.evidence import parts
from clinical_qkt.summary_checks import contradictions, rising
from clinical_qkt.terms import ACCEPTED, REFUSED, UNDECIDED, Verdict

SCHEMA = "clinical-qkt/transfer-summary/2"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Difference = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Interval = Annotated[list[Difference], Field(min_length=2, max_length=2), AfterValidator(rising)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Amounts = Annotated[list[Amount], Field(min_length=2, max_length=2), AfterValidator(rising)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class Part(BaseModel):
    """A part of the summary."""

    model_config = ConfigDict(extra="ignore", strict=True, use_attribute_docstrings=True)


class Tested(Part):
    """How many test images there are, and of how many patients; null where the list names nobody."""

    images: Count
    patients: Count | None = None


class Row(Part):
    """What a model does on one class. What cannot be known is null, never 0."""

    recall: Share | None
    recall_ci95: Interval | None
    precision: Share | None
    f1: Share | None
    auroc: Share | None
    support: Count
    """Test images of the class."""
    patients: Count | None = None


class Alarms(Part):
    """Of so many images of other classes, how many are called a queried one."""

    count: Count
    images: Count
    patients: Count | None = None
    share: Share | None
    ci95: Interval | None


class FalseAlarms(Part):
    """Images of other classes that are called a queried class."""

    overall: Alarms
    """Of the images of the classes known before, how many are called any queried class."""
    per_class: dict[str, Alarms]
    """By queried class, of all images that are not of it."""


class Bin(Part):
    """Test images by the probability that the model states for the class that it names."""

    low: Share
    high: Share
    images: Count
    stated: Share | None
    """Its mean."""
    right: Share | None
    """How many of them are right."""


class Calibration(Part):
    """How far the stated probabilities can be believed."""

    error: Share | None
    """Expected calibration error."""
    ci95: Interval | None
    images: Count
    bins: list[Bin]


class Threshold(Part):
    """A queried class named from a probability on, whatever else the model thinks."""

    threshold: Share
    recognised: Share | None
    false_alarms: Share | None
    images: Count
    others: Count


class BaseRate(Part):
    """What an answer means where this share of the images shows the class."""

    own: bool
    """Whether it is the site's own prevalence."""
    prevalence: Share
    ppv: Share | None
    ppv_ci95: Interval
    npv: Share | None
    npv_ci95: Interval
    false_alarms_per_1000: Amount
    false_alarms_per_1000_ci95: Amounts
    missed_per_1000: Amount
    missed_per_1000_ci95: Amounts


class Groups(Part):
    """How many test images and patients stand behind the figures."""

    all: Tested
    retained: Tested
    queried: Tested


class Evaluation(Part):
    """What a model does on the test images: the part ``before`` or ``after``."""

    tested: Groups
    per_class: dict[str, Row]
    query_recall: Share | None
    """Unweighted mean over the queried classes."""
    query_recall_ci95: Interval | None
    false_alarms: FalseAlarms
    retained_recall: Share | None
    """Unweighted mean over the classes known before."""
    retained_recall_ci95: Interval | None
    calibration: Calibration
    confusion: list[list[Count]]
    """Rows are true classes, columns what is named, both as ``student.classes``, then ``student.query``."""
    thresholds: dict[str, list[Threshold]]
    base_rates: dict[str, list[BaseRate]]
    """By queried class; empty where nothing is known."""


class Forgetting(Part):
    """Recall before minus recall after, on the same test images, with paired intervals."""

    per_class: dict[str, Difference | None]
    per_class_ci95: dict[str, Interval | None]
    mean: Difference | None
    """Gains make up for losses."""
    mean_ci95: Interval | None
    mean_loss: Share | None
    """A class that got better counts 0. The forgetting budget is about this one."""
    mean_loss_ci95: Interval | None
    worst: Difference | None
    worst_class: str | None
    worst_ci95: Interval | None


class Criterion(Part):
    """One part of the rule, held against what was measured at its bad end."""

    name: Literal["query_recall", "false_alarms", "forgetting", "worst_forgetting", "calibration_error"]
    about: str | None = None
    """The class, where it is about one."""
    asked: Literal["at least", "at most"]
    limit: Amount
    """In points, or of 100 images."""
    measured: Difference | None
    """As a share; null if nothing could be."""
    ci95: Interval | None
    outcome: Literal["met", "failed", "undecided"]
    images: Count
    patients: Count | None = None
    images_needed: Count | None = None
    """Of an undecided one: with about so many it would be decided, were the same measured on them."""
    written_by: Literal["hospital", "software"]


class Rule(Part):
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


class TestData(Part):
    """Where the test images come from, in the hospital's words; empty where nothing was told."""

    __test__ = False

    origin: str = ""
    labelled_by: str = ""
    reference: str = ""
    dates: str = ""
    device: str = ""
    exclusions: str = ""


class Data(Part):
    """The datalist."""

    name: str
    generated: bool
    sha256: str
    skipped: Count
    skipped_because: dict[str, Count]
    patients: dict[str, Count | None] = {}
    """By section; null where the list names nobody."""
    test_data: TestData = TestData()


class Student(Part):
    """Who asked for what."""

    site: str
    classes: list[str]
    query: list[str] = Field(min_length=1)
    images: dict[str, Count]
    prevalence: dict[str, Amount] = {}
    """By queried class, in percent of the images of daily practice."""


class Aligned(Part):
    """What a teacher's class is here."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="class")
    as_: str | None = Field(alias="as")
    how: str


class Agreement(Part):
    """How often two models say the same."""

    images: Count
    share: Share | None


class TeacherFacts(Part):
    """One teacher's package."""

    site: str
    classes: list[str]
    alignment: list[Aligned]
    adapted: list[str]
    mask: dict[str, float]
    known: list[str]
    recall: dict[str, float]
    relevant: bool
    asked: bool
    signature: str
    weights_sha256: str
    bytes: Count
    agreement: Agreement | None = None


class AnsweredClass(Part):
    """What an answer says of one class."""

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


class AnswerFacts(Part):
    """One answer by statistics."""

    site: str
    signature: str
    classes: list[AnsweredClass]
    weights_sha256: str = ""
    bytes: Count


class Fit(Part):
    """What phase 2 found on own validation images; in points."""

    model_config = ConfigDict(extra="allow")

    val_points_spent: float
    val_points_worst: float
    val_within_budget: bool


class Method(Part):
    """Every choice of the method, and what came of them."""

    model_config = ConfigDict(extra="allow")

    variant: str
    started_from: str = ""
    start_from: str = ""
    head: str = ""
    max_epochs: int = 0
    refine_epochs: int = 0
    fit: Fit


class Budget(Part):
    """What a site is willing to lose."""

    forgetting: Amount


class SwitchOff(Part):
    """From when on the model is to be switched off again, by what `clinical-qkt monitor` finds."""

    quiet_checks: Count
    """Of so many checks in which nothing has changed, one may alarm."""
    alarms_in_a_row: Count
    """After so many alarms of the same rule."""
    certain: Share
    """Or at once, where chance does it in a smaller share of checks."""


class Identity(Part):
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


class TransferSummary(Part):
    """A transfer: who asked, what was measured before and after, by which rule, and the verdict."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["clinical-qkt/transfer-summary/2"] = Field(alias="schema")
    command: Literal["transfer"]
    version: str
    seed: int
    device: str
    identity: Identity
    data: Data
    student: Student
    teachers: list[TeacherFacts]
    answers: list[AnswerFacts]
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
    net_benefit: list[parts.NetBenefit] = []
    precision_recall: list[parts.PrecisionRecall] = []
    in_use: parts.InUse | None = None
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

    @property
    def names(self) -> list[str]:
        """All classes, in the order of the confusion's rows: the student's own, then the queried ones."""
        return [*self.student.classes, *self.student.query]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data, under the keys of the schema."""
        return self.model_dump(mode="json", by_alias=True)
