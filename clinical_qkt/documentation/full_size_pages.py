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
TEN_FOLDS, TEN, THREE = "stages_ten_folds.json", "_ten_folds", "_stages"
"""As rows of ``STAGES``, with ten networks by folds instead of three; and how their scenarios' names end."""
PARTS = {"": FILES, "stages": STAGES, "trained": TRAINED}
"""Of the page, by the name of its blocks."""

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
        by = f"{missed:.1f}" if missed > 0 else "reached"
        cells = (scenario, variant, f"{wanted:g}", told, by, alarms, _kept(mine))
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
    return _more([(pair[EQUAL], pair[FINER]) for pair in pairs], key)


def _more(pairs: list[tuple[dict[str, Any], dict[str, Any]]], key: str) -> str:
    gaps = [100 * (second[key] - first[key]) for first, second in pairs]
    return in_points(gaps, [first["seed"] for first, _ in pairs]) if gaps else "–"


def ten_folds(three: Rows, ten: Rows) -> str:
    """Ten networks by folds against three, query by query.

    >>> row = {"scenario": "s_stages", "variant": "private", "seed": 3, "student": "a", "query": ["x"]}
    >>> row |= {"query_recall": 0.9, "mean_kept_on_test": True, "worst_kept_on_test": True}
    >>> shares = {"query_recall_at_budget": 0.9, "false_alarms_at_budget": 0.02}
    >>> more = {"scenario": "s_ten_folds", "query_recall_at_budget": 0.91, "worst_kept_on_test": False}
    >>> print(ten_folds([{**row, **shares}], [{**row, **shares, **more}]).splitlines()[-1])
    | s_ten_folds | private | 90.0 | 1.0 (1.0 to 1.0) | 0.0 (0.0 to 0.0) | 1, 1 of 1 | 1, 0 of 1 |
    """
    heads = (
        *("asked for", "method", "three", "ten: difference", "false alarms: difference"),
        *("kept with three: mean, every class", "with ten"),
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    found: dict[Any, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    named = {_name(row): row for row in three}
    for row in ten:
        if row["query_recall"] is not None and _name(row) in named:
            found.setdefault((row["scenario"], row["variant"]), []).append((named[_name(row)], row))
    for case, pairs in found.items():
        mean = sum(100 * first["query_recall_at_budget"] for first, _ in pairs) / len(pairs)
        more = [_more(pairs, key) for key in ("query_recall_at_budget", "false_alarms_at_budget")]
        kept = [_kept([pair[i] for pair in pairs]) for i in (0, 1)]
        lines.append(f"| {' | '.join((*case, f'{mean:.1f}', *more, *kept))} |")
    return "\n".join(lines)


def _name(row: dict[str, Any]) -> Any:
    scenario = row["scenario"].replace(TEN, THREE)
    return scenario, row["variant"], row["seed"], row["student"], *row["query"]


def _kept(rows: Rows) -> str:
    """In how many queries both limits held on test images: the mean's, and a single class's."""
    mean, worst = (sum(bool(r[k]) for r in rows) for k in ("mean_kept_on_test", "worst_kept_on_test"))
    return f"{mean}, {worst} of {len(rows)}"


def blocks(folder: Path = PLACE) -> dict[str, str]:
    """By name, of what is there."""
    found: dict[str, str] = {}
    rows = {name: _all(folder, files) for name, files in PARTS.items()}
    for name, mine in rows.items():
        if mine:
            found |= {f"{name}_targets".strip("_"): targets(mine), name or "all": scenario_tables(mine)}
    if ten := _all(folder, (TEN_FOLDS,)):
        found["ten_folds"] = ten_folds(rows["stages"], ten)
    return found | ({"label_lists": label_lists(_rows(folder / LISTS))} if (folder / LISTS).is_file() else {})


def _all(folder: Path, files: tuple[str, ...]) -> Rows:
    return [row for file in files if (folder / file).is_file() for row in _rows(folder / file)]


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
