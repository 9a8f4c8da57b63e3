"""From a stage's name and a site's YAML to what is run: `clinical-qkt run`, before anything is loaded."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clinical_qkt.core import shipped_bundles
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.shipped_bundles import bundle_folder, chain, shipped, stages
from clinical_qkt.site.launch import plan, quoted
from tests.conftest import ROOT, run, site_file
from tests.documented import shell

CELLS = "blood_cell_classification"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_file(tmp_path, bundle=CELLS, data="d.json")


def refused(stage: str, site: Path, *words: str, bundle: str | None = None) -> InputError:
    with pytest.raises(InputError) as e:
        plan(stage, site, words, bundle)
    assert e.value.fix and "\n" not in e.value.problem
    return e.value


# Stages and bundles


@pytest.mark.parametrize("stage", stages(bundle_folder(CELLS)))
def test_every_config_of_a_bundle_is_a_stage_that_stands_on_train(stage, site):
    files = [p.stem for p in plan(stage, site, ()).files]
    assert files[0] == "train" and files[-1] == "site" and files[-2] == stage


def test_an_overlay_stands_on_what_its_name_begins_with():
    known = ["train", "train_private", "transfer", "transfer_light", "transfer_light_twice", "a_b"]
    assert chain("transfer_light_twice", known) == [
        "train",
        "transfer",
        "transfer_light",
        "transfer_light_twice",
    ]
    assert chain("train_private", known) == ["train", "train_private"]
    assert chain("a_b", known) == ["train", "a_b"]


def test_a_bundle_is_named_by_the_site_or_for_once_and_may_be_a_folder(site, tmp_path):
    assert plan("train", site, ()).bundle == shipped()[CELLS]
    assert plan("train", site, (), "hippocampus_region_3d").bundle.name == "hippocampus_region_3d"
    own = tmp_path / "own bundle"
    (own / "configs").mkdir(parents=True)
    (own / "configs" / "train.yaml").write_text("site: null\n")
    assert plan("train", site, (), str(own)).files[0] == own / "configs" / "train.yaml"


@pytest.mark.parametrize("named", [None, ""])
def test_a_site_that_names_no_bundle_is_told_which_there_are(named, tmp_path):
    error = refused("train", site_file(tmp_path, bundle=named))
    assert "names no bundle" in str(error) and all(name in error.fix for name in shipped())


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("blood_cell_clasification", "did you mean 'blood_cell_classification'"),
        ("/nowhere", "there is no bundle '/nowhere'"),
        ([CELLS], "is no bundle's name"),
        (3, "is no bundle's name"),
    ],
)
def test_a_bundle_that_is_none_is_refused(named, said, tmp_path):
    assert said in str(refused("train", site_file(tmp_path, bundle=named)))


def test_a_folder_that_is_no_bundle_is_refused_as_such(site, tmp_path):
    assert "is no bundle" in str(refused("train", site, bundle=str(tmp_path)))


@pytest.mark.parametrize(("stage", "meant"), [("trian", "train"), ("transfer-distil", "transfer_distil")])
def test_a_misspelt_stage_is_told_the_likeliest(stage, meant, site):
    assert f"did you mean '{meant}'" in refused(stage, site).fix


def test_site_and_stage_in_the_wrong_order_are_told_the_right_one(site):
    assert f"clinical-qkt run train {site}" in refused(str(site), Path("train")).fix


# The site's file


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path):
    assert "no such file" in str(refused("train", tmp_path / "none.yaml"))
    assert "is a folder" in str(refused("train", tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"site: [", "is no YAML file (line"),
        (b"site: a\n\tdata: b\n", "is no YAML file (line 2"),
        (b"- a\n- b\n", "holds no 'key: value' lines"),
        (b"", "holds no 'key: value' lines"),
        (b"just words", "holds no 'key: value' lines"),
        ("site: Höpital".encode("latin-1"), "is no text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00", "is no"),
        (b"seed: 1\nsite: a\nseed: 2\n", "says 'seed' twice"),
        (b"policy: {epsilon: 1, epsilon: 2}\n", "says 'epsilon' twice"),
        (b"when: 2026-13-45\n", "is no YAML file"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(content, said, tmp_path):
    (tmp_path / "site.yaml").write_bytes(content)
    assert said in str(refused("train", tmp_path / "site.yaml"))


# Keys on the command line


@pytest.mark.parametrize("name", ["$x", "@site", " %y", "a %#b"])
@pytest.mark.parametrize("key", ["classes", "query"])
def test_a_class_that_monai_would_evaluate_is_refused(key, name, tmp_path):
    content = {"site": "us", "bundle": "blood_cell_classification", key: ["red", {"name": name}]}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(content))
    said = str(refused("train", tmp_path / "site.yaml"))
    assert f"site.yaml: {key}" in said and "is an expression" in said


def test_keys_are_taken_in_each_form_as_monais_launcher_reads_them(site):
    words = ["--max_epochs", "3", "--settings::variant=distil", "--responses", "['a','b']", "--seed", "-1"]
    assert plan("transfer", site, words).overrides == {
        "max_epochs": 3, "settings::variant": "distil", "responses": ["a", "b"], "seed": -1
    }  # fmt: skip
    assert plan("train", site, ["--max-epochs=3", "--licence", ""]).overrides == {
        "max_epochs": 3,
        "licence": "",
    }


@pytest.mark.parametrize("words", [["--overwrite"], ["--overwrite", "--seed", "1"], ["--seed", "1", "--yes"]])
def test_a_key_without_a_value_is_refused_with_the_form_that_works(words, site):
    error = refused("share", site, *words)
    assert "has no value" in str(error) and f"{error.where} true" in error.fix


def test_a_misspelt_key_is_told_the_likeliest(site):
    assert "did you mean 'max_epochs'" in refused("train", site, "--max_epoch", "3").fix


def test_a_key_of_another_stage_is_not_silently_dropped(site):
    error = refused("train", site, "--request", "folder")
    assert "is a key of answer and assess, not of train" in str(error)


@pytest.mark.parametrize("key", ["--config_file", "--meta_file", "--run_id", "--args_file"])
def test_what_belongs_to_monais_launcher_is_no_key(key, site):
    assert "unknown key" in str(refused("train", site, key, "x"))


@pytest.mark.parametrize(
    "words", [["stray"], ["--seed", "1", "2"], ["-x", "1"], ["--", "--seed", "1"], ["--=1"]]
)
def test_a_word_without_a_key_is_refused(words, site):
    assert "belongs to no key" in str(refused("train", site, *words))


def test_a_key_that_is_given_twice_is_refused(site):
    assert "is given twice" in str(refused("train", site, "--seed", "1", "--seed=2"))


def test_a_site_s_every_key_can_be_given(site):
    from clinical_qkt.site.config import Site

    for key in set(Site.model_fields) - {"bundle"}:
        plan("train", site, [f"--{key}", "x"])


# The line for MONAI's launcher


def arguments_in_a_shell(line: str, folder: Path) -> list[str]:
    """What a program would be given by a pasted line."""
    pasted = line.replace("python -m monai.bundle", shlex.join([sys.executable, "-c", SHOW]), 1)
    return json.loads(subprocess.run(["sh", "-c", pasted], cwd=folder, capture_output=True, text=True).stdout)


SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.mark.parametrize(
    "name", ["plain", "two words", "it's", 'a "quoted" one', "dollar$HOME", "b`tick`", "x!y", "#"]
)
@pytest.mark.parametrize("value", ["distil", "it's", "$HOME", "a b", "ward #3", "-x", "['a b']", ""])
def test_the_line_says_the_same_in_a_shell_whatever_names_hold(name, value, tmp_path, monkeypatch):
    from fire.parser import DefaultParseValue

    folder = tmp_path / name
    folder.mkdir()
    site = site_file(folder, bundle=CELLS, data="d.json")
    monkeypatch.chdir(folder)
    launch = plan("evaluate", site, [f"--licence={value}"])
    words = arguments_in_a_shell(launch.line(), folder)
    files = DefaultParseValue(words[words.index("--config_file") + 1])
    assert [Path(f).absolute() for f in files] == [f.absolute() for f in launch.files]
    given = next(w for w in words[-2:] if w.startswith("--licence"))
    word = given.partition("=")[2] if "=" in given else words[-1]
    assert DefaultParseValue(word) == launch.overrides["licence"]


@pytest.mark.slow
def test_the_pasted_line_ends_with_the_same_files(demo, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "it's a ward"
    folder.mkdir()
    monkeypatch.chdir(folder)
    site = next(
        p for p in sorted(demo.glob("sites/*.yaml")) if "teachers" not in yaml.safe_load(p.read_text())
    )
    own = folder / "site.yaml"
    own.write_text(
        yaml.safe_dump(yaml.safe_load(site.read_text()) | {"mlflow": f"sqlite:///{tmp_path}/m.db"})
    )
    assert run("run", "evaluate", "site.yaml", "--result", "out put/e.json") == 0
    shown = capfd.readouterr().out
    line = next(x for x in shown.splitlines() if x.startswith("python -m monai.bundle run"))
    first = json.loads((folder / "out put/e.json").read_text())
    (folder / "out put/e.json").unlink()
    assert shell(line, folder) == 0
    assert json.loads((folder / "out put/e.json").read_text()) == first
    assert "clinical-qkt run inference site.yaml" in shown


def test_the_next_command_carries_what_it_needs_to_find_the_results(site):
    launch = plan("train", site, ["--output_dir", "new place", "--max_epochs", "3"], "hippocampus_region_3d")
    told = launch.next_line("evaluate")
    assert '--output_dir "new place"' in told and "max_epochs" not in told
    assert "--bundle hippocampus_region_3d" in told
    assert "--bundle" not in plan("train", site, ()).next_line("share")


@pytest.mark.parametrize("word", ["a", "a b", "$x", "it's", 'q"q', "a\\b", "!", "['a']", "\n", "é"])
def test_a_quoted_word_is_one_word_for_a_shell(word):
    assert shlex.split(quoted(word)) == [word]


# From any folder, and from a wheel


def test_an_installed_package_carries_its_bundles(tmp_path, monkeypatch):
    """As the wheel lays them: beside the modules."""
    place = tmp_path / "site-packages" / "clinical_qkt"
    (place / "core").mkdir(parents=True)
    shutil.copytree(ROOT / "bundles", place / "bundles")
    monkeypatch.setattr(shipped_bundles, "__file__", str(place / "core" / "shipped_bundles.py"))
    monkeypatch.chdir("/")
    assert set(shipped()) >= {CELLS, "body_region_radiograph"}
    assert all(place in folder.parents for folder in shipped().values())
    assert plan("share", site_file(tmp_path, bundle=CELLS), ()).files[1].is_file()
