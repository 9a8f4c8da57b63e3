"""Commands that only look at words, files and paths wait for no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from clinical_qkt.packages.signing import new_key
from tests.conftest import site_file

LOOK = """
import contextlib, io, json, sys
sys.argv = ["clinical-qkt", *sys.argv[1:]]
code = 0
from clinical_qkt.cli.app import main
try:
    main()
except SystemExit as e:
    code = e.code
heavy = [m for m in ("torch", "monai", "mlflow", "matplotlib") if m in sys.modules]
print(json.dumps([code, heavy]), file=sys.stderr)
"""
COMMANDS = {
    "--help": 0,
    "--version": 0,
    "": 2,
    "nonsense": 2,
    "run": 2,
    "run --help": 0,
    "run train none.yaml": 2,
    "run train .": 2,
    "run train broken.yaml": 2,
    "run train nameless.yaml": 2,
    "run trian site.yaml": 2,
    "run train site.yaml --max_epoch 3": 2,
    "run train site.yaml --overwrite": 2,
    "check none.yaml": 2,
    "check site.yaml trian": 2,
    "prepare none --out new": 2,
    "prepare site.yaml --out keys": 5,
    "prepare --nonsense": 2,
    "ledger none.db": 2,
    "keys new a --out keys": 5,
    "keys new b --out keys": 0,
    "keys fingerprint keys/a.pub": 0,
    "keys fingerprint none.pub": 2,
    "package verify none": 2,
    "package verify none --unsigned": 3,
    "package verify none --site site.yaml": 3,
    "package verify site.yaml --unsigned": 3,
    "package show none": 3,
    "package diff none none": 3,
    "package sign none --key keys/a.key": 3,
    "align none.yaml none": 2,
    "align site.yaml none": 3,
    "compare one": 2,
    "export none out --format onnx --unsigned": 3,
    "export keys keys --format bundle --unsigned": 5,
    "export keys out --format bundle": 2,
    "compare none nowhere": 2,
    "sync none.db": 2,
    "worklist none.yaml --images keys --count 50": 2,
    "worklist site.yaml --images none --count 50": 2,
    "worklist-result site.yaml none --images keys": 2,
    "benchmark none.yaml": 2,
    "demo --data none": 2,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_looks_or_refuses_loads_no_torch(command, tmp_path):
    site_file(tmp_path, bundle="blood_cell_classification", data="d.json")
    (tmp_path / "broken.yaml").write_text("site: [")
    (tmp_path / "nameless.yaml").write_text("site: us")
    new_key("a", tmp_path / "keys")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *command.split()], cwd=tmp_path, capture_output=True, text=True
    )
    *said, last = done.stderr.splitlines()
    assert json.loads(last) == [COMMANDS[command], []], done.stderr
    assert "Traceback" not in done.stderr
    if said and said[0].startswith("error: "):
        assert len(said) == 2 and said[1].startswith("To fix it: ")


def test_a_ledger_is_shown_without_torch_even_with_what_was_spent(tmp_path):
    from clinical_qkt.privacy.mechanisms import Guarantee
    from clinical_qkt.site.ledger.ledger import Ledger, Requested

    each, total = Guarantee(1.0, 1e-5), Guarantee(4.0, 1e-5)
    ledger = Ledger(tmp_path / "l.db")
    ledger.begin()
    ledger.release(Requested("a", "q", "c", "private_mean", "d"), each, total, list)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, "ledger", str(tmp_path / "l.db")], capture_output=True, text=True
    )
    assert "epsilon 1.00 at delta 1e-05" in done.stdout
    code, heavy = json.loads(done.stderr.splitlines()[-1])
    assert code == 0 and "torch" not in heavy


def test_a_first_look_says_what_the_reader_says(tmp_path, capfd):
    """The same path is refused alike by who looks first and by who reads."""
    from clinical_qkt.cli.paths import require_packages
    from clinical_qkt.core.errors import PackageError
    from clinical_qkt.packages.verify import verify

    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(PackageError) as first:
            require_packages([path])
        with pytest.raises(PackageError) as reader:
            verify(path, None)
        assert first.value.problem == reader.value.problem
