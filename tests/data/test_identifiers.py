"""Identifiers planted in paths, headers and tables appear in nothing that a full run writes or says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.identifiers import SHORTEST, Identifiers, normal
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.packages.signing import new_key
from clinical_qkt.site.config import Site, check_site
from clinical_qkt.site.consent import require_no_identifiers
from tests.attacks.outsider import seen_by_others
from tests.conftest import ROOT, run
from tests.make_dicom import write_dicom

CONFIGS = ROOT / "bundles" / "body_region_radiograph" / "configs"
PLANTED = ("Zebrowski", "MRN-778899", "ACC-5544", "Geheimstadt", "19640229", "hidden_name", "1.2.826.99")
KINDS = ("upright", "lying", "cross")
CLOSED = ("datalist.json", "files.csv", "salt", "failures.csv", "teaching.db", "asking.db", "second-place.db")
"""Files that are their owner's alone, whatever they hold."""
GROUPS = ("ward_of_trait", "trait_kept_here_a", "trait_kept_here_b")
"""A column of groups and its values: they are for the site's own report, and no package may hold them."""


def picture(kind: int, seed: int) -> np.ndarray:
    """A grey picture with a bright bar, upright or lying, or both."""
    rng = np.random.default_rng([seed, kind])
    shown, at = rng.normal(70, 12, (28, 28)), rng.integers(6, 18, 2)
    if kind != 0:
        shown[at[0] : at[0] + 5] += 110
    if kind != 1:
        shown[:, at[1] : at[1] + 5] += 110
    return shown.clip(0, 255).astype(np.uint8)


