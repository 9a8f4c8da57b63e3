"""A comparison's results told to people: ``results.md`` with its tables, and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_fscore_support

from clinical_qkt.core.files import write_text, write_whole
from clinical_qkt.research.benchmark.curves import curve_points, draw_curve
from clinical_qkt.research.benchmark.rows import scenarios
from clinical_qkt.research.benchmark.tables import tables

AT_BUDGET = ("forgetting_at_budget", "query_recall_at_budget")


def pool_masks(masks: list[dict[str, Any]], thresholds: list[float]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of all knowledge masks together, for each threshold λ.

    Args:
        masks: per site model ``{"scores": [..], "truth": [..]}`` over the classes of its head.
    """
    scores = np.concatenate([m["scores"] for m in masks])
    truth = np.concatenate([m["truth"] for m in masks])
    rows = []
    for threshold in thresholds:
        p, r, f1, _ = precision_recall_fscore_support(
            truth, scores >= threshold, average="binary", zero_division=0
        )
        rows.append(
            {
                "kind": "noise and shapes, peak",
                "lambda": threshold,
                "precision": float(p),
                "recall": float(r),
                "f1": float(f1),
                "models": len(masks),
            }
        )
    return rows


def write(content: dict[str, Any], out: Path) -> None:
    """``results.md`` and ``figures/*.png`` from what is in ``results.json``."""
    write_text(out / "results.md", tables(content))
    for scenario in scenarios(content):
        rows = [r for r in content["rows"] if r["scenario"] == scenario and r["query_recall"] is not None]
        if rows:
            budget = content["config"]["forgetting_budget"]
            _save(draw_trade(rows, scenario, budget), out / "figures" / f"{scenario}.png")
    for curve in content["config"].get("curves", []):
        if found := curve_points(content, curve):
            _save(draw_curve(found, curve), out / "figures" / f"{curve['name']}.png")
    _save(draw_masks(content["masks"]), out / "figures" / "masks.png")


def draw_trade(rows: list[dict[str, Any]], title: str, budget: float) -> Figure:
    """Mean query recall against mean forgetting: a line a method along its biases, a point at the budget.

    A line is the mean over the queries at the same rates of false alarms; rows of earlier versions have none.
    """
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    labels = list(dict.fromkeys(r["variant"] for r in rows))
    colours = plt.get_cmap("tab20")(np.linspace(0, 1, max(2, len(labels))))[: len(labels)]
    shown = []
    for k, (label, colour) in enumerate(zip(labels, colours, strict=True)):
        mine = [r for r in rows if r["variant"] == label]
        at = [100 * float(np.mean([r[key] for r in mine])) for key in AT_BUDGET]
        axis.scatter(at[0], at[1], color=colour, marker="os^DvP*X<>"[k % 10], s=70, label=label, zorder=3)
        shown.append(at[0])
        if all(r.get("trade") for r in mine):
            path = 100 * np.mean([[point[:2] for point in r["trade"]] for r in mine], axis=0)
            axis.plot(*path.T, color=colour, lw=1.2, zorder=2)
    axis.axvline(budget, color="0.5", ls="--", lw=1, zorder=1)
    axis.axvline(0, color="0.85", lw=1, zorder=1)
    axis.set(title=title, xlabel="points of recall forgotten, mean", ylabel="query recall, %")
    axis.set(xlim=(min([-2.0, *shown]) - 0.5, max([4 * budget, *shown]) + 1), ylim=(-3, 103))
    axis.grid(alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def draw_masks(masks: list[dict[str, Any]]) -> Figure:
    """Precision, recall and F1 of the masks over λ."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for key, style in (("precision", "--"), ("recall", ":"), ("f1", "-")):
        axis.plot([m["lambda"] for m in masks], [m[key] for m in masks], style, marker="o", label=key)
    axis.set(xscale="log", xlabel="threshold λ", ylabel="share", ylim=(0, 1.03))
    axis.set_title(f"knowledge masks of {masks[0]['models']} models against the truth")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, partial(figure.savefig, format="png", dpi=110))
    plt.close(figure)
