"""``prepare`` from end to end, on generated files; the command runs in this process."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import stat
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import yaml
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import SECTIONS, load_datalist, parse_datalist
from clinical_qkt.data.dicom import decode
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.volumes import read_volume
from clinical_qkt.prepare.identifiers import KEYWORDS
from clinical_qkt.prepare.local_folder import LocalFolder, Row
from clinical_qkt.prepare.prepare import Prepare
from clinical_qkt.site.config import check_site
from clinical_qkt.site.consent import require_no_identifiers
from tests import make_dicom
from tests.conftest import ROOT, run, square

from .conftest import SHIPPED, entries, files, pictures, prepared, summary


def test_dicom_becomes_a_datalist_that_shows_the_pictures(dicom):
    out = prepared(dicom, "--labels", "BodyPartExamined")
    found = entries(out)
    assert len(found) == 60 and {e["label"] for e in found} == {"HEAD", "HAND"}
    data = load_datalist(out / "datalist.json", LabelSpace(["HAND", "HEAD"]))
    assert (data.channels, data.spatial_size, data.skipped) == (1, (12, 12), [])
    shown = sorted(np.round(decode(out / e["image"])).astype(np.uint8).T.tobytes() for e in found)
    assert shown == sorted(p.tobytes() for p in pictures(60))
    site = yaml.safe_load((out / "site.yaml").read_text())
    assert site["classes"] == ["HAND", "HEAD"] and site["channels"] == 1


def test_a_patient_is_in_one_split_and_slices_stand_in_order_of_place(dicom):
    found = entries(prepared(dicom, "--labels", str(dicom.parent / "labels.csv")))
    by_patient: dict[str, list[dict]] = {}
    for entry in found:
        by_patient.setdefault(entry["patient"], []).append(entry)
    assert len(by_patient) == 20 and all(len({e["section"] for e in p}) == 1 for p in by_patient.values())
    for mine in by_patient.values():
        places = [pydicom.dcmread(dicom.parent / "site" / e["image"]).ImagePositionPatient[2] for e in mine]
        assert places == sorted(places)
        assert [found.index(e) for e in mine] == list(range(found.index(mine[0]), found.index(mine[0]) + 3))


def test_the_split_depends_on_the_seed_and_not_on_the_salt_and_the_salt_keeps_names(dicom):
    options = ("--labels", "BodyPartExamined")
    one, two = prepared(dicom, *options), prepared(dicom, *options, out="two")
    same = prepared(dicom, *options, "--salt", str(one / "local" / "salt"), out="same")
    other = prepared(dicom, *options, "--seed", "1", out="other")

    def origin(folder: Path) -> dict[Path, str]:
        return {(folder / e["image"]).readlink(): e["section"] for e in entries(folder)}

    assert origin(one) == origin(two) != origin(other)
    assert not {e["patient"] for e in entries(one)} & {e["patient"] for e in entries(two)}
    assert entries(one) == entries(same)


def test_without_labels_dicom_is_surveyed(dicom, capfd):
    out = prepared(dicom)
    assert sorted(p.name for p in out.iterdir()) == ["local", "summary.html", "summary.json"]
    assert "This was a survey" in capfd.readouterr().out
    assert summary(out)["used"] == 60 and len(summary(out)["series"]) == 20


def test_folder_names_are_labels_of_dicom_only_when_asked_for(dicom):
    assert {e["label"] for e in entries(prepared(dicom, "--labels", "folder"))} == {
        f"study_{k}" for k in range(7)
    }


SECRETS = ("Zebrowski", "MRN-778899", "ACC-5544", "Geheimstadt", "secret_folder", "hidden_name", "1.2.826.99")


def plant(source: Path) -> None:
    """Give every file an identity, in its header and in its path."""
    for k, path in enumerate(sorted(p for p in source.rglob("*") if p.is_file())):
        header = pydicom.dcmread(path)
        header.PatientName, header.PatientID = "Zebrowski^Anna", f"MRN-778899-{header.PatientID}"
        header.AccessionNumber, header.InstitutionName = f"ACC-5544-{k}", "Geheimstadt"
        header.StudyInstanceUID = f"1.2.826.99.{header.StudyInstanceUID}"[:60].rstrip(".")
        header.save_as(path)
        path.rename(path.with_name(f"hidden_name_{k}"))


def test_nothing_identifying_leaves_local(dicom, capfd):
    plant(dicom)
    source = dicom.rename(dicom.parent / "secret_folder")
    broken = source / "hidden_name_broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"Zebrowski" * 20)
    (source / "hidden_name_multi.dcm").write_bytes((SHIPPED / "rtdose.dcm").read_bytes())
    rows = [(p, "Head" if k % 2 else "Hand", "") for k, p in enumerate(sorted(source.rglob("*/*/*")))]
    with (source.parent / "labels.csv").open("w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["file", "label", "patient"])
        table.writerows((p.relative_to(source), label, f"MRN-778899-{p.parent.name}") for p, label, _ in rows)
    capfd.readouterr()
    for k, labels in enumerate((None, str(source.parent / "labels.csv"), "BodyPartExamined", "Modality")):
        out = prepared(source, *(["--labels", labels] if labels else []), out=f"out_{k}")
        told = "".join(capfd.readouterr())
        written = [p for p in out.rglob("*") if "local" not in p.relative_to(out).parts]
        for secret in SECRETS:
            assert secret not in told, (secret, labels)
            assert not [p for p in written if secret in str(p.relative_to(out))]
            assert not [p for p in written if p.is_file() and not p.is_symlink() and secret in p.read_text()]
        assert "secret_folder/hidden_name_broken.dcm" in files(out)
        assert stat.S_IMODE((out / "local").stat().st_mode) == 0o700
        assert stat.S_IMODE((out / "local" / "files.csv").stat().st_mode) == 0o600
    assert summary(out)["identifying"]["PatientName"]["files"] == 61


def test_a_card_cannot_name_a_patient_whom_prepare_gave_another_name(dicom):
    """By table or header, whatever the spelling; a name that all headers bear is nobody's."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for path in sorted(p for p in dicom.rglob("*") if p.is_file()):
        header = pydicom.dcmread(path)
        number = int(re.sub(r"\D", "", header.PatientID)) // 3
        header.PatientID = f"MRN-{47110 + number}"
        header.PatientName = f"Zebrowski{letters[number]}^Anna" if number > 1 else "ANONYMOUS"
        header.save_as(path)
    out = prepared(dicom, "--labels", "BodyPartExamined")
    kept = (out / "local" / "names").read_text()
    assert kept and all(re.fullmatch("[0-9a-f]{16}", line) for line in kept.split())  # no name
    values = yaml.safe_load((out / "site.yaml").read_text())
    places = dict.fromkeys(("package_dir", "query_dir", "transfer_dir", "ledger"), "x")
    about = {k: values[k] for k in ("site", "data", "classes", "output_dir")} | places
    for text in ("of mrn 047111", "47112", "Anna Zebrowskic"):
        with pytest.raises(InputError, match="card: licence: holds the name of a patient"):
            require_no_identifiers(check_site({**about, "licence": text}, "site.yaml"))
    require_no_identifiers(check_site({**about, "licence": "anonymous, Anna, 47, MRN of 2026"}, "site.yaml"))


