"""docs/how-to/set-up-a-consortium.md: its commands, in their order, in an empty folder."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clinical_qkt.exchange.carriers.flare.settings import SiteSettings
from clinical_qkt.exchange.kit_check import careless
from clinical_qkt.exchange.provision import read_consortium
from tests.conftest import ROOT
from tests.documented import code_lines, commands, execute

PAGE = (ROOT / "docs/how-to/set-up-a-consortium.md").read_text()
LINES = [line for line in code_lines(PAGE) if re.match(r"(clinical-qkt exchange|nvflare|cp) ", line)]
KIT = "kits/blood_cells/prod_00/hospital_a"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the page's consortium.yaml."""
    block = PAGE.split("written in small letters:\n\n")[1].split("\n\n")[0]
    (tmp_path / "consortium.yaml").write_text("\n".join(line[4:] for line in block.splitlines()))
    return tmp_path


def test_the_page_writes_down_a_consortium(here):
    assert {*read_consortium(here / "consortium.yaml").sites} == {"hospital_a", "hospital_b"}
    assert [line.split()[0] for line in LINES] == [
        *["clinical-qkt"], *["nvflare"] * 4, "cp", *["clinical-qkt"] * 3,
    ]  # fmt: skip
    assert {*commands(PAGE)} <= {*LINES, 'pip install "clinical-qkt[federation]"'}


def test_the_commands_run_as_they_stand(here, monkeypatch):
    execute(LINES[:1], monkeypatch, here, {})
    assert json.loads((here / "flare/policies/hospital_b/local/exchange.hospital_b.json").read_text())[
        "spool"
    ] == ("/srv/parcels/spool")
    if importlib.util.find_spec("nvflare"):
        flare(here, monkeypatch)


def flare(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLARE's own commands; the fingerprint is the one that the first of them prints."""
    monkeypatch.setenv("HOME", str(here))  # where FLARE keeps an audit of requests
    printed = ""
    for line in LINES[1:5]:
        words = line.replace("FINGERPRINT", printed).split()[1:]
        done = subprocess.run(
            [sys.executable, "-m", "nvflare.cli", *words],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed = printed or re.findall(r"fingerprint_sha256: (\S+)", done.stdout)[0]
    assert careless(here / KIT)  # FLARE's defaults
    execute(LINES[5:7], monkeypatch, here, {})
    assert not careless(here / KIT)


def test_the_page_names_each_key_of_a_sites_settings_and_what_is_careless():
    row = next(line for line in PAGE.splitlines() if line.startswith("| `exchange.SITE.json`"))
    assert all(word in row for word in ("spool", "who may start sweeps", "largest parcel", "quota"))
    assert len(SiteSettings.model_fields) == 5
