"""Tables of what ``gpu`` measured, for a page.

    python -m clinical_qkt.research.benchmark.gpu_page docs/results/speed.json

prints them; tests/research/benchmark/test_gpu.py compares them with docs/results/speed.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_qkt.core.exit_codes import exit_codes

Row = Mapping[str, Any]
GOAL = 0.9
"""Of a bare loop's images a second."""


def tables(found: Mapping[str, Any]) -> str:
    """What was measured, in Markdown."""
    parts = [_about(found), _trainings(found["training"])]
    return "\n\n".join([*parts, _work(found["work"])] if found["work"] else parts)


def training_line(row: Row) -> str:
    """One training for a terminal."""
    ways = "  ".join(f"{way} {_count(told['images_per_second'])}/s" for way, told in row["ways"].items())
    what = f"{row['network']} {row['pixels']} pixels, batch {row['batch']}, {row['precision']}"
    waits = "" if row["waits"] is None else f"  waits {row['waits']} in {row['steps']} steps"
    return f"{what}: {ways}{waits}"


def work_line(row: Row) -> str:
    """The same for anything else."""
    return (
        f"{row['network']} {row['pixels']} pixels, {row['what']}: {_count(row['images_per_second'])} images/s"
    )


def _about(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items() if number)
    memory = f", {found['memory_gb']} GB" if found["memory_gb"] else ""
    mixed = f", mixed precision in {found['mixed_precision']}" if found["mixed_precision"] else ""
    return f"{found['device']}{memory}, {found['cores']} processor cores{mixed}; {versions}."


def _trainings(rows: Sequence[Row]) -> str:
    ways = list(rows[0]["ways"])
    compared = "bare" in ways
    names = ["network", "pixels", "batch", "precision", *ways, *(["ours / bare"] if compared else [])]
    lines = [_line([*names, "busy", "memory", "waits"]), _line(["---"] * (len(names) + 3))]
    for row in rows:
        ours, rates = row["ways"]["ours"], [row["ways"][way]["images_per_second"] for way in ways]
        lines.append(
            _line(
                [
                    f"`{row['network']}`",
                    *(row[key] for key in ("pixels", "batch", "precision")),
                    *map(_count, rates),
                    *([f"{100 * _share(row):.0f} %"] if compared else []),
                    "" if ours["busy"] is None else f"{ours['busy']} %",
                    "" if ours["memory_gb"] is None else f"{ours['memory_gb']:.1f} GB",
                    "" if row["waits"] is None else f"{row['waits']} in {row['steps']}",
                ]
            )
        )
    return "\n".join([*lines, *(["", _reached(rows)] if compared else [])])


def _reached(rows: Sequence[Row]) -> str:
    shares = [_share(row) for row in rows]
    enough = sum(share >= GOAL for share in shares)
    return (
        f"Ours reaches at least {100 * GOAL:.0f} % of the bare loop in {enough} of {len(rows)} cases, "
        f"{100 * min(shares):.0f} % at least."
    )


def _share(row: Row) -> float:
    ways = row["ways"]
    return float(ways["ours"]["images_per_second"] / ways["bare"]["images_per_second"])


def _work(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys((row["network"], row["pixels"]) for row in rows))
    rates = {(row["what"], row["network"], row["pixels"]): row["images_per_second"] for row in rows}
    names = [f"`{network}`, {pixels}" for network, pixels in columns]
    lines = [_line(["images a second", *names]), _line(["---", *["---:"] * len(columns)])]
    for what in dict.fromkeys(row["what"] for row in rows):
        cells = [rates.get((what, *column)) for column in columns]
        lines.append(_line([what, *("" if cell is None else _count(cell) for cell in cells)]))
    return "\n".join(lines)


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _count(rate: float) -> str:
    """Three digits are more than a second run would repeat.

    >>> _count(123456.7), _count(87.25)
    ('123,000', '87.2')
    """
    digits = 3 - len(str(int(rate)))
    return f"{round(rate, digits):,.{max(0, digits)}f}"


def main(file: Annotated[Path, typer.Argument()]) -> None:
    """Print the tables of a file that ``gpu`` wrote."""
    print(tables(json.loads(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
