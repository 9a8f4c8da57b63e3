"""What CONTRIBUTING.md, CHANGELOG.md and the hooks name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

import clinical_qkt.research.benchmark.privacy.config  # noqa: F401  whose models are looked at, too
from clinical_qkt.core.renamed import CONFIG
from clinical_qkt.core.values import Strict
from tests.conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_targets_and_files_that_contributors_are_told_of_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert {"test-unit", "lint", "test"} <= targets
    assert not [t for t in targets if not re.search(rf"^{t}:", MAKEFILE, re.M)]
    paths = re.findall(r"\]\(([^)]+)\)|`((?:tests|clinical_qkt|docs)/[\w/.]*)`", text)
    assert len(paths) > 8 and not [p for pair in paths for p in pair if p and not (ROOT / p).exists()]


def test_the_hooks_run_what_make_lint_runs():
    lint = MAKEFILE.split("\nlint:")[1].split("\n\n")[0]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = [re.sub(r" --force-exclude$", "", h["entry"].removeprefix(".venv/bin/")) for h in hooks]
    told = re.findall(r"\$\(BIN\)/(.+)", lint)
    assert entries == [line.removesuffix(" .") for line in told]


def test_every_module_that_the_changelog_sends_to_is_there():
    moved = (ROOT / "CHANGELOG.md").read_text().split("### Moved modules")[1].split("\n## ")[0]
    kept, renamed = moved.split("Renamed on the way")
    rows = re.findall(r"^\| `([\w.]+)` \| (`.+`) \|$", kept, re.M)
    now = [f"{room}.{m.removesuffix('.*')}" for room, names in rows for m in re.findall(r"`([^`]+)`", names)]
    now += [
        m for row in re.findall(r"^\| `.+?` \| (`.+)$", renamed, re.M) for m in re.findall(r"`([\w.]+)`", row)
    ]
    assert len(now) > 100
    places = [ROOT / "clinical_qkt" / name.replace(".", "/") for name in now]
    assert not [p for p in places if not p.is_dir() and not p.with_suffix(".py").is_file()]


def test_every_key_that_is_taken_under_an_old_name_is_in_the_changelog():
    rows = (ROOT / "CHANGELOG.md").read_text().split("### Renamed keys")[1].split("\n### ")[0]
    named = [re.findall(r"`-*([\w-]+)`", row) for row in rows.splitlines() if row.startswith("|")]
    taken = [*CONFIG.items(), *(pair for model in _models(Strict) for pair in model.RENAMED.items())]
    assert len(taken) > 5 and not [p for p in taken if not any(set(p) <= set(row) for row in named)]


def _models(model: type[Strict]) -> Iterator[type[Strict]]:
    yield model
    for part in model.__subclasses__():
        yield from _models(part)
