"""The table of what ``scale`` measured, for a page.

    python -m clinical_qkt.research.benchmark.scale_page docs/results/scale_512.json

prints it; tests/research/benchmark/test_scale.py compares it with docs/results/scale.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.research.benchmark.scale import table


def main(file: Annotated[Path, typer.Argument()]) -> None:
    """Print the table of a file that ``scale`` wrote."""
    print(table(json.loads(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
