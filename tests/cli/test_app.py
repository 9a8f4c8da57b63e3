"""Bad input: one clear message, an exit code that scripts can use, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from clinical_qkt import bundle
from clinical_qkt.cli.app import app
from clinical_qkt.core.errors import QKTError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.version import __version__
from tests.conftest import CONFIGS, DEMO, run, square
from tests.documented import PATH


def refused(capfd: pytest.CaptureFixture, code: int, message: str, *arguments: str) -> None:
    assert run(*arguments) == code
    error = capfd.readouterr().err
    assert message in error, error
    assert error.count("error: ") == 1 and "To fix it: " in error and "Traceback" not in error


def test_a_missing_data_file(tmp_path, capfd):
    refused(
        capfd,
        2,
        "no.npz: does not exist",
        "demo",
        "--data",
        str(tmp_path / "no.npz"),
        "--out",
        str(tmp_path / "o"),
    )
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--query", "orange"], 2, "the data has no class 'orange'"),
        (["--student", "hospital_9"], 2, "there is no site 'hospital_9'"),
        (["--classes-per-site", "5"], 2, "a site cannot have 5 of 5 classes"),
        (["--classes-per-site", "2", "--sites", "2"], 2, "cannot hold 5 classes"),
        (["--query", "red", "--query", "green", "--query", "blue"], 4, "knows a queried class already"),
    ],
)
def test_a_senseless_federation(npz, tmp_path, capfd, options, code, message):
    refused(capfd, code, message, "demo", "--data", str(npz), "--out", str(tmp_path / "o"), *DEMO, *options)
    assert not (tmp_path / "o").exists()


def test_a_query_that_the_student_knows_already(npz, demo, tmp_path, capfd):
    known = json.loads((demo / "summary.json").read_text())["student"]
    options = ["--student", known["site"], "--query", known["classes"][0]]
    refused(
        capfd,
        4,
        "knows a queried class already",
        "demo",
        "--data",
        str(npz),
        "--out",
        str(tmp_path / "o"),
        *DEMO,
        *options,
    )


def test_an_earlier_run_is_not_overwritten_unless_asked(npz, demo, capfd):
    before = (demo / "summary.json").read_bytes()
    refused(capfd, 5, "holds an earlier run", "demo", "--data", str(npz), "--out", str(demo), *DEMO)
    assert (demo / "summary.json").read_bytes() == before


def test_other_peoples_files_are_never_deleted(npz, tmp_path, capfd):
    (tmp_path / "thesis.txt").write_text("years of work")
    refused(
        capfd,
        5,
        "files that are not a demo's",
        "demo",
        "--data",
        str(npz),
        "--out",
        str(tmp_path),
        "--overwrite",
    )
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_output_folder_that_cannot_be_written(npz, tmp_path, capfd):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run("demo", "--data", str(npz), "--out", str(out), *DEMO) == 5
        assert "file" in capfd.readouterr().err
    assert (tmp_path / "file").read_text() == "x"


def test_mixed_sizes_and_channels_in_a_folder(folder, tmp_path, capfd):
    Image.fromarray(square("red", 0, size=31)).save(folder / "red" / "00.png")
    demo = ("demo", "--data", str(folder), "--out", str(tmp_path / "o"))
    refused(capfd, 2, "'00.png' is 31x31", *demo)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "red" / "00.png")
    refused(capfd, 2, "'00.png' has 1, most have 3", *demo)
    assert not (tmp_path / "o").exists()


def test_prepare_makes_what_the_bundle_takes(folder, tmp_path, capfd):
    out = tmp_path / "site"
    assert run("prepare", str(folder), "--out", str(out), "--site", "ward_7") == 0
    values = yaml.safe_load((out / "site.yaml").read_text())
    bundle.run([CONFIGS / "train.yaml", out / "site.yaml"], max_epochs=1)
    assert run("package", "verify", "--unsigned", str(Path(values["output_dir"]) / "model")) == 0
    refused(capfd, 5, "is not an empty folder", "prepare", str(folder), "--out", str(out))


# The command line itself


def test_the_version_is_told(capfd):
    assert run("--version") == 0
    assert capfd.readouterr().out.strip() == __version__


def every_command() -> list[tuple[str, ...]]:
    """The words of each command that is shown in a help page."""
    found: list[tuple[str, ...]] = [()]
    for words in found:
        command = typer.main.get_command(app)
        for word in words:
            command = command.commands[word]
        inner = getattr(command, "commands", {})
        found += [(*words, name) for name, c in inner.items() if not c.hidden]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_fits_80_columns_and_cuts_no_word(words, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    assert run(*words, "--help") == 0
    shown = capfd.readouterr().out
    assert "Usage" in shown and max(map(len, shown.splitlines())) <= 80
    assert not re.findall(r"[\w,.]…", shown)


def test_commands_stand_in_groups(capfd):
    assert run("--help") == 0
    shown = capfd.readouterr().out
    groups = ("A hospital's way", "Packages and keys", "Review", "Research")
    assert sorted(groups, key=shown.index) == list(groups)
    assert shown.index("prepare") < shown.index("check ") < shown.index("Packages and keys")


def test_a_shell_gets_its_completion():
    env = {
        **os.environ,
        "_CLINICAL_QKT_COMPLETE": "complete_bash",
        "COMP_WORDS": "clinical-qkt pre",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(["clinical-qkt"], env={**env, "PATH": PATH}, capture_output=True, text=True)
    assert done.stdout.split() == ["prepare"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_with_its_own_code_and_one_sentence(number, code, capfd):
    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    with pytest.raises(SystemExit) as e:
        exit_codes(lambda: signal.raise_signal(number))
    said = capfd.readouterr().err.strip()
    assert e.value.code == code and said.startswith("stopped") and "\n" not in said
    assert signal.getsignal(signal.SIGINT) is before


def test_a_full_disk_is_an_error_and_no_traceback(capfd):
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/Mueller.png")

    with pytest.raises(SystemExit) as e:
        exit_codes(fail)
    said = capfd.readouterr().err
    assert e.value.code == 5 and "the disk is full" in said and "Mueller" not in said


def test_a_stage_ends_with_its_result_and_the_next_command(demo, tmp_path, capfd):
    site = site_of(demo, tmp_path, output_dir=str(tmp_path / "out"), package_dir=str(tmp_path / "p"))
    for stage, said, following in (
        ("train", "validation images", "run evaluate"),
        ("evaluate", "test images", "run transfer"),
        ("share", "send the folder", "package verify p"),
        ("transfer", "report.html", "run inference"),
    ):
        assert run("run", stage, str(site), "--max_epochs", "1", *AGREED.get(stage, ())) == 0
        seen = capfd.readouterr()
        assert seen.out.startswith("With MONAI's own launcher:\npython -m monai.bundle run --config_file ")
        assert said in seen.out and f"clinical-qkt {following}" in seen.out, stage
        assert "Warning" not in seen.out + seen.err and " - INFO - " not in seen.out + seen.err
        assert (tmp_path / "out" / "log" / f"{stage}.log").is_file()
    assert seen.out.splitlines()[-1].startswith(("Accepted", "Not accepted", "Cannot be"))
    texts = [p.read_text() for p in (tmp_path / "out" / "log").iterdir()]
    assert texts and not [t for t in texts if str(tmp_path) in t or ".png" in t]
    refused(capfd, 5, "holds the result of an earlier run", "run", "train", str(site))


AGREED = {"share": ("--yes", "true")}


def site_of(demo: Path, tmp_path: Path, **changes) -> Path:
    """The demo's student with changed values and its trained model at hand."""
    student = next(
        p for p in sorted(demo.glob("sites/*.yaml")) if "teachers" in yaml.safe_load(p.read_text())
    )
    values = yaml.safe_load(student.read_text())
    values |= {"transfer_dir": str(tmp_path / "t"), "mlflow": f"sqlite:///{tmp_path}/m.db", **changes}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def without_queried_images(demo: Path, tmp_path: Path) -> Path:
    """The student's datalist as a real hospital would have it."""
    values = yaml.safe_load(site_of(demo, tmp_path).read_text())
    data = Path(values["data"])
    content = json.loads(data.read_text())
    for section in ("training", "validation", "test"):
        kept = [e for e in content[section] if e["label"] not in values["query"]]
        content[section] = [{**e, "image": str(data.parent / e["image"])} for e in kept]
    (tmp_path / "d.json").write_text(json.dumps(content))
    return tmp_path / "d.json"


