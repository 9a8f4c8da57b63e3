"""Nobody is told that this software runs: MLflow's telemetry is off on every path."""

import shutil
import subprocess
import sys

import pytest

from clinical_qkt.core.quiet import OFF, no_telemetry
from tests.conftest import CONFIGS, DEMO
from tests.lookups import looked_up

LOGS_A_RUN = """
import time
{first}
from clinical_qkt.review.tracking.tracker import Tracker
tracker = Tracker("sqlite:///m.db", "task")
with tracker.run("transfer"):
    pass
time.sleep(1)
"""


def test_telemetry_is_turned_off_and_whoever_turned_it_on_is_left_alone():
    nothing, asked, elsewhere = {}, {OFF: "false"}, {"DO_NOT_TRACK": "1"}
    for environment in (nothing, asked, elsewhere):
        no_telemetry(environment)
    assert nothing == {OFF: "true", "DO_NOT_TRACK": "true"}
    assert asked == {OFF: "false"}
    assert elsewhere == {OFF: "true", "DO_NOT_TRACK": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import mlflow", "import monai.bundle"])
def test_a_run_looks_up_no_foreign_name_whatever_was_imported_first(tmp_path, first):
    assert looked_up(tmp_path, "-c", LOGS_A_RUN.format(first=first)) == set()
    assert not (tmp_path / ".config" / "mlflow").exists() or first  # MLflow makes its number when imported


@pytest.mark.slow
def test_whoever_wants_telemetry_has_it_so_that_the_watch_is_known_to_see(tmp_path):
    seen = looked_up(tmp_path, "-c", LOGS_A_RUN.format(first=""), MLFLOW_DISABLE_TELEMETRY="false")
    assert any("mlflow" in name for name in seen)


@pytest.mark.slow
def test_a_whole_demo_looks_up_no_foreign_name(tmp_path, npz):
    words = ("demo", "--data", str(npz), "--out", str(tmp_path / "out"), *DEMO)
    assert looked_up(tmp_path, "-m", "clinical_qkt", *words) == set()


@pytest.mark.slow
def test_a_stage_of_monais_own_launcher_looks_up_no_foreign_name(tmp_path, demo):
    files = f"['{CONFIGS / 'train.yaml'}','{demo / 'sites' / 'hospital_1.yaml'}']"
    words = ("run", "--config_file", files, "--bundle_root", str(CONFIGS.parent), "--max_epochs", "1")
    places = ("--output_dir", str(tmp_path / "out"), "--mlflow", f"sqlite:///{tmp_path / 'm.db'}")
    assert looked_up(tmp_path, "-m", "monai.bundle", *words, *places) == set()


@pytest.mark.slow
def test_a_demo_works_where_there_is_no_network_at_all(tmp_path, npz):
    alone = [shutil.which("unshare") or "unshare", "--map-root-user", "--net"]
    try:
        tried = subprocess.run([*alone, "true"], capture_output=True, text=True)
    except OSError as e:
        pytest.skip(f"unshare cannot be used: {e}")
    if tried.returncode:
        pytest.skip(f"no network namespace may be made here: {tried.stderr.strip()}")
    words = ["-m", "clinical_qkt", "demo", "--data", str(npz), "--out", str(tmp_path / "out"), *DEMO]
    done = subprocess.run([*alone, sys.executable, *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "summary.json").is_file()
