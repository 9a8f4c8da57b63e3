"""A summary that is compared, checked: it may come from another hospital."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.refusals import sentences
from clinical_qkt.review.earlier_summary import EARLIER, present
from clinical_qkt.review.summary_checks import disagreements
from clinical_qkt.review.summary_schema import SCHEMA, TransferSummary
from clinical_qkt.review.tracking import tracker

LONGEST, SENTENCE = 60, 300
"""Characters that are shown of a name; of a sentence or a path."""


@dataclass(frozen=True)
class Compared:
    """One transfer of a comparison.

    Attributes:
        label: how it is called here; distinct among those compared.
        summary: what is shown of it.
        logged: its figures under their MLflow names, as they were logged.
    """

    label: str
    summary: TransferSummary
    logged: dict[str, float | None]


def read_summary(
    content: str | bytes, where: str, *, whole: bool = False
) -> tuple[TransferSummary, dict[str, float | None]]:
    """Check a summary's text. One of an earlier version is read, too, with a note on standard error.

    Args:
        whole: whether all of it will be shown, so that every figure must go with what was counted, whatever
            the verdict.

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
    if schema in EARLIER:
        print(
            f"note: {where} was written by an earlier version ({schema}) and is read as {SCHEMA}",
            file=sys.stderr,
        )
        raw = present(raw)
    elif schema != SCHEMA:
        kind = SCHEMA.rpartition("/")[0] + "/"
        if isinstance(schema, str) and schema.startswith(kind):
            raise InputError(
                f"has the schema '{plain(schema)}', this version of clinical-qkt reads '{SCHEMA}'",
                where=where,
                fix="run that transfer again with this version, or use the version that wrote it",
            )
        raise InputError(
            "is not the summary of a transfer",
            where=where,
            fix=f'give a summary.json that begins with "schema": "{SCHEMA}", or the folder that holds it',
        )
    try:
        summary = TransferSummary.model_validate(raw)
    except ValidationError as e:
        told = "; ".join(sentences(e, lambda part: plain(part, SENTENCE))[:5])
        raise InputError(told, where=where, fix="give the file as `transfer` wrote it") from None
    if whole and (wrong := disagreements(summary)):
        raise InputError(plain(wrong[0], SENTENCE), where=where, fix="give the file as `transfer` wrote it")
    return summary, {tracker.metric_name(name): value for name, value in tracker.figures(summary).items()}


def plain(text: Any, most: int = LONGEST) -> str:
    """Text from elsewhere as it may be shown: one line, no control characters, not endless."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    return shown if len(shown) <= most else shown[: most - 1] + "…"
