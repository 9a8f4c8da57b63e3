"""The published comparison on full-size pictures with a frozen network: blocks of its page.

Run in a checkout, after ``clinical_qkt.research.benchmark.gathered`` has put the rows into
``docs/results/full-size``: ``python -m clinical_qkt.documentation.full_size_pages``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clinical_qkt.core.files import write_text
from clinical_qkt.documentation.schema_tables import between_marks
from clinical_qkt.documentation.shift_pages import scenario_tables
from clinical_qkt.research.benchmark import tables
from clinical_qkt.research.benchmark.rows import in_points

BY = "clinical_qkt.documentation.full_size_pages"
PLACE, PAGE = Path("docs/results/full-size"), Path("docs/results/full-size.md")
FILES, LISTS = ("full-size.json", "three_classes.json"), "label_lists.json"
STAGES = (
    *("stages.json", "stages_averaged.json", "stages_last.json"),
    *("stages_epochs.json", "stages_three_classes.json"),
)
"""Of heads that are fitted at once, and of what each of their two parts brings."""
TRAINED = ("stages_trained.json",)
"""Of networks of which more than the head is trained."""

Rows = list[dict[str, Any]]

WANTED: dict[tuple[str, str], float] = {
    ("one_class_224", "statistics"): 98.5,
    ("one_class_224", "private"): 92,
    ("one_class_224", "private_epsilon_0.35"): 88,
    ("one_class_224", "private_20_patients"): 70,
    ("one_class_224", "private_reference"): 86,
    ("one_class_224", "private_48"): 92,
    ("one_class_224", "private_epsilon_0.35_48"): 88,
    ("one_class_224", "private_20_patients_48"): 70,
    ("one_class_224", "committee"): 96,
    ("one_class_224", "light"): 91,
    ("three_classes_224", "statistics"): 94,
    ("three_classes_224", "private"): 87,
    ("three_classes_224", "private_48"): 87,
    ("one_class_224_stages", "committee"): 96,
    ("one_class_224_stages", "light"): 91,
    ("one_class_224_stages", "distil"): 93,
    ("one_class_224_stages", "statistics"): 98.5,
    ("one_class_224_stages", "private"): 92,
    ("one_class_224_stages", "private_48"): 92,
    ("one_class_224_last", "private_48"): 92,
    ("three_classes_224_stages", "statistics"): 94,
    ("three_classes_224_stages", "private"): 87,
    ("three_classes_224_stages", "private_48"): 87,
    ("one_class_224_trained", "committee"): 96,
    ("one_class_224_trained", "light"): 91,
}
"""Query recall at 2 points, in percent, that was wanted before anything was measured."""
ALARMS = 3.5
"""False alarms in percent that were wanted of these at most; and both limits kept in every query."""


def targets(rows: Rows) -> str:
    """What was wanted beside what was reached.

    >>> row = {"scenario": "one_class_224", "variant": "private", "query_recall": 0.9, "seed": 3}
    >>> shares = {"query_recall_at_budget": 0.9, "false_alarms_at_budget": 0.01}
    >>> kept = {"mean_kept_on_test": True, "worst_kept_on_test": False}
    >>> print(targets([{**row, **shares, **kept}]).splitlines()[-1])
    | one_class_224 | private | 92 | 90.0 (90.0 to 90.0) | 2.0 | 1.0 (1.0 to 1.0) | 1, 0 of 1 |
    """
    heads = (
        "asked for",
        "variant",
        "wanted",
        "reached",
        "missed by",
        "false alarms",
        "kept: mean, every class",
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for (scenario, variant), wanted in WANTED.items():
        mine = [r for r in rows if (r["scenario"], r["variant"]) == (scenario, variant)]
        mine = [r for r in mine if r["query_recall"] is not None]
        if not mine:
            continue
        told, alarms = (
            tables.mean_told(mine, key) for key in ("query_recall_at_budget", "false_alarms_at_budget")
        )
        missed = wanted - float(told.split(" ")[0])
        mean, worst = (sum(bool(r[k]) for r in mine) for k in ("mean_kept_on_test", "worst_kept_on_test"))
        by = f"{missed:.1f}" if missed > 0 else "reached"
        cells = (scenario, variant, f"{wanted:g}", told, by, alarms, f"{mean}, {worst} of {len(mine)}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


EQUAL, FINER = "equal_lists", "finer_and_coarser_lists"
PARTED = ("immature_granulocyte", "neutrophil")
"""Classes of which some hospitals list sub-types."""
WITHIN = -3.0
"""Points by which the mean difference in query recall was wanted to be lower at most."""


def label_lists(rows: Rows) -> str:
    """Finer and coarser lists against equal ones, query by query.

    >>> row = {"variant": "private", "seed": 3, "student": "a", "false_alarms_at_budget": 0.0}
    >>> row |= {"forgetting_at_budget": 0.01, "query_recall": 0.9}
    >>> pair = [{**row, "scenario": s, "query": ["neutrophil"], "query_recall_at_budget": x}
    ...         for s, x in ((EQUAL, 0.9), (FINER, 0.88))]
    >>> label_lists(pair).splitlines()[-1].split(" | ")[1:5]
    ['90.0', '88.0', '-2.0 (-2.0 to -2.0)', 'yes']
    """
    heads = (
        *("method", "equal lists", "finer and coarser", "difference", "within 3 points"),
        *("where a class with sub-types is asked for", "false alarms: difference", "forgotten: difference"),
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for variant in dict.fromkeys(r["variant"] for r in rows):
        lines.append(f"| {variant} | {' | '.join(_compared([r for r in rows if r['variant'] == variant]))} |")
    return "\n".join(lines)


def _compared(rows: Rows) -> list[str]:
    """Of one method: recall with equal lists and with others, and differences."""
    pairs: dict[Any, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["query_recall"] is not None:
            pairs.setdefault((row["seed"], row["student"], *row["query"]), {})[row["scenario"]] = row
    both = [pair for pair in pairs.values() if len(pair) == 2]
    if not both:
        return ["–"] * 7
    recall = "query_recall_at_budget"
    means = [sum(100 * pair[s][recall] for pair in both) / len(both) for s in (EQUAL, FINER)]
    parted = [pair for pair in both if set(pair[EQUAL]["query"]) & set(PARTED)]
    within = "yes" if means[1] - means[0] >= WITHIN else "no"
    told = [_differs(both, recall), within, _differs(parted, recall)]
    more = [_differs(both, key) for key in ("false_alarms_at_budget", "forgetting_at_budget")]
    return [*(f"{mean:.1f}" for mean in means), *told, *more]


def _differs(pairs: list[dict[str, dict[str, Any]]], key: str) -> str:
    """How much more it is with finer and coarser lists, in points."""
    gaps = [100 * (pair[FINER][key] - pair[EQUAL][key]) for pair in pairs]
    return in_points(gaps, [pair[EQUAL]["seed"] for pair in pairs]) if gaps else "–"


def blocks(folder: Path = PLACE) -> dict[str, str]:
    """By name, of what is there."""
    found: dict[str, str] = {}
    for name, files in (("", FILES), ("stages", STAGES), ("trained", TRAINED)):
        rows = [row for file in files if (folder / file).is_file() for row in _rows(folder / file)]
        if rows:
            found |= {f"{name}_targets".strip("_"): targets(rows), name or "all": scenario_tables(rows)}
    return found | ({"label_lists": label_lists(_rows(folder / LISTS))} if (folder / LISTS).is_file() else {})


def _rows(path: Path) -> Rows:
    found: Rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return found


def main() -> None:
    """Write what is made of the published rows."""
    page = PAGE.read_text(encoding="utf-8")
    for name, block in blocks().items():
        page = between_marks(page, BY, name, block)
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
