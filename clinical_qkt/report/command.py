"""``clinical-qkt report``: a finished transfer's report made again, or as a PDF."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from clinical_qkt.errors import InputError, OutputError
from clinical_qkt.report import pdf
from clinical_qkt.report.pdf import Paper

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
) -> None:
    """Make ``report.html`` again from ``summary.json``, or print it as a PDF, or both.

    Args:
        folder: of a finished transfer.
        again: whether the page and its figures are made anew; they replace the ones that are there.
        paper: of the PDF; A4 if None.
        out: the PDF, ``report.pdf`` in the folder if None.
        overwrite: whether it may replace a file.

    Raises:
        InputError: what is to be read is not there, or the options do not go together.
        OutputError: the PDF exists, or cannot be made.
    """
    _check(folder, again=again, as_pdf=as_pdf, paper=paper, out=out)
    place = out or folder / PDF
    chromium = None
    if as_pdf:  # before anything is written
        _check_place(place, overwrite)
        chromium = pdf.browser()
    if again:
        _again(folder)
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


def _again(folder: Path) -> None:
    from clinical_qkt.comparison.reading import read_summary
    from clinical_qkt.report.page import write

    place = folder / SUMMARY
    summary, _ = read_summary(place.read_bytes(), str(place), whole=True)
    write(folder, summary)