def test_no_cell_of_the_list_of_files_is_a_formula(tmp_path):
    local = LocalFolder(tmp_path / "local")
    local.open(None)
    local.write_files([Row("0a", Path("=cmd.png"), "used", "+1", "@b")])
    assert files(tmp_path)["'=cmd.png"]["label"] == "'@b" and files(tmp_path)["'=cmd.png"]["reason"] == "'+1"


def test_burned_in_writing_is_refused_unless_allowed(dicom):
    for k, path in enumerate(sorted(p for p in dicom.rglob("*") if p.is_file())):
        if k < 3:
            header = pydicom.dcmread(path)
            header.BurnedInAnnotation = "YES"
            header.save_as(path)
    out = prepared(dicom, "--labels", "BodyPartExamined")
    assert len(entries(out)) == 57 and summary(out)["burned_in"] == {"not said": 57, "YES": 3}
    assert "its header says that writing is burned into the pixels" in summary(out)["left_out"]
    out = prepared(dicom, "--labels", "BodyPartExamined", "--allow-burned-in", out="all")
    assert len(entries(out)) == 60


def test_images_that_name_no_patient_are_grouped_by_study(dicom):
    for path in (p for p in dicom.rglob("*") if p.is_file()):
        header = pydicom.dcmread(path)
        del header.PatientID
        header.save_as(path)
    out = prepared(dicom, "--labels", "BodyPartExamined")
    assert len({e["patient"] for e in entries(out)}) == 20
    assert any("grouped by study" in note for note in summary(out)["notes"])


