"""A comparison's results told to people: tables with intervals over queries, and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_fscore_support

from clinical_qkt.benchmark.main_job import interval
from clinical_qkt.files import write_text, write_whole

FIGURES = (
    "query_recall",
    "retained_recall",
    "forgetting_mean",
    "forgetting_worst",
    "query_recall_at_budget",
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

RIVALS = ("distill", "fedavg", "fedsa", "knfu", "amalgamation")
"""The modules of the distillation, averaging and amalgamation rivals, whose mean a margin is taken over."""

SINGLE = (*RIVALS, "fine_tune")
"""Those whose outcome is one model of the student's size."""

FAMILY = ("prototypes", "fedpft", "gaussian_head")
"""The rivals that gain a class from class statistics."""

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
    for scenario in _scenarios(content):
        rows = [r for r in content["rows"] if r["scenario"] == scenario and r["query_recall"] is not None]
        if rows:
            _save(draw_trade(rows, scenario), out / "figures" / f"{scenario}.png")
    for curve in content["config"].get("curves", []):
        if points := curve_points(content, curve):
            _save(draw_curve(points, curve), out / "figures" / f"{curve['name']}.png")
    _save(draw_masks(content["masks"]), out / "figures" / "masks.png")


def tables(content: dict[str, Any]) -> str:
    """Everything as Markdown; recalls and forgetting in points, means with 95 % intervals over queries."""
    lines = [
        f"Data: {content['data']}{', generated' if content['generated'] else ''}. Means over the queries "
        "with 95 % bootstrap intervals; recall and forgetting in points; 'at budget' with the queried "
        f"classes' biases fitted to a budget of {content['config']['forgetting_budget']:g} points on "
        "validation images of the student's own classes; 'kept' says for how many queries that was possible.",
    ]
    for scenario in _scenarios(content):
        rows = [r for r in content["rows"] if r["scenario"] == scenario]
        queries = {(r["seed"], r["student"], tuple(r["query"])) for r in rows}
        seeds = sorted({r["seed"] for r in rows})
        lines += [
            "",
            f"## {scenario}: {len(queries)} queries, seeds {', '.join(map(str, seeds))}",
            "",
            "| method | query recall at budget | forgotten at budget | worst class | kept | "
            "query recall, no budget | forgotten | AUROC | ECE | MB received | seconds |",
            "| --- " * 11 + "|",
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
    """Paired differences in query recall at the budget, query by query, in points."""
    by_query: dict[Any, dict[str, float]] = {}
    module = {}
    for r in rows:
        if r["query_recall_at_budget"] is not None:
            key = (r["seed"], r["student"], tuple(r["query"]))
            by_query.setdefault(key, {})[r["variant"]] = 100 * r["query_recall_at_budget"]
            module[r["variant"]] = r["method"]
    whole = [q for q in by_query.values() if len(q) == len(module)]
    kinds = {"single-model rival": SINGLE, "ensemble": ("ensemble",), "rival of its family": FAMILY}
    lines = []
    for ours in (v for v in OURS if v in module and whole):
        rivals = [v for v, m in module.items() if m in RIVALS]
        if rivals:
            gain = [q[ours] - float(np.mean([q[v] for v in rivals])) for q in whole]
            lines += ["", f"{ours} above the mean of {', '.join(rivals)}: {_points(gain)} points."]
        if ours in ("statistics", "private") and "distil" in module:
            gain = [q[ours] - q["distil"] for q in whole]
            lines += ["", f"{ours} above distil: {_points(gain)} points."]
        for kind, modules in kinds.items():
            if modules is FAMILY and ours not in ("statistics", "private"):
                continue
            some = [v for v, m in module.items() if m in modules]
            if some:
                best = max(some, key=lambda v: float(np.mean([q[v] for q in whole])))
                gain = [q[ours] - q[best] for q in whole]
                lines += ["", f"{ours} above the best {kind}, {best}: {_points(gain)} points."]
    return lines


def curve_points(content: dict[str, Any], curve: dict[str, Any]) -> list[dict[str, Any]]:
    """A point a scenario and method, sorted by x within a scenario; what was refused throughout is left out.

    Returns:
        ``scenario``, ``variant``, ``x``, a number or else text; the rows' figures in points: ``recall`` and
        ``forgotten``, one value a query.
    """
    found = []
    for scenario in _scenarios(content):
        for label in curve["methods"]:
            mine = [r for r in content["rows"] if r["scenario"] == scenario and r["variant"] == label]
            done = [r for r in mine if r["query_recall_at_budget"] is not None]
            if done:
                measured = curve["x"] in FIGURES
                found.append(
                    {
                        "scenario": scenario,
                        "variant": label,
                        "x": float(np.mean([r[curve["x"]] for r in done]))
                        if measured
                        else content["settings"][label][curve["x"]],
                        "recall": [100 * r["query_recall_at_budget"] for r in done],
                        "forgotten": [100 * r["forgetting_at_budget"] for r in done],
                        "refused": len(mine) - len(done),
                    }
                )
    if not all(_is_number(p["x"]) for p in found):  # in the order of the methods, then
        return [{**p, "x": _text(p["x"])} for p in found]
    order = _scenarios(content)
    return sorted(found, key=lambda p: (order.index(p["scenario"]), p["x"]))


def curve_table(content: dict[str, Any], curve: dict[str, Any]) -> list[str]:
    """A curve as Markdown."""
    points = curve_points(content, curve)
    lines = [
        "",
        f"## Curve {curve['name']}: query recall at budget over {curve['label']}",
        "",
        f"| scenario | {curve['label']} | method | query recall at budget | forgotten at budget | refused |",
        "| --- " * 6 + "|",
    ]
    for p in points:
        cells = [p["scenario"], _text(p["x"]), p["variant"], _points(p["recall"]), _points(p["forgotten"])]
        lines.append(f"| {' | '.join(cells)} | {p['refused']} of {p['refused'] + len(p['recall'])} |")
    there = {(p["scenario"], p["variant"]) for p in points}
    lines += [
        f"| {scenario} | | {label} | refused | | all |"
        for scenario in _scenarios(content)
        for label in curve["methods"]
        if (scenario, label) not in there
    ]
    return lines


def draw_curve(points: list[dict[str, Any]], curve: dict[str, Any]) -> Figure:
    """Query recall at the budget over x with 95 % intervals over queries, a line a scenario.

    Where x is measured or no number there are points without lines, since nothing lies between them.
    """
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    named = curve["x"] in FIGURES
    words = list(dict.fromkeys(p["x"] for p in points if isinstance(p["x"], str)))
    for scenario in dict.fromkeys(p["scenario"] for p in points):
        mine = [p for p in points if p["scenario"] == scenario]
        at = [words.index(p["x"]) if words else p["x"] for p in mine]
        found = [interval(p["recall"]) for p in mine]
        mean = [f["mean"] for f in found]
        # Rounding may put the mean of equal values a hair outside their interval.
        below, above = (
            [max(0.0, s * (f["mean"] - f[k])) for f in found] for s, k in ((1, "low"), (-1, "high"))
        )
        axis.errorbar(
            at, mean, [below, above], fmt="o" if named or words else "o-", capsize=3, label=scenario
        )
        for p, x, y in zip(mine, at, mean, strict=True) if named else ():
            axis.annotate(p["variant"], (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8)
    if words:
        axis.set_xticks(range(len(words)), words, rotation=20, ha="right")
    elif curve["log"]:
        axis.set_xscale("log" if min(p["x"] for p in points) > 0 else "symlog")
    if not named and not words:
        ticks = sorted({p["x"] for p in points})
        axis.set_xticks(ticks, [_text(x) for x in ticks])
        axis.set_xticks([], minor=True)
    axis.margins(x=0.12 if named else 0.05)
    axis.set(xlabel=curve["label"], ylabel="query recall at budget, %", title=curve["name"])
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


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


def _line(label: str, rows: list[dict[str, Any]]) -> str:
    done = [r for r in rows if r["query_recall"] is not None]
    if not done:
        return f"| {label} | refused |" + " |" * 9
    cells = [_points([100 * r[k] for r in done]) for k in ("query_recall_at_budget", "forgetting_at_budget")]
    cells.append(f"{100 * float(np.mean([r['forgetting_worst_at_budget'] for r in done])):.1f}")
    cells.append(f"{sum(r['budget_kept'] for r in done)} of {len(rows)}")
    cells += [_points([100 * r[k] for r in done]) for k in ("query_recall", "forgetting_mean")]
    cells += [f"{float(np.mean([r[k] for r in done])):.3f}" for k in ("auroc", "ece")]
    cells.append(f"{float(np.mean([r['bytes_received'] for r in done])) / 1e6:.1f}")
    cells.append(f"{float(np.mean([r['seconds'] for r in done])):.1f}")
    return f"| {label} | " + " | ".join(cells) + " |"


def _points(values: list[float]) -> str:
    m = interval(values)
    return f"{m['mean']:.1f} ({m['low']:.1f} to {m['high']:.1f})"


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _text(x: Any) -> str:
    if isinstance(x, list):
        return " + ".join(map(str, x))
    if _is_number(x):
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"
    return str(x)


def _scenarios(content: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(r["scenario"] for r in content["rows"]))


def _save(figure: Figure, path: Path) -> None:
    write_whole(path, partial(figure.savefig, format="png", dpi=110))
    plt.close(figure)
