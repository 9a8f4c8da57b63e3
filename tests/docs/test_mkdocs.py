"""The documentation as a site: it builds without a warning, and a reader's browser asks nobody else."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT

SPEC = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` does."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return out


def test_make_docs_builds_it_so():
    rule = (ROOT / "Makefile").read_text().split("\ndocs: ")[1].split("\n\n")[0]
    assert "mkdocs build --strict" in rule


def test_every_page_is_there_and_no_large_file(site):
    pages = {p.relative_to(ROOT / "docs").with_suffix(".html") for p in ROOT.glob("docs/**/*.md")}
    assert pages <= {p.relative_to(site) for p in site.rglob("*.html")}
    assert not list(site.rglob("results/**/*.json")) and not list(site.rglob("*.py"))


class Fetched(HTMLParser):
    """What a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(told.get("src") or "")
        if tag == "link" and told.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(told.get("href") or "")


def test_a_page_fetches_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        reader = Fetched()
        reader.feed(page.read_text(encoding="utf-8"))
        assert not [u for u in reader.found if re.match(r"(https?:)?//", u)], page.name
        assert len(reader.found) > 3
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("[a site](../../configs/sites/example.yaml)", "a site (`configs/sites/example.yaml`)"),
        ("[`configs/sites/example.yaml`](../../configs/sites/example.yaml)", "`configs/sites/example.yaml`"),
        ("[figures](../results/main-job.json)", "figures (`docs/results/main-job.json`)"),
        ("[page](train.md#x)", "[page](train.md#x)"),
        ("[gone](../../configs/gone.yaml)", "[gone](../../configs/gone.yaml)"),
        ("![picture](../pictures/gone.png)", "![picture](../pictures/gone.png)"),
        ("[web](https://monai.io)", "[web](https://monai.io)"),
    ],
)
def test_a_link_out_of_the_site_becomes_the_files_name(written, becomes):
    def file(uri: str) -> SimpleNamespace:
        return SimpleNamespace(src_uri=uri, inclusion=SimpleNamespace(is_included=lambda: True))

    page = SimpleNamespace(file=file("how-to/a.md"))
    config = SimpleNamespace(config_file_path=str(ROOT / "mkdocs.yml"))
    assert (
        hooks.on_page_markdown(written, page=page, config=config, files=[file("how-to/train.md")]) == becomes
    )