def test_pictures_in_class_folders_with_duplicates_and_odd_ones(folder, capfd):
    first = (folder / "red" / "00.png").read_bytes()
    (folder / "red" / "99.png").write_bytes(first)  # the same with the same label
    (folder / "blue" / "98.png").write_bytes((folder / "green" / "00.png").read_bytes())
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "red" / "grey.png")
    (folder / "red" / "bad.png").write_text("no picture")
    out = prepared(folder)
    told = files(out)
    reasons = {n: row["reason"] for n, row in told.items() if row["became"] != "used"}
    conflict = "shows the same as another image, which has another label"
    assert reasons == {
        "red/99.png": f"shows the same as {told['red/00.png']['name']}",
        "blue/98.png": conflict,
        "green/00.png": conflict,
        "red/grey.png": "has 1 channels, most images have 3",
        "red/bad.png": "not an image",
    }
    assert len(entries(out)) == 59 and not any("patient" in e for e in entries(out))
    assert any("stands for itself" in note for note in summary(out)["notes"])
    page = (out / "summary.html").read_text()
    assert page.count("<table") >= 4 and 'alt="Bars' in page and "http" not in page


def test_grey_and_colour_pictures_are_not_sorted_out_but_refused(folder, capfd):
    for i, picture in enumerate(pictures(20, size=20)):
        Image.fromarray(picture).save(folder / "red" / f"grey {i}.png")
    prepared(folder, code=2)
    told = " ".join(capfd.readouterr().err.split())
    assert "20 of 80 have 1 channels, most have 3" in told and "convert all pictures" in told


def test_a_class_of_which_no_image_is_left_is_told_by_name(folder):
    for i in range(3):
        Image.fromarray(np.full((20, 20, 3), i, np.uint8)).save(folder / "red" / f"dark {i}.png")
    lines = ["file,label"] + [f"{p.parent.name}/{p.name},{p.parent.name}" for p in folder.rglob("*.png")]
    for i in range(3):
        lines[lines.index(f"red/dark {i}.png,red")] = f"red/dark {i}.png,dark"
    (folder.parent / "t.csv").write_text("\n".join(lines))
    notes = summary(prepared(folder, "--labels", str(folder.parent / "t.csv")))["notes"]
    assert any("no image of class 'dark' can be used" in n and "3 × shows nothing" in n for n in notes)


def test_sub_folders_that_make_no_class_are_counted(folder):
    (folder / ".red").mkdir()
    (folder / "empty").mkdir()
    notes = summary(prepared(folder))["notes"]
    assert "sub-folders passed over, since their names begin with a dot: 1" in notes
    assert "sub-folders without an image that can be used: 1" in notes


def test_sizes_that_differ_are_an_error_unless_allowed(folder, capfd):
    Image.fromarray(square("red", 50, size=30)).save(folder / "red" / "large.png")
    out = prepared(folder, code=2)
    assert "images differ in size: 60 are 20x20, 1 are not, e.g. 30x30" in capfd.readouterr().err
    assert [p.name for p in out.iterdir()] == ["local"]
    assert len(entries(prepared(folder, "--allow-mixed-sizes"))) == 61  # into the same folder


