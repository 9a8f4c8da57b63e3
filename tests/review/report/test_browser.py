"""The report in a browser: at desktop and phone width, by its accessibility, and on paper."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from clinical_qkt.review import report
from clinical_qkt.review.report import headline
from clinical_qkt.review.report import page as page_module

sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed")

CASES = {
    "accepted": {"wrong": 0},
    "not_accepted": {"wrong": 20},
    "no_queried_images": {"queried_images": 0},
    "statistics": {"answers": True, "query": ("dog", "eel"), "queried_images": 6},
    "further": {"further": True, "prevalence": 0.5, "patients": 25},
    "hostile": {"query": ("<script>alert(1)</script>" + "long" * 12,), "known": ("a" * 60, "b b b", "c")},
}
DRAWN = {"further", "hostile"}
"""With figures, which take most of the time."""


@pytest.fixture(scope="module")
def browser():
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def pictures() -> Path | None:
    """Where screenshots are kept, if somebody wants to look at them; they take their time."""
    wanted = os.environ.get("CLINICAL_QKT_SCREENSHOTS")
    if wanted:
        Path(wanted).mkdir(parents=True, exist_ok=True)
    return Path(wanted) if wanted else None


WIDTHS = (1200, 390)
"""In pixels: a desk's screen and a telephone's."""
AT_A_DESK = {"further"}
"""Looked through for faults of accessibility there, too: they hardly follow from the width."""


@pytest.mark.parametrize("case", CASES)
def test_the_report_is_readable_and_reachable(made, browser, tmp_path, pictures, case):
    summary = made(**CASES[case])
    if case in DRAWN:
        report.write(tmp_path, summary)
    else:
        (tmp_path / "report.html").write_text(page_module.page(summary, {}), encoding="utf-8")
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900})
        told, asked = [], []
        page.on("console", lambda message, told=told: told.append(message.text))
        page.on("pageerror", lambda error, told=told: told.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        if pictures:
            page.screenshot(path=pictures / f"report-{case}-{width}.png", full_page=True)
        answer = page.get_by_text(report.verdict_sentence(summary), exact=True)
        assert answer.is_visible() and answer.bounding_box()["y"] < 900
        assert page.locator("h2").first.inner_text() == headline.verdict(summary)
        for shown in page.locator("figure img").all():  # none is cut, whatever its width
            assert shown.bounding_box()["x"] + shown.bounding_box()["width"] <= width
        wide, seen = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= seen
        assert told == [] and not [url for url in asked if not url.startswith(("file:", "data:"))]
        if width == min(WIDTHS) or case in AT_A_DESK:
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            found = axe.Axe().run(page).response["violations"]
            grave = [v for v in found if v["impact"] in {"serious", "critical"}]
            assert not [(v["id"], v["nodes"][0]["html"]) for v in grave]
        page.close()


def test_what_is_folded_stands_on_paper(made, browser, tmp_path, pictures):
    report.write(tmp_path, made())
    page = browser.new_page(viewport={"width": 794, "height": 1123})
    page.goto((tmp_path / "report.html").as_uri())
    folded = page.locator("details table").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible() and folded.bounding_box()["height"] > 50
    assert not page.locator("nav").is_visible()
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    page.close()


PAPER = {"A4": (182, 267), "Letter": (187.9, 249.4)}
"""Width and height of what is printed on, in mm, see print.css."""


@pytest.mark.parametrize("paper", PAPER)
def test_the_first_sheet_is_one_printed_page(made, browser, tmp_path, paper):
    width, height = (round(mm * 96 / 25.4) for mm in PAPER[paper])
    page = browser.new_page(viewport={"width": width, "height": height})
    page.emulate_media(media="print")
    for given in ({**CASES[case], "patients": 25} for case in CASES if case != "hostile"):
        summary = made(**given)
        summary.data.test_data.origin = (
            "every third smear of May and June that held any cell of a known class"
        )
        (tmp_path / "report.html").write_text(page_module.page(summary, {}), encoding="utf-8")
        page.goto((tmp_path / "report.html").as_uri())
        assert 0.4 * height < page.locator("#answer").bounding_box()["height"] < height
    page.close()


def test_the_keyboard_reaches_the_answer_first(made, browser, tmp_path):
    report.write(tmp_path, made())
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    page.wait_for_url("**#answer")  # the browser follows the link in its own time
    page.close()
