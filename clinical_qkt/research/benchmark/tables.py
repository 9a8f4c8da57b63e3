"""A comparison's tables, as Markdown: at the forgetting budget, without it, by seed, and paired margins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from clinical_qkt.research.benchmark.clustered import FEWEST_SEEDS
from clinical_qkt.research.benchmark.curves import curve_table
from clinical_qkt.research.benchmark.rows import in_points, scenarios
from clinical_qkt.research.methods.registry import Family, family_of

Rows = list[dict[str, Any]]

KINDS: dict[str, tuple[Family, ...]] = {
    "single-model rival": ("fusion", "fine_tuning"),
    "ensemble": ("ensemble",),
    "rival of its family": ("statistics",),
}
"""Of which families the best is told, by what it is called."""

OURS = ("statistics", "private", "committee", "distil")
"""The variants of QKT that are held against the rivals."""

STATES = ("shown", "estimated", "not kept")

AT_BUDGET = (
    "query recall",
    "left on the table",
    "false alarms",
    "forgotten",
    "worst class",
    "kept on test: mean",
    "worst class",
    " / ".join(STATES),
)
NO_BUDGET = ("query recall", "false alarms", "forgotten", "AUROC", "ECE", "MB received", "seconds")


def tables(content: dict[str, Any]) -> str:
    """Everything as Markdown; recalls and forgetting in points, means with 95 % intervals."""
    lines = [foreword(content)]
    for scenario in scenarios(content):
        rows = [r for r in content["rows"] if r["scenario"] == scenario]
        lines += ["", f"## {scenario}: {asked(rows)}", *of_scenario(rows)]
    for curve in content["config"].get("curves", []):
        lines += curve_table(content, curve)
    if not content["masks"]:
        return "\n".join(lines) + "\n"
    lines += _table(
        "Knowledge masks against the truth",
        ("precision", "recall", "F1"),
        {
            f"{m['lambda']:g}": [f"{m['precision']:.3f}", f"{m['recall']:.3f}", f"{m['f1']:.3f}"]
            for m in content["masks"]
        },
        first="λ",
        level=2,
    )
    return "\n".join(lines) + "\n"


def asked(rows: Rows) -> str:
    """How many queries, of which seeds."""
    queries = {(r["seed"], r["student"], tuple(r["query"])) for r in rows}
    return f"{len(queries)} queries, seeds {', '.join(map(str, _seeds(rows)))}"


def of_scenario(rows: Rows) -> list[str]:
    """A scenario's tables, and its paired differences."""
    labels, seeds = list(dict.fromkeys(r["variant"] for r in rows)), _seeds(rows)
    by_label = {label: [r for r in rows if r["variant"] == label] for label in labels}
    lines = _table("At the budget", AT_BUDGET, {k: _at_budget(v) for k, v in by_label.items()})
    lines += _table("No budget", NO_BUDGET, {k: _no_budget(v) for k, v in by_label.items()})
    if len(seeds) > 1:
        heads, told = [f"seed {seed}" for seed in seeds], {k: _by_seed(v, seeds) for k, v in by_label.items()}
        lines += _table("Query recall at the budget, by seed", heads, told)
    return lines + margins(rows)


def margins(rows: Rows) -> list[str]:
    """Paired differences in query recall at the forgetting budget, query by query, in points."""
    by_query: dict[Any, dict[str, float]] = {}
    family: dict[str, Family | None] = {}
    for r in rows:
        if r["query_recall_at_budget"] is not None:
            key = (r["seed"], r["student"], tuple(r["query"]))
            by_query.setdefault(key, {})[r["variant"]] = 100 * r["query_recall_at_budget"]
            family[r["variant"]] = family_of(r["method"])
    whole = {key: q for key, q in by_query.items() if len(q) == len(family)}
    seeds, found = [key[0] for key in whole], list(whole.values())
    lines: list[str] = []

    def tell(ours: str, over: str, theirs: Sequence[str]) -> None:
        gain = [q[ours] - float(np.mean([q[v] for v in theirs])) for q in found]
        lines.extend(["", f"{ours} above {over}: {in_points(gain, seeds)} points."])

    for ours in (v for v in OURS if v in family and whole):
        rivals = [v for v, f in family.items() if f == "fusion"]
        if rivals:
            tell(ours, f"the mean of {', '.join(rivals)}", rivals)
        if ours in ("statistics", "private") and "distil" in family:
            tell(ours, "distil", ["distil"])
        for kind, families in KINDS.items():
            if "statistics" in families and ours != "statistics":  # what else is given the same answers
                continue
            some = [v for v, f in family.items() if f in families]
            if some:
                best = max(some, key=lambda v: float(np.mean([q[v] for q in found])))
                tell(ours, f"the best {kind}, {best}", [best])
    return lines


