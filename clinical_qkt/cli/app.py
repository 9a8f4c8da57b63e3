"""The command line.

Exit codes: 0 done, 1 a bug, 2 bad input, 3 package refused, 4 query refused, 5 output folder unusable;
of `monitor` 10 alarm, 11 switch the model off, 12 too few images.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from clinical_qkt.cli import exchange, packages, research, review
from clinical_qkt.cli.monitor import monitor
from clinical_qkt.cli.weights import weights
from clinical_qkt.cli.worklist import worklist, worklist_result
from clinical_qkt.core import logs
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A hospital gains the classes it lacks from other hospitals' models. No image leaves a hospital.",
)
WAY, DESK, PACKAGES, REVIEW, RESEARCH = (
    *("A hospital's way", "Exchange with other hospitals", "Packages and keys", "Review", "Research"),
)
"""Groups of commands, in the order of ``--help``."""
MORE_KEYS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Of commands that take ``--key value`` for any key."""
console = Console()


def _version(wanted: bool) -> None:
    if wanted:
        console.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What can be given before a command."""


@app.command(rich_help_panel=WAY)
def prepare(
    source: Annotated[
        Path, typer.Argument(help="A folder of DICOM, NIfTI or picture files, an .npz file, a datalist.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the datalist, the site's YAML and the summary.")],
    site: Annotated[str, typer.Option(help="The site's pseudonym.")] = "my_hospital",
    labels: Annotated[
        str | None,
        typer.Option(
            help="'folder', a CSV file (file, label, patient), or a keyword, e.g. BodyPartExamined."
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Columns of the labels' CSV by which results are told apart, e.g. sex,age_band."),
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
    allow_mixed_sizes: Annotated[
        bool, typer.Option("--allow-mixed-sizes", help="Images may differ in size.")
    ] = False,
    longest_side: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=4096,
            help="Pixels to which larger images are shrunk; voxels of volumes.",
            show_default="224; 64 of volumes",
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(min=9, max=16, help="Of grey pictures that use fewer than their files' 16, e.g. 12."),
    ] = None,
    allow_burned_in: Annotated[
        bool,
        typer.Option(
            "--allow-burned-in", help="Take DICOM images that say that writing is burned into them."
        ),
    ] = False,
) -> None:
    """Check your images; make a datalist, a site's YAML and a summary."""
    from clinical_qkt.cli.paths import require_source

    require_source(source, out)
    from clinical_qkt.prepare.groups import columns_of
    from clinical_qkt.prepare.options import PrepareSettings, parts_of
    from clinical_qkt.prepare.patches import Cutting
    from clinical_qkt.prepare.prepare import Prepare

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
        bits=bits,
        groups=columns_of(groups),
        longest_side=longest_side,
    )
    Prepare(settings, console).run()


@app.command(rich_help_panel=WAY, context_settings=MORE_KEYS)
def check(
    context: typer.Context,
    site: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="A site's YAML.")],
    stage: Annotated[str | None, typer.Argument(help="The one that comes next, or any.")] = None,
    bundle: Annotated[
        str | None, typer.Option(help="A shipped bundle's name or a folder, instead of the site's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Look whether a stage can run, without computing anything.

    Keys, paths, signatures, label lists, disk, device, memory and time. Exit code 2 if there is a problem.
    """
    from clinical_qkt.site.launch import plan

    planned = plan(stage or "train", site, context.args, bundle)
    with _no_collecting():
        from clinical_qkt.checking.command import run_check

    logs.keep_from_the_screen()  # again: the libraries have made their loggers by now
    if not run_check(planned, console, chosen=stage is not None, as_json=as_json):
        raise SystemExit(2)


@app.command(rich_help_panel=WAY, context_settings=MORE_KEYS)
def run(
    context: typer.Context,
    stage: Annotated[
        str, typer.Argument(help="train, evaluate, inference, share, query, answer, transfer, …")
    ],
    site: Annotated[
        Path, typer.Argument(metavar="SITE.yaml [--KEY VALUE …]", help="A site's YAML; then keys for once.")
    ],
    bundle: Annotated[
        str | None, typer.Option(help="A shipped bundle's name or a folder, instead of the site's own.")
    ] = None,
) -> None:
    """Run a stage of the bundle that the site's YAML names.

    Every key of the YAML and of the stage can be given for this run alone: --max_epochs 20,
    --settings::variant distil. The equivalent line for MONAI's own launcher is printed first.
    """
    from clinical_qkt.site.launch import plan

    planned = plan(stage, site, context.args, bundle)
    print(f"With MONAI's own launcher:\n{planned.line()}\n", flush=True)
    with _no_collecting():
        from clinical_qkt import bundle as bundles

    logs.keep_from_the_screen()  # again: the libraries have made their loggers by now
    bundles.launch(planned)


app.command(rich_help_panel=WAY)(monitor)
app.command(rich_help_panel=WAY)(worklist)
app.command(rich_help_panel=WAY)(worklist_result)
for at_the_desk in (exchange.inbox, exchange.approve, exchange.decline, exchange.outbox):
    app.command(rich_help_panel=DESK)(at_the_desk)
app.add_typer(exchange.exchange, name="exchange", rich_help_panel=DESK)
app.command(rich_help_panel=PACKAGES)(packages.align)
app.command(rich_help_panel=PACKAGES)(packages.export)
app.add_typer(packages.package, name="package", rich_help_panel=PACKAGES)
app.add_typer(packages.keys, name="keys", rich_help_panel=PACKAGES)
app.add_typer(weights, name="weights", rich_help_panel=PACKAGES)


for looking_back in (
    review.compare,
    review.report,
    review.ledger,
    review.sync,
    review.restore,
):
    app.command(rich_help_panel=REVIEW)(looking_back)
for of_research in (
    research.demo,
    research.benchmark,
    research.audit,
    research.phantoms,
):
    app.command(rich_help_panel=RESEARCH)(of_research)


@app.command(hidden=True)
def version() -> None:
    """Print the version, as --version does."""
    _version(True)


def main() -> None:
    """Entry point of ``clinical-qkt``."""
    exit_codes(app)


@contextmanager
def _no_collecting() -> Iterator[None]:
    """For the import of MONAI: its thousands of modules stay, and looking through them takes a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
