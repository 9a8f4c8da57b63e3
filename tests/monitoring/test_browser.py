"""The page in a browser: on a desk and on a phone, and by its accessibility."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from clinical_qkt.monitoring import page
from clinical_qkt.site.monitoring_limits import Monitoring
from tests.monitoring.conftest import check_of

sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_readable_and_reachable(tmp_path, width):
    checks = [check_of(f"2026-W{i:02d}", ("look",) if i > 18 else (), p=0.005) for i in range(1, 21)]
    page.write(tmp_path, "us", checks, Monitoring())
    folder = Path(os.environ.get("CLINICAL_QKT_SCREENSHOTS") or tmp_path)
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": width, "height": 900})
        asked = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto((tmp_path / page.NAME).as_uri())
        shown.screenshot(path=folder / f"monitoring-{width}.png", full_page=True)
        wide, seen = shown.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        boxes = shown.evaluate("[...document.images].map(i => i.getBoundingClientRect().right)")
        assert wide <= seen and max(boxes) <= width
        assert not [url for url in asked if not url.startswith(("file:", "data:"))]
        found = axe.Axe().run(shown).response["violations"]
        assert not [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in {"serious", "critical"}]
        browser.close()
