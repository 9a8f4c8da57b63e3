"""The parts of ``summary.json`` that are compared, checked: a summary may come from another hospital."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clinical_qkt import tracking
from clinical_qkt.errors import InputError

# A copy of clinical_qkt.summary.SCHEMA (a test compares them): importing that would import MONAI, and the
# command would take seconds to begin.
SCHEMA = "clinical-qkt/transfer-summary/1"
LONGEST, SENTENCE = 60, 300
"""Characters that are shown of a name; of a sentence or a path."""

Share = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Interval = Annotated[list[Share], Field(min_length=2, max_length=2)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    # Keys may be added to a summary within its schema version; those that are read must be right.
    model_config = ConfigDict(extra="ignore", strict=True)


class Row(_Part):
    """What a model does on one class."""

    recall: Share | None
    precision: Share | None
    f1: Share | None
    auroc: Share | None
    support: int = Field(ge=0)
    recall_ci95: Interval | None


class Calibration(_Part):
    error: Share | None


class Evaluation(_Part):
    """The part ``before`` or ``after``."""

    per_class: dict[str, Row]
    query_recall: Share | None
    query_recall_ci95: Interval | None
    retained_recall: Share | None
    calibration: Calibration


class Forgetting(_Part):
    per_class: dict[str, Share | None]
    mean: Share | None
    worst: Share | None


class Data(_Part):
    sha256: str


class Student(_Part):
    site: str
    query: list[str] = Field(min_length=1)


class Method(_Part):
    variant: str


class Budget(_Part):
    forgetting: Amount


class Rule(_Part):
    worst_forgetting: Amount | None = None


class Summary(_Part):
    """What is read of a transfer's summary; see docs/reference/summary.md."""

    data: Data
    student: Student
    method: Method
    before: Evaluation
    after: Evaluation
    forgetting: Forgetting
    accepted: bool
    against: list[str]
    budget: Budget
    acceptance: Rule = Rule()
    untrusted_packages: list[str]
    bytes_received: int = Field(ge=0)
    seconds: dict[str, Amount]

    @model_validator(mode="after")
    def _measured_on_the_query(self) -> Summary:
        missing = [n for n in self.student.query if n not in self.after.per_class]
        if missing:
            raise ValueError(f"after.per_class: the queried class '{missing[0]}' is missing")
        return self


@dataclass(frozen=True)
class Compared:
    """One transfer of a comparison.

    Attributes:
        label: how it is called here; distinct among those compared.
        summary: what is shown of it.
        logged: its figures under their MLflow names, as they were logged.
    """

    label: str
    summary: Summary
    logged: dict[str, float | None]


def read_summary(content: str | bytes, where: str) -> tuple[Summary, dict[str, float | None]]:
    """Check a summary's text.

    Returns:
        The summary, and its figures under their MLflow names.

    Raises:
        InputError: it is no transfer's summary, or of another schema version, or its content is wrong.
    """
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError("is no JSON", where=where, fix="give the folder of a finished transfer") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != SCHEMA:
        kind = SCHEMA.rpartition("/")[0] + "/"
        if isinstance(schema, str) and schema.startswith(kind):
            raise InputError(
                f"has the schema '{plain(schema)}', this version of clinical-qkt reads '{SCHEMA}'",
                where=where,
                fix="run that transfer again with this version, or compare with the version that wrote it",
            )
        raise InputError(
            "is not the summary of a transfer",
            where=where,
            fix=f'give a summary.json that begins with "schema": "{SCHEMA}", or the folder that holds it',
        )
    try:
        summary = Summary.model_validate(raw)
    except ValidationError as e:
        told = "; ".join(_problem(p) for p in e.errors()[:5])
        raise InputError(told, where=where, fix="give the file as `transfer` wrote it") from None
    return summary, {tracking.metric_name(name): value for name, value in tracking.figures(raw).items()}


def plain(text: Any, most: int = LONGEST) -> str:
    """Text from elsewhere as it may be shown: one line, no control characters, not endless."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _problem(error: Any) -> str:
    at = ".".join(plain(p) for p in error["loc"])
    missing = error["type"] == "missing"
    message = "is missing" if missing else plain(error["msg"].removeprefix("Value error, "), SENTENCE)
    return f"{at}: {message}" if at else message
