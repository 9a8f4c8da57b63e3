"""The published comparisons at a forgetting budget: blocks of the pages of results and of the README.

Run in a checkout, after ``clinical_qkt.research.benchmark.gathered`` has put the rows into
``docs/results/budget``: ``python -m clinical_qkt.documentation.comparison_pages``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_qkt.core.files import write_text
from clinical_qkt.documentation.schema_tables import between_marks
from clinical_qkt.research.benchmark import tables
from clinical_qkt.research.benchmark.gathered import PLACE

BY = "clinical_qkt.documentation.comparison_pages"
README, BUDGET, GENERALITY = (
    Path("README.md"),
    Path("docs/results/budget.md"),
    Path("docs/results/generality.md"),
)

Rows = list[dict[str, Any]]
Where = tuple[str, str]
"""A file's name and a scenario in it."""

SETS: dict[Where, str] = {
    ("blood-cells", "single_class"): "blood cells, one class",
    ("blood-cells", "three_classes"): "blood cells, three classes",
    ("cifar10", "single_class"): "cifar10_32, one class",
    ("body-regions", "body_single_class"): "body regions, one class",
    ("phantoms", "phantoms_four_sites"): "phantoms, one class",
}
TARGETS: dict[str, dict[Where, int]] = {
    variant: dict(zip(SETS, wanted, strict=False))
    for variant, wanted in {
        "statistics": (97, 93, 65),
        "committee": (94, 90, 60),
        "private": (89, 82, 45),
        "distil": (90, 82, 50),
    }.items()
}
"""Query recall at 2 points, in percent, that was wanted before anything was measured; of the first three."""
FEDPROX: dict[Where, str] = {
    ("blood-cells", "single_class"): "fedprox",
    ("cifar10", "single_class"): "fedprox-cifar10",
}
"""Files with the rows of FedProx, which answered fewer queries."""
HANDED_OVER = {
    "statistics": "statistics of their images of the class",
    "private": "the same, a (1, 10⁻⁵)-private mean from each",
    "committee": "their models",
    "distil": "the same, kept as one network of the usual size",
    "light": "one model, its weights in half precision",
    "masked_ensemble": "their models, asked one by one (masked ensemble)",
    "fedprox": "weights averaged over ten rounds (FedProx)",
}


def published(folder: Path = PLACE) -> dict[Where, Rows]:
    """The rows of every set and scenario that was measured."""
    found: dict[Where, Rows] = {}
    for name, scenario in SETS:
        rows = [r for r in _content(folder, name).get("rows", []) if r["scenario"] == scenario]
        if rows:
            found[name, scenario] = rows
    return found


def targets(found: dict[Where, Rows]) -> str:
    """What was wanted and what was reached, beside what the best biases would have given."""
    lines = [
        "| data | variant | wanted | reached | missed by | best possible | left on the table "
        "| mean kept on test | worst class kept |",
        "| --- " * 9 + "|",
    ]
    for where, rows in found.items():
        for variant, wanted in TARGETS.items():
            mine = _of(rows, variant)
            if where in wanted and mine:
                lines.append(f"| {SETS[where]} | {variant} | {_against(mine, wanted[where])} |")
    return "\n".join(lines)


def of_scenario(rows: Rows) -> str:
    """All tables of one scenario."""
    return "\n".join([f"{tables.asked(rows)}.", *tables.of_scenario(rows)])


def beside_fedprox(found: dict[Where, Rows], fedprox: dict[Where, Rows]) -> str:
    """FedProx, and our variants on the very queries that it answered."""
    keys = ("query_recall_at_budget", "false_alarms_at_budget", "forgetting_at_budget")
    lines = [
        "| data | method | query recall | false alarms | forgotten | mean kept on test |",
        "| --- " * 6 + "|",
    ]
    for where, theirs in fedprox.items():
        asked = {_query(r) for r in theirs}
        mine = [r for r in found[where] if _query(r) in asked and r["variant"] in TARGETS]
        for method in ("fedprox", *TARGETS):
            if not (rows := _of([*theirs, *mine], method)):
                continue
            told = " | ".join(tables.mean_told(rows, key) for key in keys)
            kept = tables.count(rows, "mean_kept_on_test", len(rows))
            lines.append(f"| {SETS[where]} | {method} | {told} | {kept} |")
    return "\n".join(lines)


