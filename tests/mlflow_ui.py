"""MLflow's UI in a browser without a window; as a program it takes the picture for the documentation.

python -m tests.mlflow_ui runs/demo docs/pictures/mlflow-run.png
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

PATIENCE = 120
"""Seconds for a server to start, or a page to fill, on a machine that is busy with other tests."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def served(*options: str) -> Iterator[str]:
    """``mlflow server`` with these options, at the address that it gives."""
    port = free_port()
    command = (sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port))
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--workers", "1", *options], **quiet)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def wait_for(url: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def first_transfer(database: Path) -> Run:
    """The demo's own parent run: other tests add runs to a shared demo."""
    uri = f"sqlite:///{database}"
    client = MlflowClient(uri, uri)
    found = client.search_runs(
        [e.experiment_id for e in client.search_experiments()],
        "tags.`clinical_qkt.stage` LIKE 'transfer to %'",
        order_by=["attributes.start_time ASC"],
    )
    return found[0]


def page_of(browser: Any, width: int = 1900, height: int = 1000) -> Any:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(1000 * PATIENCE)
    return page


def open_run(page: Any, address: str, run: Run, part: str = "") -> None:
    place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}{part}"
    page.goto(f"{address}/#/{place}?workflowType=machine_learning")


def main(demo: Path, picture: Path) -> None:
    from playwright.sync_api import sync_playwright

    database = (demo / "mlflow.db").absolute()
    with served("--backend-store-uri", f"sqlite:///{database}") as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = page_of(browser)
        open_run(page, address, first_transfer(database))
        page.get_by_text("after/query_recall", exact=True).wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(
            path=picture, clip={"x": 0, "y": 0, "width": 1410, "height": 760}
        )  # less the assistant


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