def test_a_table_of_pictures_with_patients(tmp_path):
    (tmp_path / "p").mkdir()
    lines = ["file;label;patient"]
    for i, picture in enumerate(pictures(40)):
        Image.fromarray(picture).save(tmp_path / "p" / f"{i}.png")
        lines.append(f"{i}.png;{'ab'[i % 2]};patient {i // 4}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    out = prepared(tmp_path / "p", "--labels", str(tmp_path / "t.csv"))
    assert len({e["patient"] for e in entries(out)}) == 10
    assert "patient 1" not in (out / "datalist.json").read_text()


def test_an_npz_and_a_datalist_keep_their_splits(npz, tmp_path):
    assert run("prepare", str(npz), "--out", str(tmp_path / "one")) == 0
    counts = {s: len(getattr(parse_datalist(tmp_path / "one" / "datalist.json"), s)) for s in SECTIONS}
    assert counts == {"training": 200, "validation": 80, "test": 60}
    assert run("prepare", str(tmp_path / "one" / "datalist.json"), "--out", str(tmp_path / "two")) == 0
    again = entries(tmp_path / "two")
    assert {s: sum(e["section"] == s for e in again) for s in SECTIONS} == counts
    assert load_datalist(tmp_path / "two" / "datalist.json", LabelSpace(sorted({e["label"] for e in again})))


def test_patches_of_volumes(volumes):
    options = ("--voxel-labels", str(volumes.parent / "maps"), "--parts", "front=1", "--parts", "back=2")
    out = prepared(volumes, *options, "--patch", "12", "--spacing", "1")
    found = entries(out)
    assert len(found) == 36 and len({e["patient"] for e in found}) == 12
    for entry in found:
        values, affine = read_volume(out / entry["image"])
        assert values.shape == (12, 12, 12) and nibabel.aff2axcodes(affine) == ("R", "A", "S")
        assert values.min() >= 0 and values.max() <= 1
    assert not b"".join((out / e["image"]).read_bytes() for e in found).count(b"doe")
    again = prepared(
        volumes, *options, "--patch", "12", "--spacing", "1", "--salt", str(out / "local/salt"), out="again"
    )
    assert all((out / e["image"]).read_bytes() == (again / e["image"]).read_bytes() for e in found)


def test_whole_volumes_with_labels(volumes):
    lines = ["file,label", *(f"doe_{i}.nii.gz,{'ab'[i >= 6]}" for i in range(12))]
    (volumes.parent / "t.csv").write_text("\n".join(lines))
    prepared(volumes, "--labels", str(volumes.parent / "t.csv"), "--spacing", "2", code=2)  # 10 a class
    for i in range(12, 24):
        shutil.copy(volumes / f"doe_{i - 12}.nii.gz", volumes / f"doe_{i}.nii.gz")
        image = nibabel.load(volumes / f"doe_{i}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(image.get_fdata()[::-1] + i, image.affine), image.get_filename())
        lines.append(f"doe_{i}.nii.gz,{'ab'[i >= 18]}")
    (volumes.parent / "t.csv").write_text("\n".join(lines))
    out = prepared(volumes, "--labels", str(volumes.parent / "t.csv"), "--spacing", "2")
    assert len(entries(out)) == 24 and summary(out)["spacings_mm"] == {"2 x 2 x 2": 24}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--spacing", "1"), "NIfTI volumes only"),
        (("--parts", "a=1"), "--voxel-labels: is missing"),
        (("--parts", "a"), "not a name and a number"),
        (("--intensity", "relative"), "not for this kind of files"),
        (("--labels", "BodyPart"), "no keyword"),
        (("--salt", "absent"), "--salt: is no salt"),
    ],
)
def test_options_that_do_not_fit_are_refused(dicom, options, message, capfd):
    prepared(dicom, *options, code=2)
    assert message in capfd.readouterr().err


def test_options_of_volumes_and_lists_that_do_not_fit_are_refused(volumes, npz, tmp_path, capfd):
    maps = ("--voxel-labels", str(volumes.parent / "maps"))
    prepared(volumes, *maps, code=2)
    assert "--parts: names no part" in capfd.readouterr().err
    prepared(volumes, *maps, "--parts", "neither=1", code=2)
    assert "--neither: is called as a part is" in capfd.readouterr().err
    assert run("prepare", str(npz), "--labels", "folder", "--out", str(tmp_path / "o")) == 2
    assert "the source has labels" in capfd.readouterr().err and not (tmp_path / "o").exists()


def test_a_source_that_is_not_there_leaves_no_folder(tmp_path, capfd):
    prepared(tmp_path / "secret_folder", code=2)
    assert "SOURCE: does not exist" in capfd.readouterr().err and not (tmp_path / "site").exists()
    (tmp_path / "hidden_name.json").write_text("{")
    prepared(tmp_path / "hidden_name.json", code=2)
    assert "hidden_name" not in capfd.readouterr().err


def test_a_table_of_patients_keeps_patches_of_one_patient_together(volumes):
    lines = ["file,patient", *(f"doe_{i}.nii.gz,p{i // 2}" for i in range(12))]
    (volumes.parent / "p.csv").write_text("\n".join(lines))
    options = ("--voxel-labels", str(volumes.parent / "maps"), "--parts", "front=1", "--patch", "12")
    found = entries(prepared(volumes, *options, "--labels", str(volumes.parent / "p.csv")))
    assert len({e["patient"] for e in found}) == 6 and {e["label"] for e in found} == {"front", "neither"}


