"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.documentation import audit_figures as audit_page
from clinical_qkt.networks.registry import PRESETS
from clinical_qkt.packages.model import load_model
from clinical_qkt.research.benchmark.config import BenchmarkConfig, Scenario
from clinical_qkt.research.benchmark.rows import FIGURES
from clinical_qkt.review.summary_schema import SCHEMA
from clinical_qkt.site.config import Site
from tests.conftest import CONFIGS, ROOT
from tests.documented import commands, execute, launcher

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("bundles/*/docs/*.md")])


def anchors(page: Path) -> set[str]:
    """What a link can name in a page: its headings, in GitHub's spelling."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_exist(page):
    text = page.read_text()
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)", text):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"
    for named in re.findall(
        r"(?<![\w/.-])((?:bundles|configs|docs|tests)/[\w/.-]+\.(?:ya?ml|json|md|svg|py))", text
    ):
        # a bundle's README speaks of its own folder, too
        assert any((folder / named).exists() for folder in (ROOT, page.parents[1])) or "SITE" in named, named
    for file, test in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text):
        assert f"def {test}(" in (ROOT / file).read_text(), test


def test_every_key_of_a_benchmark_and_its_rows_is_in_the_reference():
    page = (ROOT / "docs/reference/benchmark.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    assert set(BenchmarkConfig.model_fields) | set(Scenario.model_fields) | set(FIGURES) <= named


def test_the_bundle_offers_every_key_of_a_site():
    assert set(Site.model_fields) <= set(yaml.safe_load((CONFIGS / "train.yaml").read_text()))


def test_the_example_site_is_valid():
    example = yaml.safe_load((ROOT / "configs/sites/example.yaml").read_text())
    Site.model_validate(
        {**example, "package_dir": "p", "query_dir": "q", "transfer_dir": "t", "ledger": "l.db"}
    )


def test_the_summarys_keys_are_in_the_reference(demo):
    text = (ROOT / "docs/reference/summary.md").read_text()
    summary = json.loads((demo / "summary.json").read_text())
    after = summary["after"]
    told = [*summary, *summary["teachers"][0], *after, *next(iter(after["per_class"].values()))]
    told += [*after["calibration"], *after["calibration"]["bins"][0], *summary["data"], *summary["student"]]
    told += [key for rows in after["thresholds"].values() for key in rows[0]]
    assert SCHEMA in text and not [k for k in told if not re.search(rf"`(\w+\.)?{k}`", text)]


def hospitals(demo: Path) -> tuple[str, str]:
    """The demo's student, and another site that has the class that it asks for."""
    sites = {p.stem: yaml.safe_load(p.read_text()) for p in sorted(demo.glob("sites/*.yaml"))}
    student = next(name for name, site in sites.items() if "teachers" in site)
    asked = sites[student]["query"][0]
    return student, next(name for name, site in sites.items() if asked in site["classes"])


def test_a_package_is_checked_without_this_software_as_the_reference_says(demo, tmp_path, monkeypatch):
    text = (ROOT / "docs/reference/packages.md").read_text()
    package = demo / "packages" / hospitals(demo)[1]
    shutil.copytree(package, tmp_path / "hospital_b")
    (tmp_path / "hospital_b.pub").symlink_to(demo / "keys" / f"{package.name}.pub")
    lines = [c for c in commands(text) if c.startswith(("sha256sum", "python"))]
    done = execute(lines, monkeypatch, tmp_path, {"sha256sum": "cd hospital_b && sha256sum"})
    assert done == {"cd": 1, "python": 1}


def test_an_input_contract_is_set_as_the_reference_says(demo, tmp_path, monkeypatch):
    text = (ROOT / "docs/reference/input-contract.md").read_text()
    places = {
        "runs/demo": str(demo),
        "runs/contract": str(tmp_path / "c"),
        "runs/my_task": str(tmp_path / "b"),
    }
    done = execute(commands(text), monkeypatch, ROOT, places)
    assert done == {"monai": 2, "clinical-qkt": 1, "cp": 1}
    card = load_model(tmp_path / "c" / "model").card
    assert card.network.name == "ViT" and card.input.spatial_size == [32, 32]
    assert card.input.other_channels == "convert"
    assert not any(p.is_symlink() for p in (tmp_path / "b").rglob("*"))


def test_every_field_of_the_input_contract_and_every_network_is_in_the_reference():
    text = (ROOT / "docs/reference/input-contract.md").read_text()
    named = {key for row in re.findall(r"^\| (.+?) \|", text, re.M) for key in re.findall(r"`(\w+)`", row)}
    assert set(InputContract.model_fields) | set(PRESETS) <= named


def test_the_page_for_data_protection_officers_holds_the_published_figures():
    if not (ROOT / audit_page.FIGURES).is_file():
        pytest.skip("no figures are published yet")
    again = "run `python -m clinical_qkt.documentation.audit_figures` again"
    assert audit_page.page(ROOT) == (ROOT / audit_page.PAGE).read_text(), again


def test_figures_in_plain_words_are_those_of_the_stronger_attack():
    weak = {"title": "plain", "of": "teacher packages", "images": "all_classes"}
    weak |= {"auc": {"mean": 0.6, "low": 0.5, "high": 0.7}, "tpr_at_1_percent": None}
    strong = {**weak, "tpr_at_1_percent": {"rate": 0.052, "low": 0.03, "high": 0.07}}
    rare = {**weak, "of": "distil", "images": "rarest_class"}
    table = audit_page.table({"data": "blood", "generated": True, "attacks": [weak, strong, rare]})
    assert "blood (generated images)" in table and table.count("\n|") == 4
    assert "| the model that is handed over | all | 5.2 (3.0 to 7.0) | 0.60 (0.50 to 0.70) |" in table
    assert "afterwards (distil) | of the rarest or queried class | too few images to tell |" in table


@pytest.mark.slow
def test_the_closest_reading_of_the_paper_runs_as_an_overlay(demo, tmp_path):
    files = [CONFIGS / f"{n}.yaml" for n in ("train", "transfer", "transfer_paper")]
    files = [str(f) for f in (*files, demo / "sites" / f"{hospitals(demo)[0]}.yaml")]
    told = ["--config_file", str(files), "--transfer_dir", str(tmp_path / "t"), "--max_epochs", "1"]
    assert launcher(["run", *told]) == 0
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    assert summary["method"]["variant"] == "paper"
    assert load_model(tmp_path / "t" / "model").card.network.name != "Committee"
