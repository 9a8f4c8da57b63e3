"""The commands for finding images to label: what they take; what they do is loaded when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clinical_qkt.cli.paths import require_exists
from clinical_qkt.core import logs
from clinical_qkt.core.yaml_file import read_yaml

console = Console()
Site = Annotated[Path, typer.Argument(metavar="SITE.yaml", help="A site's YAML.")]
Images = Annotated[Path, typer.Option(help="Folder of unlabelled images, the archive.")]
Folder = Annotated[Path | None, typer.Option(help="The model's folder. Default: what the transfer made.")]
Bundle = Annotated[
    str | None, typer.Option(help="A shipped bundle's name or a folder, instead of the site's.")
]


def worklist(
    site: Site,
    images: Images,
    count: Annotated[int, typer.Option(min=20, help="How many images a person will label.")],
    model: Folder = None,
    seed: Annotated[int, typer.Option(min=0, help="The same one draws the same list.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the list. Default: TRANSFER_DIR/worklist.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a list in that folder.")] = False,
    bundle: Bundle = None,
) -> None:
    """Choose unlabelled images for a person to label.

    Some that the model calls a queried class, some near to it, some of all others.
    """
    read_yaml(site)
    require_exists(images, where="--images", fix="give the archive's folder")
    from clinical_qkt.worklist.command import Wanted, make_worklist

    logs.keep_from_the_screen()  # again: the libraries have made their loggers by now
    make_worklist(Wanted(site, images, count, model, seed, out, overwrite, bundle), console)


def worklist_result(
    site: Site,
    folder: Annotated[Path, typer.Argument(help="The folder that `worklist` wrote.")],
    images: Images,
    labels: Annotated[
        Path | None, typer.Option(help="The filled table. Default: worklist.csv in the folder.")
    ] = None,
    model: Folder = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    bundle: Bundle = None,
) -> None:
    """Read a labelled list: recall, false alarms and prevalence in the whole archive."""
    read_yaml(site)
    require_exists(folder, where="FOLDER", fix="name the folder that `clinical-qkt worklist` wrote")
    from clinical_qkt.worklist.judging import judge

    logs.keep_from_the_screen()  # as above
    judge(site, folder, images, console, labels=labels, model=model, overwrite=overwrite, bundle=bundle)
