"""A comparison's results told to people: tables with intervals over queries, and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_fscore_support

from clinical_qkt.core.files import write_text, write_whole
from clinical_qkt.research.benchmark.curves import curve_points, curve_table, draw_curve
from clinical_qkt.research.benchmark.rows import in_points, scenarios
from clinical_qkt.research.methods.registry import Family, family_of

KINDS: dict[str, tuple[Family, ...]] = {
    "single-model rival": ("fusion", "fine_tuning"),
    "ensemble": ("ensemble",),
    "rival of its family": ("statistics",),
}
"""Of which families the best is told, by what it is called."""

HEADS = (
    "| method | query recall at budget | false alarms at budget | forgotten at budget | worst class | kept | "
    "query recall, no budget | false alarms | forgotten | AUROC | ECE | MB received | seconds |"
)

OURS = ("statistics", "private", "committee", "distil")
"""The variants of QKT that are held against the rivals."""


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
            _save(draw_trade(rows, scenario), out / "figures" / f"{scenario}.png")
    for curve in content["config"].get("curves", []):
        if found := curve_points(content, curve):
            _save(draw_curve(found, curve), out / "figures" / f"{curve['name']}.png")
    _save(draw_masks(content["masks"]), out / "figures" / "masks.png")


def tables(content: dict[str, Any]) -> str:
    """Everything as Markdown; recalls and forgetting in points, means with 95 % intervals over queries."""
    lines = [
        f"Data: {content['data']}{', generated' if content['generated'] else ''}. Means over the queries "
        "with 95 % bootstrap intervals; recall and forgetting in points; 'at budget' with the queried "
        f"classes' biases fitted to a budget of {content['config']['forgetting_budget']:g} points on "
        "validation images of the student's own classes; 'kept' says for how many queries that was possible; "
        "false alarms: of 100 test images of retained classes, how many are called a queried one.",
    ]
    for scenario in scenarios(content):
        rows = [r for r in content["rows"] if r["scenario"] == scenario]
        queries = {(r["seed"], r["student"], tuple(r["query"])) for r in rows}
        seeds = sorted({r["seed"] for r in rows})
        lines += [
            "",
            f"## {scenario}: {len(queries)} queries, seeds {', '.join(map(str, seeds))}",
            "",
            HEADS,
            "| --- " * HEADS.count(" | ") + "| --- |",
        ]
        labels = list(dict.fromkeys(r["variant"] for r in rows))
        for label in labels:
            lines.append(_line(label, [r for r in rows if r["variant"] == label]))
        lines += margins(rows)
    for curve in content["config"].get("curves", []):
        lines += curve_table(content, curve)
    lines += [
        "",
        "## Knowledge masks against the truth",
        "",
        "| λ | precision | recall | F1 |",
        "| --- " * 4 + "|",
    ]
    lines += [
        f"| {m['lambda']:g} | {m['precision']:.3f} | {m['recall']:.3f} | {m['f1']:.3f} |"
        for m in content["masks"]
    ]
    return "\n".join(lines) + "\n"


def margins(rows: list[dict[str, Any]]) -> list[str]:
    """Paired differences in query recall at the forgetting budget, query by query, in points."""
    by_query: dict[Any, dict[str, float]] = {}
    family: dict[str, Family | None] = {}
    for r in rows:
        if r["query_recall_at_budget"] is not None:
            key = (r["seed"], r["student"], tuple(r["query"]))
            by_query.setdefault(key, {})[r["variant"]] = 100 * r["query_recall_at_budget"]
            family[r["variant"]] = family_of(r["method"])
    whole = [q for q in by_query.values() if len(q) == len(family)]
    lines = []
    for ours in (v for v in OURS if v in family and whole):
        rivals = [v for v, f in family.items() if f == "fusion"]
        if rivals:
            gain = [q[ours] - float(np.mean([q[v] for v in rivals])) for q in whole]
            lines += ["", f"{ours} above the mean of {', '.join(rivals)}: {in_points(gain)} points."]
        if ours in ("statistics", "private") and "distil" in family:
            gain = [q[ours] - q["distil"] for q in whole]
            lines += ["", f"{ours} above distil: {in_points(gain)} points."]
        for kind, families in KINDS.items():
            if "statistics" in families and ours != "statistics":  # what else is given the same answers
                continue
            some = [v for v, f in family.items() if f in families]
            if some:
                best = max(some, key=lambda v: float(np.mean([q[v] for q in whole])))
                gain = [q[ours] - q[best] for q in whole]
                lines += ["", f"{ours} above the best {kind}, {best}: {in_points(gain)} points."]
    return lines


def draw_trade(rows: list[dict[str, Any]], title: str) -> Figure:
    """Query recall against forgetting, without and with the budget fitted; a point a method."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), sharey=True, layout="constrained")
    labels = list(dict.fromkeys(r["variant"] for r in rows))
    colours = plt.get_cmap("tab20")(np.linspace(0, 1, max(2, len(labels))))
    pairs = (
        ("forgetting_mean", "query_recall", "as the method ends"),
        ("forgetting_at_budget", "query_recall_at_budget", "fitted to the budget"),
    )
    for axis, (x, y, what) in zip(axes, pairs, strict=True):
        for k, (label, colour) in enumerate(zip(labels, colours, strict=True)):
            mine = [r for r in rows if r["variant"] == label]
            at = [100 * float(np.mean([r[key] for r in mine])) for key in (x, y)]
            axis.scatter(*at, color=colour, marker="os^DvP*X<>"[k % 10], s=70, label=label, zorder=3)
        axis.axvline(0, color="0.8", zorder=1)
        axis.set(title=what, xlabel="points of recall forgotten, mean", ylim=(-3, 103))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("query recall, %")
    figure.suptitle(title)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
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


def _mean(rows: list[dict[str, Any]], key: str) -> str:
    """The mean with its interval; a dash where it was not measured, as in rows of earlier versions."""
    values = [r.get(key) for r in rows]
    return "–" if None in values else in_points([100 * v for v in values if v is not None])


def _line(label: str, rows: list[dict[str, Any]]) -> str:
    done = [r for r in rows if r["query_recall"] is not None]
    if not done:
        return f"| {label} | refused |" + " |" * 11
    at_budget = ("query_recall_at_budget", "false_alarms_at_budget", "forgetting_at_budget")
    cells = [_mean(done, k) for k in at_budget]
    cells.append(f"{100 * float(np.mean([r['forgetting_worst_at_budget'] for r in done])):.1f}")
    cells.append(f"{sum(r['budget_kept'] for r in done)} of {len(rows)}")
    ends = ("query_recall", "false_alarms", "forgetting_mean")
    cells += [_mean(done, k) for k in ends]
    cells += [f"{float(np.mean([r[k] for r in done])):.3f}" for k in ("auroc", "ece")]
    cells.append(f"{float(np.mean([r['bytes_received'] for r in done])) / 1e6:.1f}")
    cells.append(f"{float(np.mean([r['seconds'] for r in done])):.1f}")
    return f"| {label} | " + " | ".join(cells) + " |"


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, partial(figure.savefig, format="png", dpi=110))
    plt.close(figure)
