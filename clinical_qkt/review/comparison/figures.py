"""What is compared: figures under their MLflow names, their order, and what forbids comparing them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.spreadsheets import harmless
from clinical_qkt.evidence.evaluation import Row
from clinical_qkt.review.comparison.reading import Compared, plain
from clinical_qkt.review.report.reasons import reasons
from clinical_qkt.review.tracking.tracker import metric_name

LESS_IS_BETTER = ("forgetting", "bytes_received", "seconds", "after/calibration_error", "after/false_alarms")


def figures(run: Compared) -> dict[str, float | None]:
    """A transfer's figures: those of MLflow, and what the table shows besides them; None is unknown."""
    summary, after = run.summary, run.summary.after
    low, high = after.query_recall_ci95 or (None, None)
    alarms = after.false_alarms.overall
    few, many = alarms.ci95 or (None, None)
    found = {
        **run.logged,
        "after/calibration_error": after.calibration.error,
        "after/query_recall_low": low,
        "after/query_recall_high": high,
        "after/false_alarms": alarms.share,
        "after/false_alarms_low": few,
        "after/false_alarms_high": many,
        "forgetting_budget": summary.budget.forgetting,  # in points, as MLflow has it among the parameters
        "seconds": sum(summary.seconds.values()),
    }
    for name, row in after.per_class.items():
        low, high = row.recall_ci95 or (None, None)
        found |= {metric_name(f"after/recall_low/{name}"): low}
        found |= {metric_name(f"after/recall_high/{name}"): high}
    return found


def ordered(runs: Sequence[Compared], key: str | None) -> list[Compared]:
    """The runs, best first by the figure ``key``; where it is unknown, last. Without a key as they are.

    Raises:
        InputError: no run has such a figure.
    """
    if key is None:
        return list(runs)
    known = list(dict.fromkeys(name for run in runs for name in figures(run)))
    key = key if key in known else metric_name(key)
    if key not in known:
        close = get_close_matches(key, known, n=1)
        short = ", ".join(plain(k) for k in known if k.count("/") < 2 and not k.startswith("before/"))
        raise InputError(
            "no run has such a figure",
            where=f"--sort {plain(key)}",
            fix=(f"did you mean '{plain(close[0])}'? " if close else "")
            + f"There are {short}; and of a class e.g. after/recall/CLASS",
        )
    sign = 1 if key.startswith(LESS_IS_BETTER) else -1

    def place(run: Compared) -> tuple[bool, float]:
        value = figures(run).get(key)
        return value is None, sign * (value or 0.0)

    return sorted(runs, key=place)


def classes(runs: Iterable[Compared]) -> dict[str, bool]:
    """All classes that a run was tested on, in their order, and whether a run asked for them."""
    runs = list(runs)
    asked = {name for run in runs for name in run.summary.student.query}
    names = dict.fromkeys(name for run in runs for name in run.summary.after.per_class)
    return {name: name in asked for name in names}


def common_start(runs: Iterable[Compared]) -> dict[str, Row] | None:
    """What was measured of each class before the transfers; None if that was not the same for all of them."""
    found: dict[str, Row] = {}
    for run in runs:
        for name, row in run.summary.before.per_class.items():
            if found.setdefault(name, row) != row:
                return None
    return found


def cautions(runs: Sequence[Compared]) -> list[str]:
    """What a reader must know before setting the figures side by side; empty if nothing."""
    told = []
    for what, of in (
        ("asked for different classes", lambda s: ", ".join(s.student.query)),
        ("were made at different sites", lambda s: s.student.site),
    ):
        groups = _groups(runs, of)
        if len(groups) > 1:
            each = "; ".join(f"{', '.join(labels)}: {plain(value)}" for value, labels in groups.items())
            told.append(f"The transfers {what} ({each}).")
    groups = _groups(runs, lambda s: s.data.sha256)
    if len(groups) > 1:
        each = " | ".join(", ".join(labels) for labels in groups.values())
        told.append(
            "The transfers were measured on different data lists, so that their figures cannot be compared "
            f"image by image ({each})."
        )
    groups = _groups(runs, lambda s: s.rule.sha256)
    if len(groups) > 1:
        each = " | ".join(", ".join(labels) for labels in groups.values())
        told.append(f"The transfers were judged by different rules ({each}).")
    if common_start(runs) is None:
        told.append("The models that the transfers began with differ: see what each class was before.")
    return told


def as_json(runs: Sequence[Compared]) -> dict[str, Any]:
    """All that is compared, for machines."""
    return {
        "cautions": cautions(runs),
        "runs": [
            {
                "run": run.label,
                "site": run.summary.student.site,
                "query": run.summary.student.query,
                "method": run.summary.method.variant,
                "data_sha256": run.summary.data.sha256,
                "verdict": run.summary.verdict,
                "against": reasons(run.summary),
                "untrusted_packages": run.summary.untrusted_packages,
                "figures": figures(run),
            }
            for run in runs
        ],
    }


def as_csv(runs: Sequence[Compared]) -> str:
    """The figures as a table: a row each, a column for each run; what is unknown is left empty."""
    found = [figures(run) for run in runs]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["figure", *(harmless(run.label) for run in runs)])
    for name in dict.fromkeys(name for each in found for name in each):
        writer.writerow([harmless(name), *(each.get(name) for each in found)])
    return text.getvalue()


def _groups(runs: Sequence[Compared], of: Callable[[Any], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for run in runs:
        groups.setdefault(of(run.summary), []).append(run.label)
    return groups
