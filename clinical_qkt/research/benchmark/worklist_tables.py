"""The tables of the benchmark of lists to label."""

from __future__ import annotations

from typing import Any

WANTED = {"recall": 0.05, "precision": 0.1}
"""Half the width of the interval that is asked for."""
SHARES = ("recall", "false_alarms", "precision", "prevalence")
"""Figures whose intervals are looked at."""


def tables(content: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = []
    for figure, half_width in WANTED.items():
        lines += [
            f"| {figure} to ± {100 * half_width:g} points: seed, class | {figure} | its share | images | "
            "list | at random | at random, model used | list / random |",
            "| --- " * 8 + "|",
        ]
        for r in content["labels"]:
            told = r[figure]
            lines.append(
                f"| {r['seed']}, {r['query']} | {100 * told['true']:.0f} | {100 * r['share']:g} % | "
                f"{r['images']:,} | {told['list']:,} | {told['random']:,} | {told['random_called']:,} | "
                f"{told['list'] / told['random']:.2f} |"
            )
        lines.append("")
    heads = " | ".join(key.replace("_", " ") for key in SHARES)
    lines += [f"| intervals: seed, class | its share | labels | {heads} |", "| --- " * 7 + "|"]
    for r in content["coverage"]:
        cells = [
            f"{100 * (1 - r[k]['low_above'] - r[k]['high_below']):.1f} ({100 * r[k]['low_above']:.1f}); "
            f"± {100 * r[k]['half_width']:.2g}"
            for k in SHARES
        ]
        start = f"| {r['seed']}, {r['query']} | {100 * r['share']:g} % | {r['labels']:,} | "
        lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
