"""Class, site and query names are shown as they are, whatever signs they hold."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from clinical_qkt.cli.align import print_alignment
from clinical_qkt.data.label_space import Alignment, LabelSpace
from clinical_qkt.prepare import page
from clinical_qkt.review import report
from clinical_qkt.review.comparison import drawing
from clinical_qkt.review.report import endings, figures
from tests.conftest import run

NAMES = ("mitoses [/HPF]", "[bold]", "a:heart:b", "$x_{$", "5 % [red]x[/red]", "HER2-", "1$ or 2$")


def recorded(draw, *given) -> str:
    console = Console(record=True, width=300)
    draw(console, *given)
    return console.export_text()


def test_a_transfer_shows_every_name(made):
    summary = made(known=NAMES[:4], query=NAMES[4:6])
    summary.student.site = "us [/x]"
    text = recorded(report.print_transfer, summary)
    assert all(name in text for name in NAMES[:6]) and "us [/x] asked for: 5 % [red]x[/red], HER2-" in text
    rows = summary.after.per_class
    text = recorded(endings.print_trained, "us [/x]", rows, {"model [/y]": "a [/z]"})
    assert all(name in text for name in rows) and "us [/x]: trained" in text and "a [/z]" in text
    text = recorded(endings.print_predicted, list(NAMES), {})
    assert all(name in text for name in NAMES)


def test_an_evaluation_shows_every_name(made, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rows = made(known=NAMES[:3], query=NAMES[3:4]).after.per_class
    report.print_per_class(rows, "us [/x]")
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES[:4]) and "us [/x]" in shown


def test_an_alignment_shows_every_name():
    table = Alignment(LabelSpace(NAMES), LabelSpace(NAMES))
    text = recorded(print_alignment, "us [/x]", table)
    assert all(text.count(name) >= 2 for name in NAMES) and "us [/x]: 7 of 7" in text


def texts(figure) -> list[str]:
    """What is written in a figure, as it is drawn."""
    figure.canvas.draw()
    found = [label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return [text._preprocess_math(text.get_text())[0].replace("\n", " ") for text in found]


@pytest.mark.parametrize("draw", [figures.draw_recall, figures.draw_confusion])
def test_a_figure_shows_every_name_and_reads_no_formula(made, draw):
    shown = " ".join(texts(draw(made(known=NAMES[:4], query=NAMES[4:]))))
    assert all(name in shown for name in NAMES)
    assert drawing._shortened("$x_{$") == r"\$x_{\$"


def test_prepare_shows_and_lists_every_name(tmp_path, capfd):
    rng = np.random.default_rng(0)
    rows = ["file,label"]
    (tmp_path / "in").mkdir()
    names = [name for name in NAMES if not name.startswith("$")]  # these are refused
    for k in range(12 * len(names)):
        Image.fromarray(rng.integers(0, 255, (16, 16)).astype("u1")).save(tmp_path / "in" / f"{k}.png")
        rows.append(f"{k}.png,{names[k % len(names)]}")
    (tmp_path / "l.csv").write_text("\n".join(rows))
    out = tmp_path / "out [/x]"
    assert run("prepare", str(tmp_path / "in"), "--labels", str(tmp_path / "l.csv"), "--out", str(out)) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert all(name in shown for name in names) and "out [/x]" in shown
    assert page._picture({name: {"images": dict.fromkeys(page.SECTIONS, 1)} for name in NAMES})
