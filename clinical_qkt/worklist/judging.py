"""``clinical-qkt worklist-result``: a filled list read back, told and written down."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import write_json
from clinical_qkt.review.report.endings import print_places
from clinical_qkt.site.launch import plan
from clinical_qkt.worklist.command import load
from clinical_qkt.worklist.listing import read_list
from clinical_qkt.worklist.result import RESULT, read_result
from clinical_qkt.worklist.telling import print_result, write_page

RESULT_PAGE = "worklist-result.html"


def judge(
    site: Path,
    folder: Path,
    images: Path,
    console: Console,
    *,
    labels: Path | None = None,
    model: Path | None = None,
    overwrite: bool = False,
    bundle: str | None = None,
) -> None:
    """Read a filled list, print its figures, write them beside it.

    Args:
        site: its YAML.
        folder: that ``worklist`` wrote.
        images: the archive.
        labels: the filled table; the one in the folder if None.
        model: as for ``worklist``.

    Raises:
        InputError: the list, the labels, the images or the model do not belong together.
        OutputError: there is a result already.
    """
    if not images.is_dir():
        raise InputError("there is no such folder", where="--images", fix="give the archive's folder")
    listed = read_list(folder)
    if (folder / RESULT).exists() and not overwrite:
        raise OutputError("there is a result already", where=RESULT, fix="give --overwrite to replace it")
    stage = Stage(plan("inference", site, ["--images", str(images)], bundle))
    if stage.site.site != listed.site:
        fix = "name the YAML of the site that the list was drawn for"
        raise InputError("is another site's", where=str(site), fix=fix)
    result = read_result(folder, images, labels, load(stage.site, model).card.weights_sha256)
    write_json(folder / RESULT, result.model_dump(by_alias=True))
    write_page(folder / RESULT_PAGE, result)
    print_result(console, result)
    print_places(console, {"page": folder / RESULT_PAGE, "figures": folder / RESULT})
