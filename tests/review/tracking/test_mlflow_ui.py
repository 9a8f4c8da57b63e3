"""What a reviewer finds in the stock UI of MLflow, on the demo's database, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from clinical_qkt.review.tracking import viewing  # noqa: E402
from tests.mlflow_ui import first_transfer, open_run, page_of, served  # noqa: E402

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt install chromium)")


@pytest.fixture(scope="module")
def address(demo):
    with served("--backend-store-uri", f"sqlite:///{demo / 'mlflow.db'}") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def keep(page, name, tmp_path):
    folder = Path(os.environ.get("CLINICAL_QKT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"mlflow-{name}.png")


@pytest.mark.slow
def test_a_reviewer_finds_the_transfer_its_figures_its_report_and_the_model(demo, address, browser, tmp_path):
    run = first_transfer(demo / "mlflow.db")
    page, asked = page_of(browser), []
    page.on("request", lambda request: asked.append(request.url))

    printed = viewing.address(f"sqlite:///{demo / 'mlflow.db'}")
    page.goto(printed.replace(viewing.LOCAL, address))
    page.get_by_text(run.info.run_name, exact=True).first.wait_for()
    heads = page.get_by_role("columnheader")
    for column in ("after/query_recall_low", "after/false_alarms_high", "query", "verdict"):
        heads.filter(has_text=re.compile(f"^{column}$")).first.wait_for()
    page.get_by_text("Model registry").first.wait_for()  # which the view for conversations does not have
    assert not page.get_by_text("train hospital_1", exact=True).count()
    keep(page, "experiment", tmp_path)

    open_run(page, address, run)
    page.get_by_text("after/query_recall", exact=True).first.wait_for()
    for child in ("before", "after", "phase 2: head refinement"):
        page.get_by_role("link", name=child, exact=True).first.wait_for()
    assert page.get_by_text(run.data.tags["mlflow.note.content"][:60]).count()
    keep(page, "run", tmp_path)

    open_run(page, address, run, "/artifacts/report.html")
    page.get_by_text("report.html").first.wait_for()
    report = page.frame_locator("iframe").get_by_role("heading", level=1)
    report.wait_for()  # the UI shows the report itself
    keep(page, "report", tmp_path)

    page.goto(f"{address}/#/models/blood_cell_classification")
    page.get_by_text("accepted", exact=False).first.wait_for()  # the tag that every version has
    page.get_by_text(run.data.tags["verdict"], exact=False).first.wait_for()
    keep(page, "model", tmp_path)

    made = run.outputs.model_outputs[0].model_id
    page.goto(f"{address}/#/experiments/{run.info.experiment_id}/models/{made}")
    page.get_by_text("after/false_alarms_high", exact=True).first.wait_for()
    keep(page, "logged-model", tmp_path)
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {address.split("/")[2]}
