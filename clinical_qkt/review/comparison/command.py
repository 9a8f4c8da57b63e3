"""``clinical-qkt compare``, in the order of its steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import require_writable, write_text, write_whole
from clinical_qkt.review.comparison.figures import as_csv, as_json, ordered
from clinical_qkt.review.comparison.printing import print_comparison
from clinical_qkt.review.comparison.runs import find_runs

PICTURE, TABLE = "comparison.png", "comparison.csv"


def compare(
    names: Sequence[str],
    console: Console,
    *,
    mlflow: str | None = None,
    site: Path | None = None,
    sort: str | None = None,
    machine: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Find the transfers, print them side by side, and draw them.

    Args:
        names: see ``find_runs``.
        console: for people.
        mlflow: address of the tracking store.
        site: a site's YAML, which names it.
        sort: a figure; see ``ordered``.
        machine: print JSON instead of tables.
        out: folder for picture and CSV; none are written if None.
        overwrite: replace them where they are.

    Raises:
        InputError: see ``find_runs`` and ``ordered``.
        OutputError: the folder holds another comparison, or cannot be written to.
    """
    if mlflow and site:
        raise InputError(
            "two stores are named", where="--mlflow, --site", fix="give one of them, or the other"
        )
    if out:
        claim(out, overwrite)
    runs = ordered(find_runs(names, tracking_uri(site) if site else mlflow), sort)
    if machine:
        print(json.dumps(as_json(runs), indent=2))
    else:
        print_comparison(console, runs)
    if out:
        from clinical_qkt.review.comparison.drawing import draw  # matplotlib takes its time

        figure = draw(runs)
        write_whole(out / PICTURE, partial(figure.savefig, dpi=130, metadata={"Software": None}))
        write_text(out / TABLE, as_csv(runs))
        if not machine:
            written = f"Picture: {out / PICTURE}  figures: {out / TABLE}"
            console.print(written, markup=False, highlight=False, soft_wrap=True)


def claim(out: Path, overwrite: bool) -> None:
    """Take a folder for the results.

    Raises:
        OutputError: it holds some already, or cannot be written to.
    """
    if not overwrite and any((out / name).exists() for name in (PICTURE, TABLE)):
        raise OutputError(
            "holds a comparison already", where=str(out), fix="name another folder, or give --overwrite"
        )
    require_writable(out, where="--out")


def tracking_uri(site: Path) -> str:
    """``Site.tracking_uri`` by a site's YAML, which may leave out what the bundles' configs say.

    Raises:
        InputError: the file cannot be read, or does not say.
    """
    from clinical_qkt.site.places import places

    return places(site).tracking_uri