def generality(found: dict[Where, Rows], fedprox: dict[Where, Rows] | None = None) -> str:
    """Query recall at the budget of every method on every set, and in how many queries the promise held.

    Args:
        fedprox: its rows on some of the queries.
    """
    found = {where: [*rows, *(fedprox or {}).get(where, [])] for where, rows in found.items()}
    methods = list(dict.fromkeys(r["variant"] for rows in found.values() for r in rows))
    lines = [f"| method | {' | '.join(SETS[where] for where in found)} |", "| --- " * (len(found) + 1) + "|"]
    for method in methods:
        cells = [_held(_of(rows, method)) for rows in found.values()]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    asked = "; ".join(f"{SETS[w]}: {tables.asked(_but_fedprox(rows))}" for w, rows in found.items())
    return "\n".join([*lines, "", f"{asked}."])


def headline(rows: Rows) -> str:
    """The README's table, of one set."""
    most = max(len(_of(rows, variant)) for variant in HANDED_OVER)
    lines = [
        f"{tables.asked(_but_fedprox(rows))}; a hospital may lose 2 points of recall on its own classes:",
        "",
        "| what the others hand over | received | of 100 images of a class never seen before, recognised "
        "| of 100 other images, falsely called so | points lost | at most 2 lost on test images |",
        "| --- " * 6 + "|",
    ]
    for variant, what in HANDED_OVER.items():
        mine = _of(rows, variant)
        if mine:
            keys = ("query_recall_at_budget", "false_alarms_at_budget")
            told = [tables.mean_told(mine, key) for key in keys]
            lost = f"{100 * _mean(mine, 'forgetting_at_budget'):.1f}"
            kept = tables.count(mine, "mean_kept_on_test", len(mine))
            received = _bytes(_mean(mine, "bytes_received"))
            if len(mine) < most:
                what = f"{what}, on {len(mine)} of these queries"
            lines.append(f"| {what} | {received} | {told[0]} | {told[1]} | {lost} | {kept} |")
    return "\n".join(lines)


def blocks(folder: Path = PLACE) -> dict[Path, dict[str, str]]:
    """By page and by name."""
    found = published(folder)
    fedprox = {where: rows for where in FEDPROX if (rows := _fedprox(folder, where))}
    single = found["blood-cells", "single_class"]
    content = _content(folder, "blood-cells")
    parts = {f"{name}_{scenario}".replace("-", "_"): rows for (name, scenario), rows in found.items()}
    told = {name: of_scenario(rows) for name, rows in parts.items()}
    return {
        README: {"headline": headline([*single, *fedprox.get(("blood-cells", "single_class"), [])])},
        BUDGET: {
            "foreword": tables.foreword(content),
            "targets": targets(found),
            **({"fedprox": beside_fedprox(found, fedprox)} if fedprox else {}),
            **{name: told[name] for name in told if name.startswith(("blood", "cifar10"))},
        },
        GENERALITY: {
            "generality": generality(found, fedprox),
            **{name: told[name] for name in told if not name.startswith(("blood", "cifar10"))},
        },
    }


def _content(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def _fedprox(folder: Path, where: Where) -> Rows:
    return [r for r in _content(folder, FEDPROX[where]).get("rows", []) if r["scenario"] == where[1]]


def _but_fedprox(rows: Rows) -> Rows:
    return [r for r in rows if r["variant"] != "fedprox"]


def _query(row: dict[str, Any]) -> str:
    return json.dumps([row[key] for key in ("scenario", "seed", "student", "query")])


def _of(rows: Rows, variant: str) -> Rows:
    return [r for r in rows if r["variant"] == variant and r["query_recall"] is not None]


def _mean(rows: Rows, key: str) -> float:
    return float(np.mean([r[key] for r in rows]))


def _against(rows: Rows, wanted: int) -> str:
    reached = 100 * _mean(rows, "query_recall_at_budget")
    cells: Sequence[str] = (
        f"{wanted}",
        tables.mean_told(rows, "query_recall_at_budget"),
        f"{wanted - reached:.1f}" if reached < wanted else "reached",
        f"{100 * _mean(rows, 'query_recall_at_oracle'):.1f}",
        tables.left(rows),
        tables.count(rows, "mean_kept_on_test", len(rows)),
        tables.count(rows, "worst_kept_on_test", len(rows)),
    )
    return " | ".join(cells)


def _held(rows: Rows) -> str:
    if not rows:
        return "–"
    kept = tables.count(rows, "mean_kept_on_test", len(rows))
    return f"{tables.mean_told(rows, 'query_recall_at_budget')}; {kept}"


def _bytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 5e4 else f"{count / 1e3:.0f} kB"


def main() -> None:
    """Write what is made of the published rows."""
    for path, made in blocks().items():
        page = path.read_text(encoding="utf-8")
        for name, block in made.items():
            page = between_marks(page, BY, name, block)
        write_text(path, page)


if __name__ == "__main__":
    main()