def ward(folder: Path, kinds: tuple[str, ...], seed: int) -> tuple[Path, Path]:
    """A hospital's archive and table of labels, full of names: of folders, files, headers and columns."""
    labels = [k for k in kinds for _ in range(24)]
    pictures = np.stack([picture(KINDS.index(k), seed + i) for i, k in enumerate(labels)])
    source = folder / "Zebrowski_archive"
    table = [("file", "label", "patient", "PatientName", GROUPS[0])]
    for k, (file, label, patient) in enumerate(write_dicom(source, pictures, labels, slices=2, seed=seed)):
        header = pydicom.dcmread(source / file)
        header.PatientName, header.PatientID = "Zebrowski^Anna", f"MRN-778899-{patient}"
        header.PatientBirthDate, header.AccessionNumber = "19640229", f"ACC-5544-{k}"
        header.InstitutionName, header.StationName = "Geheimstadt", "Geheimstadt-1"
        header.StudyInstanceUID = f"1.2.826.99.{k}"
        named = file.with_name(f"hidden_name_{k}")
        header.save_as(source / named)
        (source / file).unlink()
        group = GROUPS[1 + k % 2]
        table.append((named.as_posix(), label, f"MRN-778899-{patient}", "Zebrowski, Anna", group))
    (source / "hidden_name_broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"Zebrowski" * 20)
    with (folder / "labels.csv").open("w", newline="") as f:
        csv.writer(f).writerows(table)
    return source, folder / "labels.csv"


def stage(name: str, site: Path, **overrides) -> None:
    overlay = [] if name == "train" else [CONFIGS / f"{name}.yaml"]
    bundle.run([CONFIGS / "train.yaml", *overlay, site], **overrides)


def test_what_identifies_a_patient_is_found_in_nothing_that_a_full_run_writes_or_says(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(tmp_path / "out" / "state"))
    out, lists = tmp_path / "out", {"asking": ["upright", "lying"], "teaching": list(KINDS)}
    for k, (name, kinds) in enumerate(lists.items()):
        source, table = ward(tmp_path / f"in_{k}", tuple(kinds), 1000 * k)
        where = ("--labels", str(table), "--out", str(out / name), "--site", name, "--groups", GROUPS[0])
        assert run("prepare", str(source), *where) == 0
        new_key(name, out / "keys")
        other = next(n for n in lists if n != name)
        values = yaml.safe_load((out / name / "site.yaml").read_text())
        values |= {
            "classes": kinds,
            "mlflow": f"sqlite:///{out}/mlflow.db",
            "signing_key": str(out / "keys" / f"{name}.key"),
            "trusted_keys": {other: str(out / "keys" / f"{other}.pub")},
            "package_dir": str(out / "sent" / name),
            "query_dir": str(out / "sent" / "query"),
            "max_epochs": 1,
            "batch_size": 16,
            "held_out_folds": 2,
        }
        values |= {"query": ["cross"], "teachers": [str(out / "sent" / "teaching")]} if k == 0 else {}
        (out / name / "site.yaml").write_text(yaml.safe_dump(values))
    asking, teaching = (out / name / "site.yaml" for name in lists)
    for site in (asking, teaching):
        stage("train", site)
        stage("evaluate", site)
    stage("share", teaching, yes=True, audit=True, shadow_models=0, publish_mask=True)
    stage("query", asking, yes=True)
    answer = {
        "request": str(out / "sent" / "query"),
        "response_dir": str(out / "sent" / "answer"),
        "yes": True,
    }
    answer["new_ledger"] = True
    stage("answer", teaching, policy={"minimum_patients": 2, "kinds": ["covariance"]}, **answer)
    stage("transfer", asking)
    for name in lists:
        assert run("ledger", str(out / name / "site.yaml")) == 0

    said = "".join(capfd.readouterr())
    assert "teaching" in said and "cross" in said  # it is this run's output that is searched
    written = [p for p in out.rglob("*") if "local" not in p.relative_to(out).parts]
    files = [p for p in written if p.is_file() and not p.is_symlink()]
    kinds_of_files = {"card.json", "mlflow.db", "report.html", "summary.json", "teaching.db", "datalist.json"}
    kinds_of_files |= {"second-place.db"}
    assert kinds_of_files <= {p.name for p in files}
    for planted in PLANTED:
        assert planted not in said
        assert not [p for p in written if planted in str(p.relative_to(out))]
        assert not [p for p in files if planted.encode() in p.read_bytes()], planted
    assert all(g in (out / "asking" / "datalist.json").read_text() for g in GROUPS)
    sent = [p for p in files if "sent" in p.parts]
    assert {p.parent.name for p in sent} == {"teaching", "query", "answer"}
    assert not [p for p in sent if any(g.encode() in p.read_bytes() for g in GROUPS)]
    require_nothing_of_an_image_open_to_others(out, [out / name / "datalist.json" for name in lists])


def require_nothing_of_an_image_open_to_others(out: Path, datalists: list[Path]) -> None:
    """Somebody with an account on the same computer finds no name of an image or a patient, salted or not."""
    content = [json.loads(path.read_text()) for path in datalists]
    entries = [e for one in content for s in ("training", "validation", "test") for e in one[s]]
    names = {Path(e["image"]).stem for e in entries} | {e["patient"] for e in entries}
    seen = list(seen_by_others(out))
    assert {"card.json", "report.html", "site.yaml"} <= {p.name for p in seen} and len(names) > 100
    assert not [p for p in seen if p.is_symlink() or p.name in CLOSED]
    for path in seen:
        told = path.read_bytes().decode(errors="replace") + str(path)
        assert not [name for name in names if name in told], path


def site(folder: Path, images: dict[str, str | None], **values) -> Site:
    """A site with a datalist of images by path, with the patient of each."""
    entries = [
        {"image": file, "label": "a"} | ({"patient": who} if who else {}) for file, who in images.items()
    ]
    (folder / "d.json").write_text(json.dumps({"training": entries}))
    about = {"site": "s", "data": str(folder / "d.json"), "classes": ["a", "b"], "ledger": "l"}
    places = dict.fromkeys(("output_dir", "package_dir", "query_dir", "transfer_dir"), "x")
    return check_site({**about, **places, **values}, "site.yaml")


@pytest.mark.parametrize(
    ("field", "about", "words"),
    [
        ("licence", {"licence": "ask Dr. Smith about MRN-4711"}, {}),
        ("site", {"site": "ward_mrn04711"}, {}),
        ("task", {}, {"task": "cells_of_mrn4711"}),
        ("label_space", {}, {"label_space": [ClassLabel(name="Scan 0007")]}),
        ("query", {}, {"query": [ClassLabel(name="c", system="MRN 4711", code="1")]}),
        ("query", {}, {"query": [ClassLabel(name="c", system="s", code="４７１１")]}),
    ],
)
def test_a_card_on_which_the_site_names_a_patient_or_a_file_does_not_leave(tmp_path, field, about, words):
    images = {"x/scan_0007.nii.gz": "MRN-4711", "x/2026.png": "p2"}
    us = site(tmp_path, images, **{"licence": "since 2026", **about})
    if about:  # a file that is called 2026 does not forbid the year
        require_no_identifiers(site(tmp_path, images, licence="since 2026"))
    with pytest.raises(InputError, match=f"card: {field}: holds the name of a patient") as e:
        require_no_identifiers(us, **words)
    assert "4711" not in str(e.value) and "0007" not in str(e.value)


def test_what_prepare_keeps_beside_its_datalist_is_looked_for_too(tmp_path):
    (tmp_path / "local").mkdir()
    rows = "name,file,became,reason,label\nabc,/in/Zebrowski/hidden_name.dcm,used,,a\n,/in/Other/x.txt,,,\n"
    (tmp_path / "local" / "files.csv").write_text(rows)
    images: dict[str, str | None] = {"images/abc.dcm": "0f0f", "images/def.dcm": "0e0e"}
    for text in ("of Zebrowski", "hidden-name"):
        with pytest.raises(InputError, match="card: licence"):
            require_no_identifiers(site(tmp_path, images, licence=text))
    (tmp_path / "local" / "files.csv").write_text("what\n1\n")
    with pytest.raises(InputError, match="no longer the list that prepare wrote"):
        require_no_identifiers(site(tmp_path, images))


SPELLINGS = {
    "4711": ["MRN4711", "MRN-4711", "mrn 04711", "４７１１", "٤٧١١", "47\u200b11", "47-11", "x_4711.png"],
    "MRN-4711": ["mrn4711", "M.R.N. 04711", "no. 4711", "MRN\u00ad4711"],
    "Zebrowski^Anna": ["Anna Zebrowski", "zebrowski, ANNA", "Zébrowski Anna", "Ze\u200bbrowski\u2060Anna"],
    "Müller": ["MULLER", "Mu\u0308ller", "\u200bMüller\u200b"],
    "山田太郎": ["患者山田太郎です"],
    "943 476 5919": ["9434765919", "943-476-5919"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in SPELLINGS.items() for t in texts])
def test_a_patient_is_found_in_whatever_spelling(name, text):
    assert Identifiers([("a/1.png", name), ("b/2.png", "other")]).named_in(text)


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        ([("a/1.png", "4711")], "of 1997 to 2026, 47110 images, v4.7"),
        ([("a/1.png", "p7"), ("b/2.png", "2024")], "p7 of 2024"),
        ([("a/1.png", "smith")], "by Smithson & blacksmith"),
        (
            [(f"images/training/{i}.png", None) for i in range(4000)],
            "RID1234, no. 2345 for training on images",
        ),
        ([(f"ward_7/{i}/scan.png", f"p{i}a{i}") for i in range(3)], "a CT scan of ward 7"),
        ([(f"red cell/{i}.png", None) for i in range(9)], "red cell"),
        ([(f"basophil/{i}x{i}.png", None) for i in range(9)] + [("mono/1.png", None)] * 20, "basophils"),
        ([(f"P{i}/a.png", f"P{i}") for i in range(1001, 1101)], "RID1042"),
    ],
)
def test_ordinary_words_and_numbers_are_nobody_s_name(listed, text):
    assert not Identifiers(listed, ["red cell", "basophil"]).named_in(text)


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        ([("archive/Zebrowski/1.png", None), ("archive/x/2.png", None)], "zebrowski"),
        ([("ct/4711/1.png", None), ("mr/4711/2.png", None), ("ct/x/3.png", None)], "MRN4711"),
        ([("4711.nii.gz", None), ("5023.nii.gz", None)], "case 4711"),
        ([("1.2.826.99.3", None), ("1.2.826.99.4", None)], "1.2.826.99.3"),
        ([("Zebrowski.ima", None), ("b.ima", None)], "zebrowski"),
        ([("MRN-4711/1.png", "0a0a"), ("MRN-4712/1.png", "0b0b")], "mrn 4711"),
    ],
)
def test_files_and_folders_that_are_one_patient_s_are_looked_for(listed, text):
    assert Identifiers(listed).named_in(text)


