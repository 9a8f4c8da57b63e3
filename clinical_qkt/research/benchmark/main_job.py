"""The main job over several seeds: query recall and forgetting, before and after, with intervals.

    python -m clinical_qkt.research.benchmark.main_job [--data FILE] [--bundle NAME]
        [--sites N] [--classes-per-site N] [--from models|statistics|private] [--query CLASS …]
        [--seeds 0,1,2] [--out DIR]

Each seed deals the classes to the hospitals anew. With several queries each of them is asked for in turn, by
the hospital that most others can teach. What is done is not run again, so that a benchmark that was cut off
goes on where it stopped.
"""

from __future__ import annotations

import itertools
import platform
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from rich.console import Console

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.version import __version__
from clinical_qkt.research.demo import run_demo
from clinical_qkt.research.simulated_sites import BUNDLE, DemoSettings
from clinical_qkt.review.summary_schema import TransferSummary


def run(
    settings: DemoSettings, seeds: list[int], queries: list[str], out: Path, console: Console
) -> dict[str, Any]:
    """Run the demo for each seed and query, and write ``results.json`` and ``results.md``.

    Args:
        settings: of every demo, but for seed and query.
        queries: classes that are asked for one by one; if empty, each seed asks for the one of its choice.
    """
    rows: list[dict[str, Any]] = []
    for seed, query in itertools.product(seeds, queries or [""]):
        folder = out / f"seed_{seed}" / query.replace(" ", "_")
        chosen = replace(settings, seed=seed, query=(query,) if query else ())
        try:
            summary = run_demo(chosen, folder, overwrite=False, keep=True, console=console)
        except QueryError as e:  # as dealt by this seed, nobody lacks the class
            console.print(f"seed {seed}, {query}: left out: {e.problem}", markup=False)
            continue
        rows.append(
            {
                "seed": seed,
                "student": summary.student.site,
                "query": summary.student.query,
                "relevant_teachers": _teachers(summary),
                "query_recall_before": summary.before.query_recall,
                "query_recall": summary.after.query_recall,
                "false_alarms": summary.after.false_alarms.overall.share,
                "retained_recall": summary.after.retained_recall,
                "forgetting_mean": summary.forgetting.mean,
                "forgetting_worst": summary.forgetting.worst,
                "budget_kept": summary.method.fit.state != "not kept",
                "verdict": summary.verdict,
                "bytes_received": summary.bytes_received,
                "transfer_seconds": round(sum(summary.seconds.values()), 1),
            }
        )
    if not rows:
        raise InputError("none of the queries can be asked", where="--query", fix="leave it out")
    content = {
        "data": summary.data.name,
        "bundle": settings.bundle,
        "gained_from": settings.gained_from,
        "generated": summary.data.generated,
        "rows": rows,
        "mean": {
            k: interval([r[k] for r in rows])
            for k in ("query_recall", "false_alarms", "forgetting_mean", "forgetting_worst")
        },
        "environment": {
            "clinical_qkt": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": summary.device,
        },
    }
    write_json(out / "results.json", content)
    write_text(out / "results.md", table(content))
    return content


def _teachers(summary: TransferSummary) -> int:
    """Hospitals that could teach a queried class: with their models, or with statistics."""
    answered = [a for a in summary.responses if any(c.kind for c in a.classes)]
    return len(answered) if summary.responses else sum(t.relevant for t in summary.teachers)


def interval(values: list[float], resamples: int = 2000) -> dict[str, float]:
    """Mean and 95 % bootstrap interval over the queries."""
    drawn = np.random.default_rng(0).choice(values, (resamples, len(values))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def table(content: dict[str, Any]) -> str:
    """The results as a Markdown table; recall, false alarms and forgetting in points."""
    heads = (
        "| seed | student asks for | teachers used | query recall before | after | false alarms | "
        "forgetting, mean | worst | kept | verdict |"
    )
    lines = [
        f"Data: {content['data']}{', generated' if content['generated'] else ''}.",
        "",
        heads,
        "| --- " * 10 + "|",
    ]
    for r in content["rows"]:
        keys = (
            "query_recall_before",
            "query_recall",
            "false_alarms",
            "forgetting_mean",
            "forgetting_worst",
        )
        figures = [r[k] for k in keys]
        asked = f"{r['student']}: {', '.join(r['query'])}"
        lines.append(
            f"| {r['seed']} | {asked} | {r['relevant_teachers']} | "
            + " | ".join(f"{100 * f:.1f}" for f in figures)
            + f" | {'yes' if r['budget_kept'] else 'no'} | {r['verdict']} |"
        )
    for key, m in content["mean"].items():
        text = " to ".join(f"{100 * m[k]:.1f}" for k in ("low", "high"))
        lines.append(
            f"\n{key.replace('_', ' ')}: mean {100 * m['mean']:.1f}, 95 % interval over queries {text}"
        )
    return "\n".join(lines) + "\n"


def main(
    data: Annotated[Path | None, typer.Option(help="As for `clinical-qkt demo`.")] = None,
    bundle: Annotated[str, typer.Option(help="As for `clinical-qkt demo`.")] = BUNDLE,
    sites: Annotated[int, typer.Option(min=2)] = 4,
    classes_per_site: Annotated[int | None, typer.Option()] = None,
    gained_from: Annotated[Literal["models", "statistics", "private"], typer.Option("--from")] = "models",
    query: Annotated[list[str] | None, typer.Option(help="Asked for alone; again for more.")] = None,
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "0,1,2",
    out: Annotated[Path, typer.Option()] = Path("runs/benchmark"),
) -> None:
    """Query recall and forgetting of the main job over seeds."""
    if not all(s.strip().isdigit() for s in seeds.split(",")):
        raise InputError(
            f"'{seeds}' is not a list of numbers", where="--seeds", fix="write e.g. --seeds 0,1,2"
        )
    console = Console()
    settings = DemoSettings(
        data=data, bundle=bundle, sites=sites, classes_per_site=classes_per_site, gained_from=gained_from
    )
    content = run(settings, [int(s) for s in seeds.split(",")], query or [], out, console)
    console.print(table(content), soft_wrap=True, markup=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
