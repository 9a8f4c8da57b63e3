"""Identifiers planted in paths, headers and tables appear in nothing that a full run writes or says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from conftest import ROOT, run
from make_dicom import write_dicom

from clinical_qkt import bundle
from clinical_qkt.packages.signing import new_key

CONFIGS = ROOT / "bundles" / "body_region_radiograph" / "configs"
PLANTED = ("Zebrowski", "MRN-778899", "ACC-5544", "Geheimstadt", "19640229", "hidden_name", "1.2.826.99")
KINDS = ("upright", "lying", "cross")
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
    labels = [k for k in kinds for _ in range(40)]
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


def test_what_identifies_a_patient_is_found_in_nothing_that_a_full_run_writes_or_says(tmp_path, capfd):
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
            "max_epochs": 3,
            "batch_size": 16,
        }
        values |= {"query": ["cross"], "teachers": [str(out / "sent" / "teaching")]} if k == 0 else {}
        (out / name / "site.yaml").write_text(yaml.safe_dump(values))
    asking, teaching = (out / name / "site.yaml" for name in lists)
    for site in (asking, teaching):
        stage("train", site)
        stage("evaluate", site)
    stage("share", teaching, yes=True, audit=True, shadow_models=0, publish_mask=True)
    stage("query", asking, yes=True)
    answer = {"asked": str(out / "sent" / "query"), "answer_dir": str(out / "sent" / "answer"), "yes": True}
    stage("answer", teaching, policy={"minimum_patients": 2, "kinds": ["covariance"]}, **answer)
    stage("transfer", asking)
    for name in lists:
        assert run("ledger", str(next(out.glob(f"{name}/**/ledger.db")))) == 0

    said = "".join(capfd.readouterr())
    assert "teaching" in said and "cross" in said  # it is this run's output that is searched
    written = [p for p in out.rglob("*") if "local" not in p.relative_to(out).parts]
    files = [p for p in written if p.is_file() and not p.is_symlink()]
    kinds_of_files = {"card.json", "mlflow.db", "report.html", "summary.json", "ledger.db", "datalist.json"}
    assert kinds_of_files <= {p.name for p in files}
    for planted in PLANTED:
        assert planted not in said
        assert not [p for p in written if planted in str(p.relative_to(out))]
        assert not [p for p in files if planted.encode() in p.read_bytes()], planted
    assert all(g in (out / "asking" / "datalist.json").read_text() for g in GROUPS)
    sent = [p for p in files if "sent" in p.parts]
    assert {p.parent.name for p in sent} == {"teaching", "query", "answer"}
    assert not [p for p in sent if any(g.encode() in p.read_bytes() for g in GROUPS)]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("licence", {"licence": "ask Dr. Smith about MRN-4711"}),
        ("label_space", {"classes": ["a", "Scan_0007"]}),
    ],
)
def test_a_card_that_names_a_patient_or_a_file_does_not_leave(field, changes):
    from clinical_qkt.consent import require_no_identifiers
    from clinical_qkt.data.datalist import CheckedData
    from clinical_qkt.data.inputs import InputContract
    from clinical_qkt.errors import InputError
    from clinical_qkt.labels import LabelSpace
    from clinical_qkt.packages.card import Card
    from clinical_qkt.packages.networks import preset

    items = [{"image": "x/scan_0007.png", "label": 0}, {"image": "x/2026.png", "label": 1}]
    data = CheckedData("d", False, LabelSpace(["a", "b"]), {"training": items}, patients={"x": "MRN-4711"})

    def card(classes=("a", "b"), **about):
        contract = InputContract(channels=3, spatial_size=[28, 28])
        spec = preset("resnet_small", 3, [28, 28])
        about = {"site": "s", "task": "t", "head": "fc", "input": contract, "network": spec, **about}
        return Card(label_space=list(classes), **about)

    require_no_identifiers(card(), data)  # a file that is called 2026 does not forbid the date
    with pytest.raises(InputError, match=f"card: {field}: holds the name of a patient") as e:
        require_no_identifiers(card(**changes), data)
    assert "4711" not in str(e.value) and "0007" not in str(e.value)
