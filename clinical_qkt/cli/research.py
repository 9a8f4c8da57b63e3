"""The commands for research: simulated hospitals, comparisons of methods, attacks, phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from clinical_qkt.cli.paths import require_exists
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.renamed import warn

console = Console()


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="An .npz file, a folder with one sub-folder per class, or a datalist. Default: phantoms."
        ),
    ] = None,
    sites: Annotated[int, typer.Option(min=2, help="Number of simulated hospitals.")] = 4,
    classes_per_site: Annotated[
        int | None, typer.Option(help="Classes at each. Default: three fifths.")
    ] = None,
    student: Annotated[str | None, typer.Option(help="The hospital that asks, e.g. hospital_1.")] = None,
    query: Annotated[list[str] | None, typer.Option(help="A class it asks for; can be given again.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same one gives the same figures.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("runs/demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo in that folder.")
    ] = False,
    max_per_class: Annotated[
        int, typer.Option(min=20, help="Training images used of each class, at most.")
    ] = 2500,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each training.")] = None,
    allow_mixed_sizes: Annotated[
        bool, typer.Option("--allow-mixed-sizes", help="Images may differ in size.")
    ] = False,
    gained_from: Annotated[
        Literal["models", "statistics", "private"],
        typer.Option("--from", help="What the others give: their models, exact statistics, private means."),
    ] = "models",
    answers: Annotated[
        Literal["models", "statistics", "private"] | None, typer.Option("--answers", hidden=True)
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Which bundle they run. Default: the one made for such images.")
    ] = None,
    shift: Annotated[
        Literal["none", "mild", "medium", "strong"],
        typer.Option(help="How much the hospitals' pictures differ in look (stain, exposure, sharpness)."),
    ] = "none",
    backbone: Annotated[
        bool,
        typer.Option(
            "--backbone", help="Start from ImageNet's weights, at 96 pixels; the extra `backbones` has them."
        ),
    ] = False,
    exchange: Annotated[
        Literal["folder", "flare"] | None,
        typer.Option(help="Hospitals write letters over this carrier, each in processes of its own."),
    ] = None,
    processes: Annotated[
        bool, typer.Option("--processes", help="Of flare: provisioned processes, not its simulator.")
    ] = False,
) -> None:
    """Simulate hospitals; one gains a class that it has never seen."""
    require_exists(data, where=str(data), fix="check the path given to --data")
    if processes and exchange != "flare":
        raise InputError(
            "are FLARE's", where="--processes", fix="give --exchange flare, too, or leave it out"
        )
    if answers:
        warn("--answers", "--from")
    from clinical_qkt.research.demo import run_demo
    from clinical_qkt.research.simulated_sites import DemoSettings

    settings = DemoSettings(
        data=data,
        sites=sites,
        classes_per_site=classes_per_site,
        student=student,
        query=tuple(query or ()),
        seed=seed,
        max_per_class=max_per_class,
        max_epochs=max_epochs,
        allow_mixed_sizes=allow_mixed_sizes,
        gained_from=answers or gained_from,
        bundle=bundle or "",
        shift=shift,
        backbone=backbone,
        exchange=exchange,
        processes=processes,
    )
    run_demo(settings, out, overwrite=overwrite, console=console)


def benchmark(
    config: Annotated[Path, typer.Argument(help="A YAML file, e.g. configs/benchmarks/quick.yaml.")],
    data: Annotated[Path | None, typer.Option(help="As for `demo`; replaces the config's.")] = None,
    queries: Annotated[int | None, typer.Option(min=1, help="Queries a seed.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Separated by commas.")] = None,
    methods: Annotated[str | None, typer.Option(help="Some of the config's, separated by commas.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for rows, site models and results.")] = Path(
        "runs/comparison"
    ),
) -> None:
    """Compare methods over scenarios, seeds and queries.

    By query recall and forgetting.
    """
    require_exists(config, where=str(config), fix="name a file in configs/benchmarks")
    require_exists(data, where=str(data), fix="check the path given to --data")
    from clinical_qkt.research.benchmark.compare import compare
    from clinical_qkt.research.benchmark.config import only, read_config

    read = read_config(config, data=data, queries=queries, seeds=seeds.split(",") if seeds else None)
    chosen = only(read, [m.strip() for m in methods.split(",")] if methods else None)
    compare(chosen, out, console)
    console.print((out / "results.md").read_text(encoding="utf-8"), soft_wrap=True, markup=False)
    console.print(f"Rows: {out / 'results.json'}  figures: {out / 'figures'}", markup=False)


def audit(
    epsilon: Annotated[float, typer.Option(min=0.01, max=20, help="That is promised.")] = 1.0,
    delta: Annotated[float, typer.Option(help="That is promised.")] = 1e-5,
    releases: Annotated[int, typer.Option(min=100, help="With one patient, and as many without.")] = 20000,
) -> None:
    """Attack the private release: does an answer tell who took part?"""
    from clinical_qkt.audit.releases import print_audit
    from clinical_qkt.privacy.mechanisms import Guarantee

    if not print_audit(console, Guarantee(epsilon, delta), releases):
        raise SystemExit(1)


def phantoms(
    out: Annotated[Path, typer.Argument(help="Folder for one picture of each kind.")],
    seed: Annotated[int, typer.Option(min=0, help="Another one draws other cells.")] = 0,
) -> None:
    """Draw one phantom of each kind of blood cell."""
    from clinical_qkt.data.phantoms import write_examples

    for path in write_examples(out, seed):
        console.print(str(path), markup=False)
