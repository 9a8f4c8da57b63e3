"""What is kept beside the model, and what is read."""

from __future__ import annotations

import datetime
import json
import os

import numpy as np
import pytest

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.monitoring import record
from clinical_qkt.monitoring.images import list_images
from clinical_qkt.monitoring.reference import main_axes, read_reference, some
from tests.monitoring.conftest import check_of, pictures
from tests.monitoring.test_check import reference


def test_a_reference_comes_back_as_it_was(tmp_path):
    made = reference()
    made.save(tmp_path)
    read = read_reference(tmp_path, "acceptance", "0" * 64)
    assert read.about == made.about and np.array_equal(read.seen.look, made.seen.look)
    assert read_reference(tmp_path, "baseline", "0" * 64) is None


def test_another_models_reference_is_refused(tmp_path):
    reference().save(tmp_path)
    with pytest.raises(InputError, match="another model.*\n.*begins anew"):
        read_reference(tmp_path, "acceptance", "f" * 64)


def test_a_damaged_reference_is_refused(tmp_path):
    path = reference().save(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="damaged"):
        read_reference(tmp_path, "acceptance", "0" * 64)


def test_of_many_images_some_are_kept_with_all_images_of_a_patient():
    patient = np.repeat(np.arange(50), 4)
    kept = some(patient, 30, 1)
    assert 20 < len(kept) <= 30 and set(np.bincount(patient[kept])) <= {0, 4}
    assert len(some(patient, 200, 1)) == 200


def test_main_axes_leave_out_what_tells_classes_apart_and_features_that_never_change():
    rng = np.random.default_rng(0)
    called = rng.integers(0, 2, 400)
    features = np.stack([100.0 * called, rng.normal(0, 1, 400), rng.normal(0, 9, 400), np.zeros(400)], 1)
    axes = main_axes(features.astype(np.float32), called, 2)
    assert np.isfinite(axes).all() and np.abs(axes[[0, 3]]).max() < 1e-6
    assert (features @ axes).std(0) == pytest.approx(1, rel=0.2)


def test_of_two_checks_with_a_name_the_later_counts_and_both_stay_in_the_file(tmp_path):
    for alarms in (("look",), ()):
        record.add(tmp_path, check_of("w1", alarms))
    record.add(tmp_path, check_of("w2"))
    assert [(c.name, c.verdict) for c in record.read_record(tmp_path)] == [("w1", "quiet"), ("w2", "quiet")]
    assert len((tmp_path / record.FILE).read_text().splitlines()) == 3
    with pytest.raises(OutputError, match="'w1' already"):
        record.require_new(record.read_record(tmp_path), "w1", tmp_path, overwrite=False)


def test_a_damaged_line_is_named(tmp_path):
    record.add(tmp_path, check_of("w1"))
    with (tmp_path / record.FILE).open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match="line 2"):
        record.read_record(tmp_path)


def test_a_list_may_name_patients_of_all_images_or_of_none(tmp_path):
    rows = [{"image": f"{i}.png", "patient": f"p{i // 2}"} for i in range(4)]
    path = tmp_path / "new.json"
    path.write_text(json.dumps({"images": rows}))
    listed = list_images(path)
    assert listed.patients == [0, 0, 1, 1] and listed.paths[0] == tmp_path / "0.png"
    path.write_text(json.dumps({"images": [*rows, {"image": "4.png"}]}))
    with pytest.raises(InputError, match="1 of 5 images name no patient"):
        list_images(path)


def test_a_datalist_is_a_list_of_images_too_and_a_misspelt_key_is_refused(tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps({"training": [{"image": "a.png", "label": "x"}], "test": []}))
    assert [p.name for p in list_images(path).paths] == ["a.png"]
    path.write_text(json.dumps({"images": [{"image": "a.png", "Patient": "p"}]}))
    with pytest.raises(InputError, match="field images.0.Patient"):
        list_images(path)


def test_older_files_are_left_out_and_counted(tmp_path):
    folder = pictures(tmp_path / "new", 3, 0)
    os.utime(sorted(folder.iterdir())[0], (0, 0))
    listed = list_images(folder).since(datetime.date(2001, 1, 1))
    assert len(listed.paths) == 2 and listed.older == 1
