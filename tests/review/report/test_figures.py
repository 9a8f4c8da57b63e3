import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from clinical_qkt.review.report import alternatives, figures, page
from clinical_qkt.review.report.figures import style

from .evidence import abstention, point, with_parts

ALWAYS = {"recall", "promise", "confusion", "calibration", "thresholds"}
PARTS = {"abstention", "decision", "precision_recall"}


def texts(figure):
    """Everything that is written in a figure."""
    figure.canvas.draw()
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def drawn(summary, name):
    return figures.drawn(summary, [name])[name]


def signs(figure):
    """Marker, where it stands, and whether it is filled, of every dot."""
    lines = [line for line in figure.findobj(Line2D) if line.axes and str(line.get_marker()) in "sDo<"]
    return [
        (line.get_marker(), x, y)
        for line in lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


@pytest.mark.parametrize(
    ("summary", "found"),
    [
        ({}, {*ALWAYS, "masks", "base_rates", "false_alarms"}),
        ({"answers": True}, {*ALWAYS, "responses", "base_rates", "false_alarms"}),
        ({"images": 0}, {*ALWAYS, "masks"}),
        ({"queried_images": 0}, {*ALWAYS, "masks", "false_alarms"}),
    ],
)
def test_what_there_is_something_for_is_drawn_and_described(made, summary, found):
    s = made(**summary)
    assert set(figures.wanted(s)) == found
    assert set(figures.wanted(with_parts(s))) == found | PARTS <= set(alternatives.ALL)


def test_all_that_is_wanted_is_drawn_in_the_order_of_the_report(made):
    s = with_parts(made(query=("dog", "eel"), queried_images=6))
    assert list(figures.drawn(s)) == figures.wanted(s)
    assert set(figures.ALL) == set(alternatives.ALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "summary",
    [
        {"query": ("dog", "eel")},
        {"known": ("ape",)},
        {"known": tuple(f"class {i}" for i in range(19)), "images": 5},
        {"query": ("an acute promyelocytic leukaemia of a rare kind " * 2,), "known": ("a " * 40, "b" * 60)},
        {"answers": True, "queried_images": 6},
    ],
    ids=["two queried", "one known", "twenty", "long names", "statistics"],
)
def test_every_figure_is_as_wide_as_a_phone_shows_and_nothing_is_cut(made, summary):
    for name, figure in figures.drawn(with_parts(made(**summary))).items():
        figure.canvas.draw()
        assert figure.get_figwidth() == figures.WIDTH
        edge, page_ = figure.get_tightbbox(), figure.bbox_inches
        assert edge.x0 > -0.02 and edge.x1 < page_.width + 0.02, name
        assert edge.y0 > -0.02 and edge.y1 < page_.height + 0.02, name
        assert max(len(line) for t in texts(figure) for line in t.splitlines()) < 60, name
        assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text()) >= 7, name


def test_recalls_are_dots_with_intervals_on_a_scale_that_starts_where_they_are(made):
    s = made(images=200, queried_images=200)
    figure = drawn(s, "recall")
    (axes,) = figure.axes
    lows = [100 * s.after.per_class[n].recall_ci95[0] for n in s.names]
    assert 0 < axes.get_xlim()[0] <= min(lows) and axes.get_xlim()[1] == 100
    assert any("(the scale begins at 80, not at 0)" in t for t in texts(figure))
    assert {m for m, *_ in signs(figure)} == {"s", "o", "D", "<"}
    assert any(t.endswith("→ >98") or t.endswith("→ 98") for t in texts(figure))


def test_a_scale_that_begins_at_0_says_nothing_of_it(made):
    figure = drawn(made(images=4, queried_images=4), "recall")
    assert figure.axes[0].get_xlim()[0] == 0
    assert not any("scale begins" in t for t in texts(figure))


def test_a_queried_class_before_stands_left_of_the_scale(made):
    s = made(images=200, queried_images=200)
    figure = drawn(s, "recall")
    assert [round(y) for m, _, y in signs(figure) if m == "<"] == [s.names.index("dog")]
    assert any(t.startswith("0 →") for t in texts(figure))


