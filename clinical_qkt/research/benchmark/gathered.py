"""What a comparison has so far, in one file for publication: those queries that every method has answered.

    python -m clinical_qkt.research.benchmark.gathered CONFIG RUN NAME --data FILE

reads the rows under ``RUN``, the ``--out`` of ``clinical-qkt benchmark``, finished or not, and writes
``docs/results/budget/NAME.json`` and a figure for each scenario beside it; ``--place`` and ``--no-curves``
put it elsewhere and leave the curves out. It computes nothing anew.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib import pyplot as plt

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import write_text, write_whole
from clinical_qkt.research.benchmark.compare import circumstances, row_name
from clinical_qkt.research.benchmark.config import BenchmarkConfig, Scenario, only, read_config
from clinical_qkt.research.benchmark.results import draw_trade
from clinical_qkt.research.benchmark.rows import scenarios

PLACE = Path("docs/results/budget")
DIGITS = 6
"""After the point."""


def gather(config: BenchmarkConfig, run: Path, data: str, *, generated: bool = False) -> dict[str, Any]:
    """As ``results.json`` has it, but without masks.

    Args:
        data: its name.

    Raises:
        InputError: there is no query that every method has answered.
    """
    rows = [r for s in config.scenarios for seed in config.seeds for r in _rows(config, run, s, seed)]
    if not rows:
        raise InputError(
            "holds no query that every method of the config has answered",
            where=str(run / "rows"),
            fix="run `clinical-qkt benchmark` with this config and this --out for longer",
        )
    given = {"name": config.name, "data": data, "generated": generated, "rows": rows, "masks": []}
    return given | circumstances(config)


def text(content: dict[str, Any]) -> str:
    """JSON with a line a row, so that a file of some hundred rows can still be read; shares to ``DIGITS``."""
    rows = ",\n".join(json.dumps(_short(row), ensure_ascii=False, allow_nan=False) for row in content["rows"])
    head = json.dumps({**content, "rows": []}, indent=1, ensure_ascii=False, allow_nan=False)
    return head.replace('"rows": []', f'"rows": [\n{rows}\n ]', 1) + "\n"


def write(content: dict[str, Any], name: str, place: Path = PLACE) -> None:
    """The file, and a figure of query recall against forgetting for each scenario."""
    write_text(place / f"{name}.json", text(content))
    for scenario in scenarios(content):
        rows = [r for r in content["rows"] if r["scenario"] == scenario and r["query_recall"] is not None]
        figure = draw_trade(rows, f"{name}, {scenario}", content["config"]["forgetting_budget"])
        write_whole(place / f"{name}-{scenario}.png", partial(figure.savefig, format="png", dpi=80))
        plt.close(figure)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in row.items()}


def _rows(config: BenchmarkConfig, run: Path, scenario: Scenario, seed: int) -> list[dict[str, Any]]:
    names = [row_name(config, scenario, seed, label) for label in config.methods]
    queries = sorted((run / "rows" / scenario.name / f"seed_{seed}").glob("*"))
    whole = [q for q in queries if all((q / name).is_file() for name in names)]
    return [json.loads((q / name).read_text(encoding="utf-8")) for q in whole for name in names]


def main(
    config: Annotated[Path, typer.Argument(help="Such as configs/benchmarks/budget.yaml.")],
    run: Annotated[Path, typer.Argument(help="The --out of `clinical-qkt benchmark`.")],
    name: Annotated[str, typer.Argument(help="Of the file.")],
    data: Annotated[Path | None, typer.Option(help="As for `clinical-qkt benchmark`.")] = None,
    seeds: Annotated[str | None, typer.Option(help="As for `clinical-qkt benchmark`.")] = None,
    methods: Annotated[str | None, typer.Option(help="As for `clinical-qkt benchmark`.")] = None,
    scenarios: Annotated[str | None, typer.Option(help="Some of the config's, by name.")] = None,
    place: Annotated[Path, typer.Option(help="A folder for it.")] = PLACE,
    curves: Annotated[bool, typer.Option(help="Recall against forgetting, in rows and as figures.")] = True,
) -> None:
    """Gather what is there."""
    given = read_config(config, seeds=None if seeds is None else seeds.split(","))
    given = only(given, None if methods is None else methods.split(","))
    if scenarios is not None:
        some = [s for s in given.scenarios if s.name in scenarios.split(",")]
        given = given.model_copy(update={"scenarios": some})
    called = "blood-cell phantoms" if data is None else data.stem
    found = gather(given, run, called, generated=data is None)
    if curves:
        write(found, name, place)
        return
    rows = [{key: value for key, value in row.items() if key != "trade"} for row in found["rows"]]
    write_text(place / f"{name}.json", text({**found, "rows": rows}))


if __name__ == "__main__":
    typer.run(main)
