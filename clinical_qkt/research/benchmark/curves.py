"""Curves of a comparison: query recall over one setting, or over one measured figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from clinical_qkt.research.benchmark.clustered import interval
from clinical_qkt.research.benchmark.rows import FIGURES, in_points, scenarios


def curve_points(content: dict[str, Any], curve: dict[str, Any]) -> list[dict[str, Any]]:
    """A point a scenario and method, sorted by x within a scenario; what was refused throughout is left out.

    Returns:
        ``scenario``, ``variant``, ``x``, a number or else text; the rows' figures in points: ``recall``,
        ``alarms`` and ``forgotten``, one value a query; no alarms where they were not measured; ``seeds``.
    """
    found = []
    for scenario in scenarios(content):
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
                        "alarms": _alarms(done),
                        "forgotten": [100 * r["forgetting_at_budget"] for r in done],
                        "seeds": [r["seed"] for r in done],
                        "refused": len(mine) - len(done),
                    }
                )
    if not all(_is_number(p["x"]) for p in found):  # in the order of the methods, then
        return [{**p, "x": _text(p["x"])} for p in found]
    order = scenarios(content)
    return sorted(found, key=lambda p: (order.index(p["scenario"]), p["x"]))


def curve_table(content: dict[str, Any], curve: dict[str, Any]) -> list[str]:
    """A curve as Markdown."""
    points = curve_points(content, curve)
    lines = [
        "",
        f"## Curve {curve['name']}: query recall at budget over {curve['label']}",
        "",
        f"| scenario | {curve['label']} | method | query recall at budget | false alarms at budget "
        "| forgotten at budget | refused |",
        "| --- " * 7 + "|",
    ]
    for p in points:
        cells = [
            p["scenario"],
            _text(p["x"]),
            p["variant"],
            in_points(p["recall"], p["seeds"]),
            in_points(p["alarms"], p["seeds"]) if p["alarms"] else "–",
            in_points(p["forgotten"], p["seeds"]),
        ]
        lines.append(f"| {' | '.join(cells)} | {p['refused']} of {p['refused'] + len(p['recall'])} |")
    there = {(p["scenario"], p["variant"]) for p in points}
    lines += [
        f"| {scenario} | | {label} | refused | | | all |"
        for scenario in scenarios(content)
        for label in curve["methods"]
        if (scenario, label) not in there
    ]
    return lines


def draw_curve(points: list[dict[str, Any]], curve: dict[str, Any]) -> Figure:
    """Query recall at the forgetting budget over x with 95 % intervals, a line a scenario.

    Where x is measured or no number there are points without lines, since nothing lies between them.
    """
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    named = curve["x"] in FIGURES
    words = list(dict.fromkeys(p["x"] for p in points if isinstance(p["x"], str)))
    for scenario in dict.fromkeys(p["scenario"] for p in points):
        mine = [p for p in points if p["scenario"] == scenario]
        at = [words.index(p["x"]) if words else p["x"] for p in mine]
        found = [interval(p["recall"], p["seeds"]) for p in mine]
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


def _alarms(rows: list[dict[str, Any]]) -> list[float]:
    found = [r.get("false_alarms_at_budget") for r in rows]
    return [] if None in found else [100 * share for share in found if share is not None]


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _text(x: Any) -> str:
    if isinstance(x, list):
        return " + ".join(map(str, x))
    if _is_number(x):
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"
    return str(x)
