"""The command line.

Exit codes: 0 done, 1 a bug, 2 bad input, 3 package refused, 4 query refused, 5 output folder unusable.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

# One thread serves networks of this size best; whoever has larger ones sets the variable.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import typer
from rich.console import Console

from clinical_qkt import __version__, exchange
from clinical_qkt.errors import QKTError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A hospital gains the classes it lacks from other hospitals' models. No image leaves a hospital.",
)
app.add_typer(exchange.package, name="package")
app.add_typer(exchange.keys, name="keys")
console = Console()


@app.command()
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
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier demo in that folder.")] = False,
    max_per_class: Annotated[
        int, typer.Option(min=20, help="Training images used of each class, at most.")
    ] = 2500,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each training.")] = None,
    allow_mixed_sizes: Annotated[bool, typer.Option(help="Images may differ in size.")] = False,
    answers: Annotated[
        Literal["models", "statistics", "private"],
        typer.Option(help="What the others answer with: their models, exact statistics, private means."),
    ] = "models",
    bundle: Annotated[
        str, typer.Option(help="Which bundle the hospitals run; others than blood cells need --data.")
    ] = "blood_cell_classification",
) -> None:
    """Simulate hospitals and let one gain a class that it has never seen."""
    from clinical_qkt.demo import DemoSettings, run_demo

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
        answers=answers,
        bundle=bundle,
    )
    run_demo(settings, out, overwrite=overwrite, console=console)


@app.command()
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
    """Compare methods: query recall and forgetting over scenarios, seeds and queries."""
    from clinical_qkt.benchmark.compare import compare
    from clinical_qkt.benchmark.config import only, read_config

    read = read_config(config, data=data, queries=queries, seeds=seeds.split(",") if seeds else None)
    chosen = only(read, [m.strip() for m in methods.split(",")] if methods else None)
    compare(chosen, out, console)
    console.print((out / "results.md").read_text(encoding="utf-8"), soft_wrap=True)
    console.print(f"Rows: {out / 'results.json'}  figures: {out / 'figures'}")


@app.command()
def prepare(
    source: Annotated[
        Path, typer.Argument(help="A folder of DICOM, NIfTI or picture files, an .npz file, a datalist.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the datalist, the site's YAML and the summary.")],
    site: Annotated[str, typer.Option(help="The site's pseudonym.")] = "my_hospital",
    labels: Annotated[
        str | None,
        typer.Option(help="'folder', a CSV file (file,label,patient), or a keyword, e.g. BodyPartExamined."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, where the source has none.")] = 0,
    intensity: Annotated[
        Literal["display", "HU", "relative"] | None,
        typer.Option(help="What values mean. Default: display; of NIfTI volumes relative."),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(min=0.05, max=50, help="Of NIfTI volumes, in mm: they are resampled.")
    ] = None,
    voxel_labels: Annotated[
        Path | None, typer.Option(help="Folder of label maps, named as the NIfTI volumes: patches are cut.")
    ] = None,
    parts: Annotated[
        list[str] | None, typer.Option(help="A class and its voxels' value, e.g. anterior=1; again for more.")
    ] = None,
    patch: Annotated[float, typer.Option(min=1, help="Edge of a patch in mm.")] = 24.0,
    patches: Annotated[int, typer.Option(min=1, help="Patches a class and volume, at most.")] = 1,
    neither: Annotated[
        str, typer.Option(help="The class of patches away from all parts; '' for none.")
    ] = "neither",
    salt: Annotated[
        Path | None, typer.Option(help="The local/salt of an earlier run, so that patients keep their names.")
    ] = None,
    allow_mixed_sizes: Annotated[bool, typer.Option(help="Images may differ in size.")] = False,
    allow_burned_in: Annotated[
        bool, typer.Option(help="Take DICOM images that say that writing is burned into them.")
    ] = False,
) -> None:
    """Check your own images, and make a datalist, a site's YAML and a summary."""
    from clinical_qkt.prepare.command import Prepare
    from clinical_qkt.prepare.options import PrepareSettings, parts_of
    from clinical_qkt.prepare.patches import Cutting

    settings = PrepareSettings(
        source=source,
        out=out,
        site=site,
        seed=seed,
        labels=labels,
        intensity=intensity,
        spacing=spacing,
        voxel_labels=voxel_labels,
        cutting=Cutting(parts_of(parts or ()), neither, patch, patches),
        salt=salt,
        allow_mixed_sizes=allow_mixed_sizes,
        allow_burned_in=allow_burned_in,
    )
    Prepare(settings, console).run()


