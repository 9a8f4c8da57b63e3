import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clinical_qkt.data.datalist import SECTIONS
from clinical_qkt.errors import InputError
from clinical_qkt.prepare.splits import split, stratified

IMAGES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=12, max_size=120)


@settings(max_examples=100, deadline=None)
@given(IMAGES, st.integers(0, 5))
def test_a_patient_is_never_in_two_splits_and_every_class_is_in_all(images, seed):
    labels, patients = [f"class {c}" for c, _ in images], [f"patient {p}" for _, p in images]
    assume(len(set(patients)) < len(patients))
    try:
        found = split(labels, patients, seed, "SOURCE")
    except InputError as e:
        assert "class 'class" in e.problem
        return
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(images)))
    held = [{patients[i] for i in found[s]} for s in SECTIONS]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    assert all({labels[i] for i in found[s]} == set(labels) for s in SECTIONS)


def test_shares_are_about_70_10_20_and_do_not_depend_on_names():
    labels = np.repeat(["a", "b"], 300).tolist()
    patients = [f"{label}{i // 3}" for i, label in enumerate(labels)]
    found = split(labels, patients, 3, "SOURCE")
    assert [len(found[s]) for s in SECTIONS] == pytest.approx([420, 60, 120], abs=12)
    renamed = split(labels, [f"x{hash(p)}" for p in patients], 3, "SOURCE")
    assert all(np.array_equal(found[s], renamed[s]) for s in SECTIONS)
    assert not np.array_equal(found["test"], split(labels, patients, 4, "SOURCE")["test"])


def test_three_patients_a_class_are_enough_and_two_are_not():
    found = split(["a"] * 6 + ["b"] * 6, list("112233445566"), 0, "SOURCE")
    assert [len(found[s]) for s in SECTIONS] == [4, 4, 4]
    with pytest.raises(InputError, match="class 'b' shows 2 patients; it needs 3"):
        split(["a"] * 6 + ["b"] * 4, list("1122334455"), 0, "SOURCE")


def test_images_of_patients_of_their_own_are_stratified():
    labels = np.repeat(["a", "b"], [40, 10]).tolist()
    found = split(labels, [str(i) for i in range(50)], 0, "SOURCE")
    assert [sum(labels[i] == "b" for i in found[s]) for s in SECTIONS] == [7, 1, 2]
    with pytest.raises(InputError, match="a class has only 4 images"):
        stratified(np.arange(14), np.repeat([0, 1], [10, 4]), 0, "SOURCE")