PIECES = st.lists(st.one_of(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.integers(1000, 10**6).map(str)),
                  min_size=1, max_size=4)  # fmt: skip
BETWEEN = st.sampled_from(["", " ", "-", "_", ".", "\u200b", "\u00ad", " / ", "\u2060", "^"])
CASES = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])


@st.composite
def spelt(draw: st.DrawFn) -> tuple[str, str]:
    """A name, and a text that holds it in another spelling."""
    pieces = draw(PIECES)
    text = ""
    for piece in pieces:
        if piece.isdecimal() and not text[-1:].isdecimal():
            piece = "0" * draw(st.integers(0, 3)) + piece
        text += draw(BETWEEN) + draw(CASES)(piece)
    if draw(st.booleans()):  # full-width forms
        text = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    joined = "".join(pieces)
    assume(len(joined) >= SHORTEST and not (len(joined) == 4 and joined.isdecimal()))
    return draw(BETWEEN).join(pieces), f"see: {text}, please"


@settings(max_examples=60)
@given(spelt())
def test_both_sides_have_one_normal_form(pair):
    name, text = pair
    assert normal(text) == "see" + normal(name) + "please"
    assert Identifiers([("a/1.png", name), ("b/2.png", "other")]).named_in(text)


@settings(max_examples=60)
@given(st.text(max_size=30))
def test_a_normal_form_is_its_own(text):
    assert normal(normal(text)) == normal(text)
