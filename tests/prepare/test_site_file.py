"""The site's YAML that ``prepare`` writes is complete: a stage runs with it as it stands."""

import json
import shlex

import numpy as np
import pydicom
import pytest
import yaml
from PIL import Image

from clinical_qkt.site.config import Site, check_site
from tests.conftest import COLOURS, run, square
from tests.make_dicom import write_dicom

from .conftest import pictures, prepared, summary


def test_it_names_bundle_size_network_and_batch_with_a_reason_each(large, capfd):
    out = prepared(large, "--site", "ward_3")
    text = (out / "site.yaml").read_text()
    values = yaml.safe_load(text)
    assert values["bundle"] == "blood_cell_classification" and values["channels"] == 3
    assert values["spatial_size"] == [224, 149] and values["architecture"] == "resnet_small_stride2"
    assert values["batch_size"] == 4 and values["max_epochs"] == 25
    lines = text.splitlines()
    for key in values:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
        assert lines[at - 1].startswith("# ") and len(lines[at - 1]) > 4
    assert any("shrunk from 300x200 to 224x149 pixels, by 1.3" in note for note in summary(out)["notes"])
    told = capfd.readouterr().out.replace("\n", "")
    assert "shrunk from 300x200" in told and f"clinical-qkt run train {out / 'site.yaml'}" in told
    known = {k: v for k, v in values.items() if k in Site.model_fields}
    assert check_site(
        {**known, "package_dir": "p", "query_dir": "q", "transfer_dir": "t", "ledger": "l"}, "x"
    )


@pytest.mark.parametrize("size", [(96, 96), (512, 512)])
def test_a_hospitals_way_from_a_folder_to_a_figure_needs_no_edited_key(tmp_path, size, capfd):
    for kind in list(COLOURS)[:2]:
        (tmp_path / "in" / kind).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(square(kind, i, size=32)).resize(size).save(tmp_path / "in" / kind / f"{i}.jpg")
    site = prepared(tmp_path / "in", "--site", "ward_3") / "site.yaml"
    assert run("run", "train", str(site), "--max_epochs", "2") == 0
    assert run("run", "evaluate", str(site)) == 0
    found = json.loads((site.parent / "results" / "evaluation.json").read_text())
    assert found["recall"] is not None
    card = json.loads((site.parent / "results" / "model" / "card.json").read_text())
    assert card["input"]["spatial_size"] == ([96, 96] if size == (96, 96) else [224, 224])


@pytest.mark.parametrize("name", ["$1+1", "@image", "%x", " $a", "a@#b"])
def test_a_class_that_monai_would_evaluate_is_refused(tmp_path, name, capfd):
    for i, folder in enumerate((name, "plain $5 @ 3 %")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for k, picture in enumerate(pictures(10, i)):
            Image.fromarray(picture).save(tmp_path / "in" / folder / f"{k}.png")
    prepared(tmp_path / "in", code=2)
    told = " ".join(capfd.readouterr().err.split())
    assert f"'{name}' is an expression in MONAI's files" in told and "rename the class" in told


def test_very_dark_pictures_are_told_and_zeros_and_ones_refused(tmp_path, capfd):
    for i, folder in enumerate("ab"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for k, picture in enumerate(pictures(10, i)):
            Image.fromarray(picture // 16).save(tmp_path / "in" / folder / f"{k}.png")
            (tmp_path / "flat" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture // 128).save(tmp_path / "flat" / folder / f"{k}.png")
    assert any("20 of 20 pictures are very dark" in n for n in summary(prepared(tmp_path / "in"))["notes"])
    prepared(tmp_path / "flat", out="other", code=2)
    assert "nothing but 0 and 1 of 255" in " ".join(capfd.readouterr().err.split())


def test_the_commands_that_come_next_can_be_pasted(large, capfd):
    out = prepared(large, out="ward 3's site")
    assert (
        f"# Next: clinical-qkt check {shlex.quote(str(out / 'site.yaml'))}\n"
        in (out / "site.yaml").read_text()
    )
    assert f"run train {shlex.quote(str(out / 'site.yaml'))}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "better"), [("Hôpital A", "hopital_a"), ("", "hospital_a"), ("a/b", "a_b"), ("x" * 65, "x" * 64)]
)
def test_a_name_that_no_package_can_bear_is_refused_before_anything_is_opened(large, name, better, capfd):
    out = prepared(large, "--site", name, code=2)
    assert f"--site {better};" in capfd.readouterr().err and not out.exists()


def test_images_that_no_shipped_bundle_is_made_for_are_told(tmp_path):
    write_dicom(tmp_path / "scans", pictures(60), ["Head"] * 30 + ["Hand"] * 30, slices=3)
    for file in (p for p in (tmp_path / "scans").rglob("*") if p.is_file()):
        header = pydicom.dcmread(file)
        header.Modality = "US"
        header.save_as(file)
    out = prepared(tmp_path / "scans", "--labels", "BodyPartExamined")
    assert yaml.safe_load((out / "site.yaml").read_text())["bundle"] == ""
    assert any("no shipped bundle is made for" in note and "(US)" in note for note in summary(out)["notes"])


def test_grey_pictures_with_twelve_bits_in_sixteen_need_a_word_and_are_then_written_anew(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for kind in "ab":
        (tmp_path / "in" / kind).mkdir(parents=True)
        for i in range(12):
            values = rng.integers(0, 4096, (32, 32), dtype=np.uint16)
            Image.fromarray(values).save(tmp_path / "in" / kind / f"{i}.png")
    prepared(tmp_path / "in", code=2)
    assert "24 of 24 files cannot be read; most often: has 16 bits" in capfd.readouterr().err
    out = prepared(tmp_path / "in", "--bits", "12", out="told")
    assert summary(out)["read_as"] == {"12 bits, scaled by their depth": 24}
    values = yaml.safe_load((out / "site.yaml").read_text())
    assert values["bundle"] == "body_region_radiograph" and values["channels"] == 1
    again = run("prepare", str(out / "datalist.json"), "--out", str(tmp_path / "again"))
    assert again == 0 and summary(tmp_path / "again")["intensity"]["highest"] > 254


def test_what_pictures_were_converted_from_is_counted(tmp_path, capfd):
    for kind in list(COLOURS)[:2]:
        (tmp_path / "in" / kind).mkdir(parents=True)
        for i in range(12):
            picture = Image.fromarray(square(kind, i))
            picture = (
                picture.convert("RGBA") if i % 3 == 0 else picture.convert("P") if i % 3 == 1 else picture
            )
            picture.save(tmp_path / "in" / kind / f"{i}.png")
    out = prepared(tmp_path / "in")
    counts = summary(out)["read_as"]
    assert counts == {
        "an alpha channel dropped that is opaque everywhere": 8,
        "colours of a palette, converted to RGB": 8,
    }
    assert "converted: 8 × colours of a palette" in capfd.readouterr().out
    assert "colours of a palette" in (out / "summary.html").read_text()


def test_many_blank_pictures_are_an_error_and_a_few_are_counted(folder, capfd):
    for i in range(4):
        Image.fromarray(np.full((20, 20, 3), 7 * i, np.uint8)).save(folder / "red" / f"blank_{i}.png")
    out = prepared(folder)
    assert summary(out)["left_out"] == {"shows nothing: all its pixels have the same value": 4}
    for i in range(4, 10):
        Image.fromarray(np.full((20, 20, 3), 7 * i, np.uint8)).save(folder / "red" / f"blank_{i}.png")
    prepared(folder, out="two", code=2)
    assert "10 of 70 pictures show nothing" in capfd.readouterr().err
