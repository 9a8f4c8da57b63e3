"""The commands for looking back, and for going back: transfers, reports, what left, records for a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

console = Console()


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN ...",
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a comparison in that folder.")
    ] = False,
) -> None:
    """Set finished transfers side by side.

    What was gained and what was lost, class by class.
    """
    from clinical_qkt.cli.paths import require_runs
    from clinical_qkt.core.yaml_file import read_yaml

    require_runs(runs, stored=mlflow is not None or (site is not None and bool(read_yaml(site))))
    from clinical_qkt.review.comparison.command import compare as run_compare

    run_compare(
        runs, console, mlflow=mlflow, site=site, sort=sort, machine=as_json, out=out, overwrite=overwrite
    )


def report(
    folder: Annotated[Path, typer.Argument(help="A finished transfer's folder.")],
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print report.html as a PDF; it takes Chromium.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="First make report.html again from summary.json.")
    ] = False,
    paper: Annotated[Literal["a4", "letter"] | None, typer.Option(help="Of the PDF. Default: a4.")] = None,
    out: Annotated[Path | None, typer.Option(help="The PDF. Default: report.pdf in the folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a PDF that is there.")] = False,
    worklist: Annotated[
        Path | None, typer.Option(help="A worklist-result.json, shown in the page that is made again.")
    ] = None,
) -> None:
    """Print a transfer's report as a PDF.

    Or make report.html again from summary.json.
    """
    from clinical_qkt.cli.report import report as make

    make(
        folder,
        console,
        again=again,
        as_pdf=pdf,
        paper=paper,
        out=out,
        overwrite=overwrite,
        worklist=worklist,
    )


def ledger(
    path: Annotated[Path, typer.Argument(metavar="SITE.yaml|FILE", help="A site's YAML, or a ledger.")],
    delta: Annotated[float, typer.Option(help="At which the epsilon of all answers is given.")] = 1e-5,
    as_json: Annotated[bool, typer.Option("--json", help="All lines with all their fields.")] = False,
    mend: Annotated[
        bool, typer.Option("--mend", help="Put in what it has lost and this user's second place knows.")
    ] = False,
) -> None:
    """What left a site, for whom, and the privacy budget.

    Which packages, and when; what was answered, and what that spent.
    """
    from clinical_qkt.core.errors import InputError
    from clinical_qkt.site.ledger.ledger import Ledger
    from clinical_qkt.site.ledger.printing import as_data, print_ledger

    of_a_site = path.suffix in (".yaml", ".yml")
    if mend and not of_a_site:
        raise InputError("takes a site's YAML", where="--mend", fix="clinical-qkt ledger SITE.yaml --mend")
    if of_a_site:
        from clinical_qkt.site.ledger.of_site import mended, of_site

        if mend:
            console.print(f"lines that were missing, and are in it again: {mended(path)}")
        path = of_site(path)
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="give the site's YAML, or its ledger")
    kept = Ledger(path)
    if as_json:
        print(json.dumps(as_data(kept, delta), indent=2))
    else:
        print_ledger(console, kept, delta)


def sync(
    database: Annotated[
        Path, typer.Argument(help="The local records of a site, by default runs/SITE/transfer/mlflow.db.")
    ],
    to: Annotated[
        str | None, typer.Option(help="The tracking server. Default: the one that the site's YAML named.")
    ] = None,
) -> None:
    """Send records to the MLflow server that was away.

    What it has is not sent again.
    """
    from clinical_qkt.cli.paths import require_exists

    require_exists(database, where=str(database), fix="give a run's mlflow.db")
    from clinical_qkt.review.tracking.sync import send

    sent = send(f"sqlite:///{database.absolute()}", to)
    console.print(f"{sent} {'run' if sent == 1 else 'runs'} sent" if sent else "nothing was left to send")


def restore(
    site: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="A site's YAML.")],
    version: Annotated[str, typer.Argument(help="The number of a registered version.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agreed beforehand; nobody is asked.")] = False,
    although_not_accepted: Annotated[
        bool, typer.Option("--although-not-accepted", help="Take a version that never was accepted.")
    ] = False,
) -> None:
    """Make an earlier model the one in use again.

    The alias 'accepted' in MLflow's registry moves to that version. Nothing is deleted.
    """
    from clinical_qkt.cli.paths import require_exists

    require_exists(site, where=str(site))
    from clinical_qkt.review.tracking.restore import restore as put_back

    put_back(site, version, console, yes=yes, although_not_accepted=although_not_accepted)
