"""A row of a comparison: its keys, and how its figures are written."""

from __future__ import annotations

from typing import Any

from clinical_qkt.research.benchmark.main_job import interval

FIGURES = (
    "query_recall",
    "false_alarms",
    "retained_recall",
    "forgetting_mean",
    "forgetting_worst",
    "query_recall_at_budget",
    "false_alarms_at_budget",
    "forgetting_at_budget",
    "forgetting_worst_at_budget",
    "budget_kept",
    "auroc",
    "ece",
    "teachers_used",
    "bytes_received",
    "seconds",
)
"""The measured keys of a row; beside them stand scenario, seed, student, query, method, variant."""


def in_points(values: list[float]) -> str:
    """A mean with its 95 % interval."""
    m = interval(values)
    return f"{m['mean']:.1f} ({m['low']:.1f} to {m['high']:.1f})"


def scenarios(content: dict[str, Any]) -> list[str]:
    """The scenarios that a comparison has rows of, in order."""
    return list(dict.fromkeys(r["scenario"] for r in content["rows"]))
