import io
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from clinical_qkt.report import alternatives, figures, page


def texts(figure):
    """Everything that is written in a figure."""
    figure.canvas.draw()
    return [t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text")) if t.get_text()]


@pytest.mark.parametrize(
    ("summary", "drawn"),
    [
        ({}, {"recall", "confusion", "calibration", "thresholds", "masks"}),
        ({"answers": True}, {"recall", "confusion", "calibration", "thresholds", "answers"}),
        ({"images": 0}, {"recall", "confusion", "calibration", "thresholds", "masks"}),
    ],
)
def test_what_there_is_something_for_is_drawn_and_described(made, summary, drawn):
    s = made(**summary)
    assert set(figures.drawn(s)) == drawn <= set(alternatives.ALL)
    for name in drawn:
        told = alternatives.ALL[name](s)
        assert told.endswith(alternatives.TABLE) and "None" not in told and len(told) > 60


def test_a_text_alternative_tells_the_main_content(made):
    s = made()
    assert "recognises dog in 90 of 100 cases" in alternatives.recall(s)
    assert "3 of 30 images" in alternatives.confusion(s) or "3 of 40 images" in alternatives.confusion(s)
    assert "On average the probability that it states" in alternatives.calibration(s)
    assert "dog is known to hospital_2 and hospital_3" in alternatives.masks(s)
    assert "Far off: hospital_4 for dog" in alternatives.answers(made(answers=True))
    assert "dog: from a threshold of 5 % to one of 95 %" in alternatives.thresholds(s)
    assert "is unknown" in alternatives.thresholds(made(queried_images=0))
    assert "No mistake grew" in alternatives.confusion(made(wrong=0))


def test_what_is_unknown_gets_no_bar_and_no_curve(made):
    s = made(queried_images=0)
    assert texts(figures.draw_recall(s)).count("no test images") == 2
    assert not [t for t in texts(figures.draw_thresholds(s)) if "found" in t]
    assert [t for t in texts(figures.draw_thresholds(made())) if "found" in t]


def test_a_dollar_in_a_name_is_no_formula_and_a_long_name_is_cut(made):
    long = r"$\frac{1}{0}$ " + "long" * 20
    s = made(query=(long,))
    assert any("longlong" in t and "…" in t and t != long for t in texts(figures.draw_recall(s)))
    for figure in figures.drawn(s).values():
        assert max(map(len, texts(figure))) < 120


def test_names_are_drawn_without_formulas_and_what_others_draw_keeps_them(made, tmp_path: Path):
    page.write(tmp_path, made(query=(r"$\frac{1$",)))  # drawn as a formula it would stop the report
    assert matplotlib.rcParams["text.parse_math"] is True


def test_the_same_summary_gives_the_same_bytes(made, tmp_path: Path):
    s = made()
    for run in ("a", "b"):
        page.write(tmp_path / run, s)
    for file in sorted((tmp_path / "a" / "figures").iterdir()):
        raw = file.read_bytes()
        assert raw == (tmp_path / "b" / "figures" / file.name).read_bytes()
        with Image.open(io.BytesIO(raw)) as picture:
            assert "Software" not in picture.info and 300 < picture.width < 2500
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()