def test_what_is_unknown_gets_no_dot_and_no_curve(made):
    s = made(queried_images=0)
    figure = drawn(s, "recall")
    assert texts(figure).count("not tested") == 1
    assert not [y for m, _, y in signs(figure) if round(y) == s.names.index("dog")]
    assert not [t for t in texts(drawn(s, "thresholds")) if "found" in t]
    assert [t for t in texts(drawn(made(), "thresholds")) if "found" in t]


def test_the_grid_tells_the_counts_and_how_they_changed(made):
    told = texts(drawn(made(), "confusion"))
    assert "37" in told and "−3" in told and "+27" in told
    many = texts(drawn(made(known=tuple(f"c{i}" for i in range(19)), images=5), "confusion"))
    assert "2" in many and not [t for t in many if t.startswith(("+", "−"))]


def test_false_alarms_have_intervals_unless_images_name_patients(made):
    for patients, wide in ((None, True), (7, False)):
        figure = drawn(made(wrong=3, patients=patients), "false_alarms")
        spans = [np.ptp(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "|"]
        assert bool(max(spans) > 0) is wide
        assert "3 of 40" in texts(figure)


def test_the_own_prevalence_is_marked_where_it_is_told(made):
    assert "here" in texts(drawn(made(prevalence=2.0), "base_rates"))
    assert "here" not in texts(drawn(made(), "base_rates"))
    axes = drawn(made(), "base_rates").axes[0]
    assert axes.get_xscale() == "log" and axes.get_ylim() == (0, 100)


def test_decisions_are_drawn_at_the_own_prevalence_if_it_is_told(made):
    s = made()
    assert [c.prevalence_from for c in figures.chosen(with_parts(s))] == ["site"]
    assert [c.prevalence_from for c in figures.chosen(with_parts(s, site=False))] == ["test images"]
    assert any("in daily practice 2 % show dog" in t for t in texts(drawn(with_parts(s), "decision")))


def test_abstention_marks_ninety_percent(made):
    figure = drawn(with_parts(made()), "abstention")
    (marked,) = [(x, y) for m, x, y in signs(figure) if m == "D"]
    assert marked == pytest.approx((100 * 97 / 384, 100 / 287))
    assert {"90 %", "all"} <= set(texts(figure))
    nowhere = abstention().model_copy(update={"points": [point(0.0, 0, 0)]})
    assert "abstention" not in figures.wanted(with_parts(made(), abstention=nowhere))


def test_no_two_signs_are_told_apart_by_colour_alone():
    looks = [style.HOLLOW, style.ROUND, style.DIAMOND]
    assert len({look["marker"] for look in looks}) == 3
    greys = [float(np.dot(to_rgb(look.get("mfc", look["color"])), (0.299, 0.587, 0.114))) for look in looks]
    assert greys[0] > 0.99 and max(greys[1:]) < 0.6


def test_a_dollar_in_a_name_is_no_formula_and_a_long_name_is_cut(made):
    long = r"$\frac{1}{0}$ " + "long" * 20
    figure = drawn(made(query=(long,)), "recall")
    assert any(t.startswith(r"$\frac{1}{0}$") and "…" in t for t in texts(figure))


def test_names_are_drawn_without_formulas_and_what_others_draw_keeps_them(made, tmp_path: Path):
    names = ["recall", "base_rates", "masks"]
    for name, figure in figures.drawn(made(query=(r"$\frac{1$",)), names).items():
        page.save(tmp_path / f"{name}.png", figure)  # drawn as a formula it would stop the report
    assert matplotlib.rcParams["text.parse_math"] is True


def test_the_same_summary_gives_the_same_pictures(made, tmp_path: Path):
    s = with_parts(made())
    for run in ("a", "b"):
        for name, figure in figures.drawn(s, ["recall", "abstention"]).items():
            page.save(tmp_path / run / f"{name}.png", figure)
    for file in sorted((tmp_path / "a").iterdir()):
        raw = file.read_bytes()
        assert raw == (tmp_path / "b" / file.name).read_bytes()
        with Image.open(io.BytesIO(raw)) as picture:
            assert "Software" not in picture.info and picture.width == round(figures.WIDTH * figures.DPI)
