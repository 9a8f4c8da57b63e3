"""The how-to of the desk as it stands: real keys, packages, stages and a mailbox between two hospitals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from clinical_qkt.cli.app import app
from clinical_qkt.core.errors import explained
from clinical_qkt.exchange import examine, work
from clinical_qkt.exchange.at_desk import at_desk
from clinical_qkt.exchange.collected import collected
from clinical_qkt.site.ledger.ledger import Ledger
from tests.conftest import ROOT
from tests.docs.test_commands import checkout, here, squares
from tests.documented import commands, execute

__all__ = ["checkout", "here", "squares"]
PAGE = "docs/how-to/exchange-by-desk.md"


def here_and_now(desk: Any, command: Any, what: str, lock: Any) -> int:
    """What the desk's processes do, without their seconds of import."""
    _, flag, module, *words = command
    assert flag == "-m"
    if module.endswith("examine"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["examine", *words])
            examine.main()
        return 0
    done = CliRunner().invoke(app, words)
    problem = explained(done.exception)
    work.log_of(desk).parent.mkdir(exist_ok=True)
    work.log_of(desk).write_text(f"{done.output}{problem or ''}")
    return problem.exit_code if problem else done.exit_code


def test_the_how_to_runs_as_it_stands(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setattr(work, "_run", here_and_now)
    they = Path("runs/demo/sites/hospital_1.yaml")
    left_out = (
        "source",
        "clinical-qkt decline",
        "clinical-qkt exchange assess",
    )  # tested beside, and by a demo
    lines = [line for line in commands((ROOT / PAGE).read_text()) if not line.startswith(left_out)]
    first = next(i for i, line in enumerate(lines) if " ID" in line)
    execute(lines[:first], monkeypatch, here, {})
    (row,) = at_desk(they).store.of("in", "ask")
    variables = [line for line in lines[:first] if not line.startswith("clinical-qkt")]
    execute([*variables, *lines[first:]], monkeypatch, here, {" ID": f" {row.short}"})
    (folder,) = collected(at_desk(Path("runs/demo/sites/hospital_3.yaml")))["responses"]
    card = json.loads((folder / "card.json").read_text())
    assert card["site"] == "hospital_1" and card["answers"][0]["kind"] == "private_mean"
    (line,) = [one for one in Ledger(at_desk(they).ledger).lines() if one["kind"] == "private_mean"]
    assert line["asked_by"] == "hospital_3"


def test_what_was_not_on_the_screen_does_not_leave_though_it_was_approved(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setattr(work, "_run", here_and_now)
    you, they = (Path(f"runs/demo/sites/hospital_{i}.yaml") for i in (3, 1))
    for words in (
        ("run", "query", str(you), "--yes", "true"),
        ("exchange", "ask", str(you), "--to", "hospital_1"),
        ("exchange", "sweep", str(you)),
        ("exchange", "sweep", str(they)),
    ):
        assert CliRunner().invoke(app, words).exit_code == 0
    (row,) = at_desk(they).store.of("in", "ask")
    words = ["approve", str(they), row.short, "--new-ledger", "--yes"]
    assert CliRunner().invoke(app, words).exit_code == 0
    values = yaml.safe_load(they.read_text())
    values["policy"] = {"kinds": ["covariance"], "unit": "image", "minimum_patients": 2}
    they.write_text(yaml.safe_dump(values))
    assert CliRunner().invoke(app, ["exchange", "sweep", str(they)]).exit_code == 0
    assert at_desk(they).store.of("in", "ask")[0].state == "approved"
    assert "is not what was agreed to" in work.log_of(at_desk(they)).read_text()
    assert (
        not at_desk(they).store.of("out", "reply") and not Path(values["ledger"]).with_suffix(".x").exists()
    )
    shutil.rmtree(here)


@pytest.mark.parametrize("command", ["inbox", "outbox", "exchange status"])
def test_no_command_of_the_desk_waits_for_torch(command, world):
    code = f"import sys; sys.argv = ['clinical-qkt', *{command.split()!r}, {str(world.yaml('ask'))!r}]\n"
    code += (
        "from clinical_qkt.cli.app import app\napp(standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