def test_where_links_cannot_be_made_files_are_copied(dicom, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    out = prepared(dicom, "--labels", "BodyPartExamined")
    assert all((out / e["image"]).is_file() and not (out / e["image"]).is_symlink() for e in entries(out))


@pytest.mark.parametrize("stage", ["split", "place_images", "summarise", "write"])
def test_a_run_that_is_cut_off_leaves_nothing_that_looks_finished(dicom, monkeypatch, stage):
    def cut_off(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(Prepare, stage, cut_off)
        prepared(dicom, "--labels", "BodyPartExamined", code=130)
    assert [p.name for p in (dicom.parent / "site").iterdir()] == ["local"]
    salt = (dicom.parent / "site" / "local" / "salt").read_bytes()
    out = prepared(dicom, "--labels", "BodyPartExamined")
    assert len(entries(out)) == 60 and (out / "local" / "salt").read_bytes() == salt


def test_an_npz_becomes_dicom_files(tmp_path, monkeypatch):
    images = pictures(30)
    images[3] = images[2]
    labels = np.repeat([0, 1], 15)
    np.savez(tmp_path / "x.npz", images=images, labels=labels, classes=np.array(["Hand", "Head"]))
    monkeypatch.setattr(
        sys, "argv", ["make_dicom.py", str(tmp_path / "x.npz"), str(tmp_path), "--slices", "3"]
    )
    make_dicom.main()
    out = prepared(tmp_path / "dicom", "--labels", str(tmp_path / "labels.csv"))
    assert len(entries(out)) == 29 and summary(out)["patients"] == 10


def test_a_folder_that_holds_something_is_not_touched(dicom, capfd):
    (dicom.parent / "site").mkdir()
    (dicom.parent / "site" / "mine.txt").write_text("x")
    prepared(dicom, code=5)
    assert [p.name for p in (dicom.parent / "site").iterdir()] == ["mine.txt"]


HOW_TO = ROOT / "docs" / "how-to" / "prepare-your-images.md"


def test_the_how_to_runs_as_it_stands(dicom, volumes, folder, monkeypatch):
    here = dicom.parent
    (volumes.parent / "maps").rename(here / "maps")
    volumes.rename(here / "volumes")
    folder.rename(here / "pictures")
    for i in range(12, 24):  # ten of a class are needed
        image = nibabel.load(here / "volumes" / f"doe_{i - 12}.nii.gz")
        nibabel.save(
            nibabel.Nifti1Image(image.get_fdata() ** 2, image.affine), here / "volumes" / f"more_{i}.nii.gz"
        )
        shutil.copy(here / "maps" / f"doe_{i - 12}.nii.gz", here / "maps" / f"more_{i}.nii.gz")
    names = [p.name for p in sorted((here / "volumes").iterdir())]
    rows = [f"{name},{'ab'[k % 2]}" for k, name in enumerate(names)]
    (here / "volumes.csv").write_text("\n".join(["file,label", *rows]))
    with (here / "labels.csv").open(newline="") as f:
        (here / "groups.csv").write_text(
            "".join(
                f"{','.join(row)},{'sex,age_band' if k == 0 else 'F,40-49'}\n"
                for k, row in enumerate(csv.reader(f))
            )
        )
    lines = [line.strip() for line in HOW_TO.read_text().splitlines() if line.startswith("    clinical-qkt")]
    monkeypatch.chdir(here)
    assert [run(*shlex.split(line)[1:]) for line in lines] == [0] * 7
    assert {str(e["groups"]) for e in entries(here / "sites" / "with_groups")} == {
        "{'sex': 'F', 'age_band': '40-49'}"
    }
    tree = HOW_TO.read_text().split("sites/hospital_a/ ")[1].split("All commands")[0]
    promised = {line.split()[0].rstrip("/") for line in tree.splitlines()[1:] if line.strip()}
    assert promised < {p.name for p in (here / "sites" / "hospital_a").iterdir()} | {"summary.json"}
    counts = [len(entries(here / "sites" / s)) for s in ("hospital_a", "by_body_part", "pictures", "volumes")]
    assert counts == [60, 60, 60, 24] and len(entries(here / "sites" / "parts")) == 72


def test_the_how_to_lists_every_attribute_that_is_checked():
    section = HOW_TO.read_text().split("attributes that are checked |")[1].split("| not checked")[0]
    assert set(re.findall(r"`(\w+)`", section)) == set(KEYWORDS)


def test_the_summarys_keys_are_in_the_reference(dicom):
    page = (ROOT / "docs" / "reference" / "prepare-summary.md").read_text()
    found = summary(prepared(dicom, "--labels", "BodyPartExamined"))
    assert found["schema"] in page and not [k for k in found if f"`{k}`" not in page]