def foreword(content: dict[str, Any]) -> str:
    """What the columns mean, and how intervals are drawn."""
    config, seeds = content["config"], _seeds(content["rows"])
    drawn = (
        "seeds are drawn, then queries within"
        if len(seeds) >= FEWEST_SEEDS
        else f"queries are drawn; fewer than {FEWEST_SEEDS} seeds cannot be"
    )
    budget = config["forgetting_budget"]
    limit = budget * config.get("worst_factor", 2.5)
    return (
        f"Data: {content['data']}{', generated' if content['generated'] else ''}. Means over the queries "
        f"with 95 % bootstrap intervals ({drawn}); recall and forgetting in points. 'At the budget': the "
        "queried classes' biases are fitted on held-out images of the student's own classes, to lose at most "
        f"{budget:g} points on average and {limit:g} of a single class. 'Left on the table': how much more "
        "query recall the best biases would have given that test images allowed. 'Kept on test': in how many "
        "queries the test images lost no more than that. 'Shown': the promise holds at its confidence on "
        "held-out images; 'estimated': there were too few to show it; 'not kept': the least costly biases "
        "stand. False alarms: of 100 test images of retained classes, how many are called a queried one."
    )


def _table(
    title: str, heads: Sequence[str], lines: dict[str, list[str]], *, first: str = "method", level: int = 3
) -> list[str]:
    found = ["", f"{'#' * level} {title}", "", f"| {first} | {' | '.join(heads)} |"]
    found.append("| --- " * (len(heads) + 1) + "|")
    return [*found, *(f"| {label} | {' | '.join(cells)} |" for label, cells in lines.items())]


def _seeds(rows: Rows) -> list[int]:
    return sorted({r["seed"] for r in rows})


def _done(rows: Rows) -> Rows:
    return [r for r in rows if r["query_recall"] is not None]


def _at_budget(rows: Rows) -> list[str]:
    done = _done(rows)
    if not done:
        return ["refused", *[""] * (len(AT_BUDGET) - 1)]
    at = "query_recall_at_budget", "false_alarms_at_budget", "forgetting_at_budget"
    recall, alarms, lost = (mean_told(done, key) for key in at)
    worst = f"{100 * float(np.mean([r['forgetting_worst_at_budget'] for r in done])):.1f}"
    kept = [count(done, key, len(rows)) for key in ("mean_kept_on_test", "worst_kept_on_test")]
    return [recall, left(done), alarms, lost, worst, *kept, _states(done)]


def _no_budget(rows: Rows) -> list[str]:
    done = _done(rows)
    if not done:
        return ["refused", *[""] * (len(NO_BUDGET) - 1)]
    cells = [mean_told(done, key) for key in ("query_recall", "false_alarms", "forgetting_mean")]
    cells += [f"{float(np.mean([r[key] for r in done])):.3f}" for key in ("auroc", "ece")]
    cells.append(f"{float(np.mean([r['bytes_received'] for r in done])) / 1e6:.1f}")
    return [*cells, f"{float(np.mean([r['seconds'] for r in done])):.1f}"]


def _by_seed(rows: Rows, seeds: Sequence[int]) -> list[str]:
    found = []
    for seed in seeds:
        mine = [r["query_recall_at_budget"] for r in _done(rows) if r["seed"] == seed]
        found.append(f"{100 * float(np.mean(mine)):.1f}" if mine else "–")
    return found


def mean_told(rows: Rows, key: str) -> str:
    """The mean with its interval; a dash where it was not measured, as in rows of earlier versions."""
    values = [r.get(key) for r in rows]
    if None in values:
        return "–"
    return in_points([100 * v for v in values if v is not None], [r["seed"] for r in rows])


def left(rows: Rows) -> str:
    """Query recall that the oracle has above the rule, in points; where it has less, none is left."""
    if any(r.get("query_recall_at_oracle") is None for r in rows):
        return "–"
    left = [max(0.0, r["query_recall_at_oracle"] - r["query_recall_at_budget"]) for r in rows]
    return f"{100 * float(np.mean(left)):.1f}"


def count(rows: Rows, key: str, of: int) -> str:
    return "–" if any(key not in r for r in rows) else f"{sum(r[key] for r in rows)} of {of}"


def _states(rows: Rows) -> str:
    """How many promises were shown, estimated and not kept; of earlier versions those kept alone."""
    if any("budget_state" not in r for r in rows):
        return f"{sum(r['budget_kept'] for r in rows)} of {len(rows)} kept"
    counts = Counter(r["budget_state"] for r in rows)
    return " / ".join(str(counts[state]) for state in STATES)
