"""What a program may take from the package is on its page, and the page's example runs."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import textwrap

import clinical_qkt
from tests.conftest import ROOT

PAGE = (ROOT / "docs/reference/python.md").read_text()
NAMES = set(clinical_qkt.__all__)


def test_every_public_name_is_there_and_known_to_type_checkers_and_on_the_page():
    tree = ast.parse((ROOT / "clinical_qkt/__init__.py").read_text())
    checked = {a.asname for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names if a.asname}
    assert checked == NAMES <= set(dir(clinical_qkt)) and len(NAMES) > 15
    assert all(getattr(clinical_qkt, name) for name in NAMES) and not hasattr(clinical_qkt, "nonsense")
    rows = "".join(re.findall(r"^\| (.+?) \|", PAGE, re.M))
    assert set(re.findall(r"`(\w+)", rows)) == NAMES


def test_the_package_alone_imports_nothing_but_its_list():
    look = "import sys; before = set(sys.modules); import clinical_qkt; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert "clinical_qkt" in done.stdout and not {"typing", "torch", "pydantic"} & set(done.stdout.split())


def test_the_example_runs_and_says_what_it_says(demo, monkeypatch, tmp_path, capsys):
    here = tmp_path / "runs" / "demo"
    shutil.copytree(demo, here, ignore=shutil.ignore_patterns("mlartifacts", "mlflow.db", "*[1-9].png"))
    site = here / "sites" / "hospital_1.yaml"
    site.write_text(site.read_text().replace(str(demo), str(here)))
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent("\n".join(re.findall(r"^(?:    .*|)$", PAGE.split("\n| name")[0], re.M))), {})
    said = capsys.readouterr().out
    assert "hospital_1" in said and "accepted" in said and "there is no stage 'trian'" in said
    assert (tmp_path / "runs/python/predictions.csv").is_file()