@app.command()
def phantoms(
    out: Annotated[Path, typer.Argument(help="Folder for one picture of each kind.")],
    seed: Annotated[int, typer.Option(min=0, help="Another one draws other cells.")] = 0,
) -> None:
    """Draw one phantom of each kind of blood cell."""
    from clinical_qkt.data.phantoms import write_examples

    for path in write_examples(out, seed):
        console.print(str(path))


@app.command()
def align(
    site: Annotated[Path, typer.Argument(help="Your site's YAML; its 'classes' and 'query' are read.")],
    packages: Annotated[list[Path], typer.Argument(help="Folders of teacher packages.")],
) -> None:
    """Show which classes of other sites' packages are which of yours, and what is ambiguous."""
    from clinical_qkt.alignment import run_align

    run_align(site, packages, console)


@app.command()
def ledger(
    path: Annotated[Path, typer.Argument(help="A site's ledger, by default runs/SITE/ledger.db.")],
    delta: Annotated[float, typer.Option(help="At which the epsilon of all answers is given.")] = 1e-5,
    as_json: Annotated[bool, typer.Option("--json", help="All lines with all their fields.")] = False,
) -> None:
    """What left a site, when and for whom; what it answered, and what that spent of its privacy budget."""
    from clinical_qkt.errors import InputError
    from clinical_qkt.ledger import Ledger, print_ledger

    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="look up 'ledger' in the site's YAML")
    kept = Ledger(path)
    if as_json:
        print(json.dumps({"packages": kept.lines("departures"), "answers": kept.lines()}, indent=2))
    else:
        print_ledger(console, kept, delta)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN…",
            help="A transfer's folder, its summary.json, an MLflow run id (6 characters do) or run name.",
        ),
    ],
    mlflow: Annotated[str | None, typer.Option(help="Where run ids and names are looked up: a URI.")] = None,
    site: Annotated[Path | None, typer.Option(help="A site's YAML, which names it, instead.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="Best first by a figure, e.g. after/query_recall.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All figures under their MLflow names.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for comparison.png and comparison.csv.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a comparison in that folder.")] = False,
) -> None:
    """Set finished transfers side by side: what was gained, what was lost, class by class."""
    from clinical_qkt.comparison.command import compare as run_compare

    run_compare(
        runs, console, mlflow=mlflow, site=site, sort=sort, machine=as_json, out=out, overwrite=overwrite
    )


@app.command()
def audit(
    epsilon: Annotated[float, typer.Option(min=0.01, max=20, help="That is promised.")] = 1.0,
    delta: Annotated[float, typer.Option(help="That is promised.")] = 1e-5,
    releases: Annotated[int, typer.Option(min=100, help="With one patient, and as many without.")] = 20000,
) -> None:
    """Attack the private release: can it be told from an answer whether one patient took part?"""
    from clinical_qkt.audit.releases import print_audit
    from clinical_qkt.privacy import Guarantee

    if not print_audit(console, Guarantee(epsilon, delta), releases):
        raise SystemExit(1)


@app.command()
def sync(
    database: Annotated[
        Path, typer.Argument(help="The local records of a site, by default runs/SITE/transfer/mlflow.db.")
    ],
    to: Annotated[
        str | None, typer.Option(help="The tracking server. Default: the one that the site's YAML named.")
    ] = None,
) -> None:
    """Send records to the MLflow server that was away when they were made; what it has is not sent again."""
    from clinical_qkt.sync import send

    sent = send(f"sqlite:///{database.absolute()}", to)
    console.print(f"{sent} {'run' if sent == 1 else 'runs'} sent" if sent else "nothing was left to send")


@app.command()
def version() -> None:
    """Print the version."""
    console.print(__version__)


def main() -> None:
    """Entry point of ``clinical-qkt``."""
    exit_codes(app)


def exit_codes(command: Callable[[], Any]) -> None:
    """Run a command; what the user can fix becomes one clear message and its exit code."""

    def stop(signum: int, _: Any) -> None:
        raise SystemExit(128 + signum)  # so that MLflow runs are closed

    signal.signal(signal.SIGTERM, stop)
    warnings.simplefilter("ignore")
    try:
        command()
    except QKTError as e:
        print(f"error: {e}", file=sys.stderr)
        raise SystemExit(e.exit_code) from None
