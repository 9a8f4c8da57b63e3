"""``prepare --parts``: every part is in some label map, and what no part names is told."""

import nibabel
import numpy as np

from .conftest import entries, files, prepared, summary


def options(volumes, *parts):
    return "--voxel-labels", str(volumes.parent / "maps"), *(o for p in parts for o in ("--parts", p))


def change(volumes, name, how, dtype=None):
    """Rewrite a label map."""
    path = volumes.parent / "maps" / name
    image = nibabel.load(path)
    values = how(np.asarray(image.dataobj))
    nibabel.save(nibabel.Nifti1Image(values.astype(dtype or values.dtype), image.affine), path)


def test_a_part_whose_value_no_map_holds_is_an_error_that_names_both(volumes, capfd):
    prepared(volumes, *options(volumes, "front=1", "back=7"), code=2)
    told = " ".join(capfd.readouterr().err.split())
    assert "--parts: none of 12 label maps holds the value of back=7" in told
    assert "name values that they hold: 1, 2" in told and "doe" not in told


def test_the_error_comes_even_if_no_map_holds_any_part(volumes, capfd):
    prepared(volumes, *options(volumes, "front=11", "back=7"), code=2)
    assert "front=11, back=7" in " ".join(capfd.readouterr().err.split())


def test_values_that_no_part_names_are_told_with_how_many_volumes_hold_them(volumes):
    for i in range(5):
        change(volumes, f"doe_{i}.nii.gz", lambda v: np.where(v == 2, 9, v))
    out = prepared(volumes, *options(volumes, "front=1", "back=2"))
    notes = " ".join(summary(out)["notes"])
    assert "5 of 12 label maps hold the value 9, which no part names" in notes and "'neither'" in notes
    assert "the value 1," not in notes and "the value 2," not in notes
    alone = prepared(volumes, *options(volumes, "front=1", "back=2", "odd=9"), out="all")
    assert "which no part names" not in " ".join(summary(alone)["notes"])


def test_float_maps_that_are_nearly_whole_are_taken_and_others_refused(volumes):
    for i in range(12):
        change(volumes, f"doe_{i}.nii.gz", lambda v: v + 0.0004, np.float32)
    change(volumes, "doe_3.nii.gz", lambda v: v * 0.7, np.float32)
    out = prepared(volumes, *options(volumes, "front=1", "back=2"))
    told = {k: row["reason"] for k, row in files(out).items() if row["became"] == "refused"}
    assert told == {"images/doe_3.nii.gz": "its label map: holds values that are no whole numbers"}
    assert {e["label"] for e in entries(out)} == {"front", "back"}
