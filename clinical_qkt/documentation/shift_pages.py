"""The published comparison between hospitals whose images look different: blocks of its page.

Run in a checkout, after ``clinical_qkt.research.benchmark.gathered`` has put the rows into
``docs/results/shift``: ``python -m clinical_qkt.documentation.shift_pages``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from clinical_qkt.core.files import write_text
from clinical_qkt.data.look_shared import NEGLIGIBLE
from clinical_qkt.documentation.schema_tables import between_marks
from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.evidence.looks import BEYOND, UNKNOWN, judged, together
from clinical_qkt.evidence.parts import SiteLook
from clinical_qkt.research.benchmark import tables

BY = "clinical_qkt.documentation.shift_pages"
PLACE, PAGE = Path("docs/results/shift"), Path("docs/results/shift.md")

Rows = list[dict[str, Any]]

BY_LEVEL = ("methods", "rivals", "others")
BY_SCENARIO = ("training", "real", "elsewhere", "elsewhere_parts", "magnification", "hard")
"""Files whose rows are one block each, named like them."""
FILES = ("shift", "models", "three_classes", "no_remedy", *BY_LEVEL, *BY_SCENARIO)
"""Without their ending; what is not there yet has no block."""
OF_ALL = "distil"
"""What was run with all methods alone."""
LEVELS = ("none", "mild", "medium", "strong")
WANTED: dict[str, tuple[int, ...]] = {
    "statistics": (98, 95, 93, 88),
    "private": (91, 85, 80, 70),
    "committee": (95, 93, 92, 90),
    "distil": (91, 88, 85, 75),
}
"""Query recall at 2 points, in percent, that was wanted before anything was measured, by level."""
WANTED_OF_THREE = {"statistics": (92, 88, 85, 75)}
"""The same where three classes are asked for."""
GOOD = 0.7
"""Query recall that a transfer without a warning should keep."""
FIGURES = {
    "Query recall at the budget": "query_recall_at_budget",
    "False alarms": "false_alarms_at_budget",
    "Forgotten": "forgetting_at_budget",
}


def by_level(rows: Rows, prefix: str = "") -> str:
    """Every method at every level: recall, false alarms, what is forgotten, and what was kept.

    Args:
        prefix: of the scenarios' names.
    """
    levels = [level for level in LEVELS if any(r["scenario"] == prefix + level for r in rows)]
    methods = list(dict.fromkeys(r["variant"] for r in rows))
    lines: list[str] = []
    for title, key in FIGURES.items():
        cells = {m: [_told(_of(rows, prefix + x, m), key) for x in levels] for m in methods}
        lines += _table(title, levels, cells)
    single = {m: [_single(_of(rows, prefix + level, m)) for level in levels] for m in methods}
    lines += _table("Query recall at the budget: the median query, and the worst", levels, single)
    kept = {m: [_kept(_of(rows, prefix + level, m)) for level in levels] for m in methods}
    lines += _table("Kept on test images: mean, and every class, of so many queries", levels, kept)
    asked = "; ".join(
        f"{level}: {tables.asked([r for r in rows if r['scenario'] == prefix + level])}" for level in levels
    )
    return "\n".join([*lines, "", f"{asked}."]).strip()


def targets(rows: Rows) -> str:
    """What was wanted beside what was reached."""
    heads = "| asked for | variant | shift | queries | wanted | reached | missed by |"
    lines = [heads, "| --- " * 7 + "|"]
    for asked, prefix, wanted in (
        ("one class", "", WANTED),
        ("three classes", "three_classes_", WANTED_OF_THREE),
    ):
        for variant, figures in wanted.items():
            for level, figure in zip(LEVELS, figures, strict=True):
                if mine := _of(rows, prefix + level, variant):
                    told = tables.mean_told(mine, "query_recall_at_budget")
                    missed = figure - float(told.split(" ")[0])
                    by = f"{missed:.1f}" if missed > 0 else "reached"
                    row = (asked, variant, level, len(mine), figure, told, by)
                    lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def scenario_tables(rows: Rows) -> str:
    """Of other scenarios: a table each, recall, false alarms, what is forgotten and kept."""
    lines: list[str] = []
    for scenario in dict.fromkeys(r["scenario"] for r in rows):
        mine = [r for r in rows if r["scenario"] == scenario]
        cells: dict[str, list[str]] = {}
        for method in dict.fromkeys(r["variant"] for r in mine):
            some = _of(mine, scenario, method)
            cells[method] = [*(_told(some, key) for key in FIGURES.values()), _kept(some)]
        lines += _table(f"{scenario}: {tables.asked(mine)}", [*FIGURES, "kept: mean, every class"], cells)
    return "\n".join(lines).strip()


def warnings(rows: Rows) -> str:
    """Whether the verdict's limits tell good transfers from bad ones, by the figures that a site would see.

    Of ``length`` nothing is known here: the rows do not hold it.
    """
    heads = (
        "queries warned of",
        "of those without a warning, recall above 70",
        "of those warned of, the same",
    )
    cells: dict[str, list[str]] = {}
    for method in ("statistics", "private"):
        for scenario in dict.fromkeys(r["scenario"] for r in rows):
            mine = [r for r in _of(rows, scenario, method) if r.get("looks")]
            if mine:
                cells[f"{method}, {scenario}"] = _warned(mine)
    every = [r for r in rows if r["variant"] in ("statistics", "private") and r.get("looks")]
    if every:
        cells["all"] = _warned(every)
    return "\n".join(_table("", heads, cells, first="answers, scenario")).strip()


def warned(row: dict[str, Any]) -> bool:
    """Whether some answer that was used lies beyond the limits, or is not known.

    >>> look = {"distance": 0.1, "shared": 1, "residual": None}
    >>> warned({"looks": [look]}), warned({"looks": [look, {**look, "distance": 3.0, "residual": 2.0}]})
    (False, True)
    """
    sites = judged(LookLimits(), [_site(look, i) for i, look in enumerate(row["looks"])]).sites
    return together(sites) in (BEYOND, UNKNOWN)


def blocks(folder: Path = PLACE) -> dict[str, str]:
    """By name, of what is there."""
    rows = {file: _rows(folder, file) for file in FILES}
    single, models, three = rows["shift"], rows["models"], rows["three_classes"]
    distilled = [r for r in rows["methods"] if r["variant"] == OF_ALL]
    found = {
        "targets": targets([*single, *models, *distilled, *three]),
        "shift": by_level([*single, *models, *rows["no_remedy"]]),
        "warnings": warnings([*single, *three, *rows["real"]]),
    }
    if three:
        found["three_classes"] = by_level(three, "three_classes_")
    found |= {file: by_level(rows[file]) for file in BY_LEVEL if rows[file]}
    found |= {file: scenario_tables(rows[file]) for file in BY_SCENARIO if rows[file]}
    return found


def _warned(rows: Rows) -> list[str]:
    silent, loud = ([r for r in rows if warned(r) is w] for w in (False, True))
    return [f"{len(loud)} of {len(rows)}", _good(silent), _good(loud)]


def _good(rows: Rows) -> str:
    return f"{sum(r['query_recall_at_budget'] > GOOD for r in rows)} of {len(rows)}"


def _site(look: dict[str, Any], place: int) -> SiteLook:
    mapped = look["distance"] is not None and look["distance"] > NEGLIGIBLE
    return SiteLook(
        site=str(place),
        gave="statistics",
        query="c",
        used=True,
        shared=["c"] * look["shared"],
        distance=look["distance"],
        mapped=mapped,
        left=look["residual"],
        length=None,
    )


def _told(rows: Rows, key: str) -> str:
    return tables.mean_told(rows, key) if rows else "–"


def _single(rows: Rows) -> str:
    found = [100 * r["query_recall_at_budget"] for r in rows]
    return f"{median(found):.1f}, {min(found):.1f}" if found else "–"


def _kept(rows: Rows) -> str:
    if not rows:
        return "–"
    mean, worst = (sum(bool(r[k]) for r in rows) for k in ("mean_kept_on_test", "worst_kept_on_test"))
    return f"{mean}, {worst} of {len(rows)}"


def _of(rows: Rows, scenario: str, method: str) -> Rows:
    return [
        r
        for r in rows
        if r["scenario"] == scenario and r["variant"] == method and r["query_recall"] is not None
    ]


def _table(
    title: str,
    heads: Iterable[str],
    cells: dict[str, Sequence[str]] | dict[str, list[str]],
    first: str = "method",
) -> list[str]:
    heads = list(heads)
    lines = ["", f"### {title}", ""] if title else []
    lines += [f"| {first} | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    return [*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in cells.items())]


def _rows(folder: Path, name: str) -> Rows:
    path = folder / f"{name}.json"
    found: Rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return found


def main() -> None:
    """Write what is made of the published rows."""
    page = PAGE.read_text(encoding="utf-8")
    for name, block in blocks().items():
        page = between_marks(page, BY, name, block)
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
