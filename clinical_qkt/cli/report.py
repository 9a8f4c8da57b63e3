"""``clinical-qkt report``: a finished transfer's report made again, or as a PDF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.review.report import pdf
from clinical_qkt.review.report.pdf import Paper

if TYPE_CHECKING:
    from clinical_qkt.review.report.page import Labelled
    from clinical_qkt.review.summary_schema import TransferSummary

PAGE, SUMMARY, PDF = "report.html", "summary.json", "report.pdf"


def report(
    folder: Path,
    console: Console,
    *,
    again: bool = False,
    as_pdf: bool = False,
    paper: Paper | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    worklist: Path | None = None,
) -> None:
    """Make ``report.html`` again from ``summary.json``, or print it as a PDF, or both.

    Args:
        folder: of a finished transfer.
        again: whether the page and its figures are made anew; they replace the ones that are there.
        paper: of the PDF; A4 if None.
        out: the PDF, ``report.pdf`` in the folder if None.
        overwrite: whether it may replace a file.
        worklist: a ``worklist-result.json`` that the page made again shows, too.

    Raises:
        InputError: what is to be read is not there, or the options do not go together.
        OutputError: the PDF exists, or cannot be made.
    """
    _check(folder, again=again, as_pdf=as_pdf, paper=paper, out=out)
    if worklist and not again:
        raise InputError("--worklist is about the page that is made again", fix="add --again")
    place = out or folder / PDF
    chromium = None
    if as_pdf:  # before anything is written
        _check_place(place, overwrite)
        chromium = pdf.browser()
    if again:
        _again(folder, worklist)
        console.print(f"made again: {folder / PAGE}", soft_wrap=True, markup=False, highlight=False)
    if chromium is None:
        return
    if (found := pdf.version(chromium)) is not None and found < pdf.NUMBERED:
        console.print(
            f"note: version {pdf.NUMBERED} of the browser or a later one numbers the pages", markup=False
        )
    pdf.write(folder / PAGE, place, paper or "a4", chromium)
    console.print(f"PDF: {place}", soft_wrap=True, markup=False, highlight=False)


def _check(folder: Path, *, again: bool, as_pdf: bool, paper: Paper | None, out: Path | None) -> None:
    if not folder.is_dir():
        told = "is no folder" if folder.exists() else "there is no such folder"
        raise InputError(told, where=str(folder), fix="give a finished transfer's folder")
    if not again and not as_pdf:
        told = "nothing to do: neither --pdf nor --again is given"
        raise InputError(told, fix="add --pdf for a PDF, --again to make report.html again")
    if not as_pdf and (paper or out):
        given = "--paper" if paper else "--out"
        raise InputError(f"{given} is about the PDF, which was not asked for", fix="add --pdf")
    needed = SUMMARY if again else PAGE
    if not (folder / needed).is_file():
        fix = "give a finished transfer's folder" + ("" if again else "; with --again the page is made again")
        raise InputError(f"holds no {needed}", where=str(folder), fix=fix)


def _check_place(place: Path, overwrite: bool) -> None:
    if place.is_dir():
        raise OutputError("is a folder", where=str(place), fix="name a file with --out")
    if place.exists() and not overwrite:
        raise OutputError("exists", where=str(place), fix="add --overwrite, or name another file with --out")


def _again(folder: Path, worklist: Path | None) -> None:
    from clinical_qkt.review.comparison.reading import read_summary
    from clinical_qkt.review.report.page import write

    place = folder / SUMMARY
    summary, _ = read_summary(place.read_bytes(), str(place), whole=True)
    write(folder, summary, _labelled(worklist, summary) if worklist else None)


def _labelled(path: Path, summary: TransferSummary) -> Labelled:
    """What a list of labelled images says, if it is of the summary's model."""
    from clinical_qkt.review.report.page import Labelled
    from clinical_qkt.worklist import telling
    from clinical_qkt.worklist.result import Result

    try:
        result = Result.model_validate_json(path.read_bytes())
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=str(path), fix=_LIST) from None
    except ValidationError:
        raise InputError("is no result of a labelled list", where=str(path), fix=_LIST) from None
    if result.weights_sha256 != summary.identity.weights_sha256:
        raise InputError(
            "is of another model than this report: the weights have another digest",
            where=str(path),
            fix="label a list that was drawn with this model, see `clinical-qkt worklist`",
        )
    tables = {name: telling.rows(name, row) for name, row in result.classes.items()}
    return Labelled(telling.sentences(result), tables)


_LIST = "give the worklist-result.json that `clinical-qkt worklist-result` wrote"
