"""A row of a comparison: its keys, and how its figures are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clinical_qkt.research.benchmark.clustered import interval

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
    "held_out_images",
    "cross_fitted_images",
    "promised_mean_bound",
    "promised_worst_bound",
    "mean_kept_on_test",
    "worst_kept_on_test",
    "query_recall_at_oracle",
    "false_alarms_at_oracle",
    "auroc",
    "ece",
    "teachers_used",
    "bytes_received",
    "seconds",
)
"""The measured keys of a row; beside them stand scenario, seed, student, query, method, variant."""

MEASURED = (*FIGURES, "budget_state", "trade")
"""These, and those that are no single number."""


def in_points(values: Sequence[float], seeds: Sequence[int] | None = None) -> str:
    """A mean with its 95 % interval; clustered by seed where seeds are given, see ``clustered``."""
    m = interval(values, seeds)
    return f"{m['mean']:.1f} ({m['low']:.1f} to {m['high']:.1f})"


def scenarios(content: dict[str, Any]) -> list[str]:
    """The scenarios that a comparison has rows of, in order."""
    return list(dict.fromkeys(r["scenario"] for r in content["rows"]))