def transfer(site: Path) -> None:
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", site])


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"query": ["orange"], "data": "without queried images"}, 4, "no teacher knows 'orange'"),
        ({"query": []}, 2, "query: is empty"),
        ({"teachers": []}, 2, "teachers or responses or published: is empty"),
        ({"teachers": ["/nowhere/package"]}, 3, "/nowhere/package: there is no such folder"),
        ({"channels": 1}, 2, "images have 3 channels, the site's model takes 1"),
        ({"data": "/nowhere/list.json"}, 2, "/nowhere/list.json: the datalist cannot be read"),
        ({"forgetting_budget": "lots"}, 2, "forgetting_budget"),
        ({"mlflow": "sqlite:////proc/none/m.db"}, 2, "mlflow: sqlite:////proc/none/m.db"),
        ({"settings::divergnce": "kl"}, 2, "divergnce"),
        ({"transfer_dir": "/proc/none"}, 5, "cannot write"),
    ],
)
def test_a_transfer_that_cannot_be(demo, tmp_path, changes, code, message):
    if changes.get("data", "").startswith("without"):
        changes = {**changes, "data": str(without_queried_images(demo, tmp_path))}
    with pytest.raises(QKTError) as e:
        transfer(site_of(demo, tmp_path, **changes))
    assert e.value.exit_code == code and message in str(e.value) and e.value.fix
    assert not (tmp_path / "t" / "summary.json").exists() and not (tmp_path / "t" / "model").exists()


def test_a_query_that_the_site_knows_is_refused_before_anything_is_read(demo, tmp_path):
    known = yaml.safe_load(site_of(demo, tmp_path).read_text())["classes"][0]
    with pytest.raises(QKTError, match=f"knows '{known.upper()}' already"):
        transfer(site_of(demo, tmp_path, query=[known.upper()], data="/nowhere"))


def test_without_queried_test_images_the_gain_is_unknown_and_not_invented(demo, tmp_path):
    transfer(site_of(demo, tmp_path, data=str(without_queried_images(demo, tmp_path)), max_epochs=1))
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    gained = next(c for c in summary["criteria"] if c["name"] == "query_recall")
    assert summary["after"]["query_recall"] is None and gained["outcome"] == "undecided"
    assert gained["measured"] is None and gained["images_needed"] > 0
    assert summary["verdict"] != "accepted"
    query = summary["student"]["query"][0]
    for teacher in summary["teachers"]:  # what evidence there is, then
        assert set(teacher["recall"]) == ({query} if query in teacher["classes"] else set())
        seen = teacher["agreement"]
        assert seen["images"] == 12 * len(set(teacher["classes"]) & set(summary["student"]["classes"]))
        assert 0 <= seen["share"] <= 1
    assert "is unknown: there are no test images of it" in (tmp_path / "t" / "report.html").read_text()
