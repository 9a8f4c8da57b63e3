import io
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from clinical_qkt.cli.app import app
from clinical_qkt.cli.report import report
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.files import write_json
from clinical_qkt.review import report as reports
from clinical_qkt.review.report import figures, pdf

REAL = next(filter(None, map(shutil.which, pdf.NAMES)), None)
PRINTS = """
for given in "$@"; do
  case "$given" in --print-to-pdf=*) out=${given#*=} ;; file://*) page=${given#file://} ;; esac
done
[ "$1" = --version ] && { echo "Chromium VERSION.0.1.2 built somewhere"; exit 0; }
{ echo "%PDF-1.4"; echo "$@"; echo "HOME=$HOME"; cat "$page"; } > "$out"
"""


@pytest.fixture
def folder(tmp_path):
    """A transfer's folder with a page."""
    (tmp_path / "transfer").mkdir()
    (tmp_path / "transfer/report.html").write_text("<html><head></head><body>what it says</body></html>")
    return tmp_path / "transfer"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts a program called chromium in the way, in place of any that is installed."""

    def install(script: str | None, version: int = 140) -> None:
        programs = tmp_path / "programs"
        programs.mkdir()
        for tool in ("sh", "cat", "sleep"):
            (programs / tool).symlink_to(shutil.which(tool))
        monkeypatch.setenv("PATH", str(programs))
        if script is not None:
            program = programs / "chromium"
            program.write_text(f"#!/bin/sh\n{script.replace('VERSION', str(version))}")
            program.chmod(0o755)

    return install


def told(folder, **options):
    """What the command prints."""
    out = io.StringIO()
    report(folder, Console(file=out, width=200), **options)
    return out.getvalue()


def test_the_page_is_printed_with_the_size_of_the_paper_and_without_network(folder, installed):
    installed(PRINTS)
    for paper, size in ((None, "A4"), ("letter", "letter")):
        said = told(folder, as_pdf=True, paper=paper, overwrite=True)
        assert said == f"PDF: {folder / 'report.pdf'}\n"
        made = (folder / "report.pdf").read_text()
        assert "what it says" in made and f"<style>@page {{ size: {size}; }}</style></head>" in made
        assert "--host-resolver-rules=MAP * ~NOTFOUND" in made and "--user-data-dir=" in made
        assert ("--no-sandbox" in made) is (os.geteuid() == 0)
        home = Path(re.search("HOME=(.*)", made)[1])
        assert home != Path.home() and not home.exists()
    assert "@page" not in (folder / "report.html").read_text()


def test_without_a_browser_the_refusal_says_what_to_do(folder, installed):
    installed(None)
    with pytest.raises(OutputError, match="no Chromium was found") as refused:
        told(folder, as_pdf=True)
    assert refused.value.exit_code == 5
    assert "install Chromium" in refused.value.fix and "print it to a file" in refused.value.fix
    assert [p.name for p in folder.iterdir()] == ["report.html"]


@pytest.mark.parametrize("script", ["exit 7", "exit 0", PRINTS.replace("%PDF", "no PDF")])
def test_a_browser_that_makes_no_pdf_leaves_the_old_one(folder, installed, script):
    installed(script)
    (folder / "report.pdf").write_text("the old one")
    with pytest.raises(OutputError, match=r"chromium ended with code \d and made no PDF"):
        told(folder, as_pdf=True, overwrite=True)
    assert {p.name for p in folder.iterdir()} == {"report.html", "report.pdf"}
    assert (folder / "report.pdf").read_text() == "the old one"


def test_a_browser_that_hangs_is_ended_with_all_that_it_started(folder, installed, monkeypatch, tmp_path):
    installed(f'[ "$1" = --version ] || {{ sleep 60 & echo $! > {tmp_path}/child; wait; }}')
    monkeypatch.setattr(pdf, "SECONDS", 1)
    with pytest.raises(OutputError, match="took too long"):
        told(folder, as_pdf=True)
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("what the browser started still runs")


def test_a_pdf_that_is_there_is_kept_unless_it_may_be_replaced(folder, installed):
    installed(PRINTS)
    place = folder.parent / "other.pdf"
    told(folder, as_pdf=True, out=place)
    with pytest.raises(OutputError, match="exists") as refused:
        told(folder, as_pdf=True, out=place)
    assert "--overwrite" in refused.value.fix
    told(folder, as_pdf=True, out=place, overwrite=True)
    with pytest.raises(OutputError, match="is a folder"):
        told(folder, as_pdf=True, out=folder, overwrite=True)
    assert not (folder / "report.pdf").exists()


def test_an_old_browser_is_said_to_number_no_pages(folder, installed):
    installed(PRINTS, version=120)
    assert "version 131 of the browser or a later one numbers the pages" in told(folder, as_pdf=True)


@pytest.mark.parametrize(
    ("options", "problem", "fix"),
    [
        ({}, "neither --pdf nor --again", "--pdf"),
        ({"again": True, "paper": "a4"}, "--paper is about the PDF", "add --pdf"),
        ({"again": True, "out": Path("x.pdf")}, "--out is about the PDF", "add --pdf"),
        ({"again": True}, "holds no summary.json", "a finished transfer's folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, options, problem, fix):
    with pytest.raises(InputError, match=problem) as refused:
        told(folder, **options)
    assert fix in refused.value.fix


def test_a_folder_without_a_report_is_refused_with_the_way_out(folder):
    (folder / "report.html").unlink()
    with pytest.raises(InputError, match=r"holds no report\.html") as refused:
        told(folder, as_pdf=True)
    assert "--again" in refused.value.fix
    with pytest.raises(InputError, match="no such folder"):
        told(folder / "nowhere", as_pdf=True)


def test_the_page_is_made_again_from_the_summary(folder, made, monkeypatch):
    monkeypatch.setattr(figures, "drawn", lambda _: {})
    summary = made()
    write_json(folder / "summary.json", summary.as_json())
    assert told(folder, again=True) == f"made again: {folder / 'report.html'}\n"
    assert reports.verdict_sentence(summary) in (folder / "report.html").read_text()


def test_a_summary_of_an_earlier_version_is_refused_by_name(folder, made):
    old = made().as_json() | {"schema": "clinical-qkt/transfer-summary/1", "accepted": True, "against": []}
    write_json(folder / "summary.json", old)
    page = (folder / "report.html").read_text()
    with pytest.raises(InputError, match="has the schema 'clinical-qkt/transfer-summary/1'") as refused:
        told(folder, again=True)
    assert "run that transfer again with this version" in refused.value.fix
    assert (folder / "report.html").read_text() == page


def test_the_command_line_has_it(folder, installed):
    installed(PRINTS)
    done = CliRunner().invoke(app, ["report", str(folder), "--pdf", "--paper", "letter"])
    assert done.exit_code == 0 and (folder / "report.pdf").is_file()


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="no Chromium is installed")
def test_the_installed_browser_prints_pages_of_the_right_size_with_headings_to_go_to(made, tmp_path):
    reports.write(tmp_path, made())
    for paper, (width, height) in (("a4", (595, 842)), ("letter", (612, 792))):
        told(tmp_path, as_pdf=True, paper=paper, overwrite=True)
        raw = (tmp_path / "report.pdf").read_bytes()
        boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", raw)
        assert raw.startswith(b"%PDF-") and len(boxes) > 3
        assert {(round(float(w)), round(float(h))) for w, h in boxes} == {(width, height)}
        assert b"/Outlines" in raw and b"/StructTreeRoot" in raw  # headings to go to, and for screen readers
