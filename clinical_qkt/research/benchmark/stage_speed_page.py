"""Tables of what ``stage_speed`` measured, for a page.

    python -m clinical_qkt.research.benchmark.stage_speed_page docs/results/speed_processor.json

prints them; tests/research/benchmark/test_stage_speed.py compares them with docs/results/speed.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_qkt.core.exit_codes import exit_codes

Row = Mapping[str, Any]
GOAL, READING_GOAL = 1.3, 2.0
"""Times the bare work that a stage may take; reading goes through checks that the bare work leaves out."""
READING = "reading JPEG pictures"


def tables(found: Row) -> str:
    """What was measured, in Markdown."""
    parts = [_stages(found["stages"]), _reached(found["stages"])]
    return "\n\n".join([*parts, _fixed(found["fixed"])] if "fixed" in found else parts)


def line_of(row: Row) -> str:
    """One stage at one size for a terminal.

    >>> line_of({"pixels": 28, "what": "training", "ours": 0.0026, "bare": 0.002})
    '28 pixels, training: 2.60 ms an image, bare 2.00 ms: 1.30 times'
    """
    ours, bare = 1000 * row["ours"], 1000 * row["bare"]
    return (
        f"{row['pixels']} pixels, {row['what']}: {ours:,.2f} ms an image, bare {bare:,.2f} ms: "
        f"{ours / bare:.2f} times"
    )


def _stages(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys((row["network"], row["pixels"]) for row in rows))
    cells = {(row["what"], row["pixels"]): row for row in rows}
    heads = [f"`{network}`, {pixels}" for network, pixels in columns]
    lines = [_line(["ours / bare (ms an image, bare)", *heads]), _line(["---", *["---:"] * len(heads)])]
    for what in dict.fromkeys(row["what"] for row in rows):
        told = [cells.get((what, pixels)) for _, pixels in columns]
        lines.append(_line([what, *("" if row is None else _cell(row) for row in told)]))
    return "\n".join(lines)


def _cell(row: Row) -> str:
    return f"{_ratio(row):.2f} ({1000 * row['bare']:,.3g})"


def _reached(rows: Sequence[Row]) -> str:
    above = [row for row in rows if round(_ratio(row), 2) > _goal(row)]
    told = "; ".join(f"{row['what']} at {row['pixels']} pixels" for row in above)
    return (
        f"Above {GOAL:g} times the bare work, reading above {READING_GOAL:g}: "
        f"{len(above)} of {len(rows)}{': ' + told if told else ''}."
    )


def _goal(row: Row) -> float:
    return READING_GOAL if row["what"] == READING else GOAL


def _ratio(row: Row) -> float:
    return float(row["ours"] / row["bare"])


def _fixed(found: Row) -> str:
    lines = [_line(["of a tiny transfer", "CPU seconds"]), _line(["---", "---:"])]
    lines += [_line([what, f"{seconds:.1f}"]) for what, seconds in found.items()]
    return "\n".join(lines)


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main(file: Annotated[Path, typer.Argument()]) -> None:
    """Print the tables of a file that ``stage_speed`` wrote."""
    print(tables(json.loads(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
