import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import SECTIONS
from clinical_qkt.data.splits import SHARES, dealt_told, split, stratified

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


@st.composite
def cohorts(draw):
    """Labels and patients: classes of different sizes, a few patients who show two of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = []
    for c in range(draw(st.integers(1, 4))):
        for p in range(draw(st.sampled_from([3, 4, 5, 7, 40, 120]))):
            shows = rng.integers(1, 8)
            images += [(f"class {c}", f"{c} {p}")] * shows
            if rng.random() < 0.05:
                images.append((f"class {rng.integers(c + 1)}", f"{c} {p}"))
    images.append(images[-1])  # so that patients stand for more than an image
    order = rng.permutation(len(images))
    return [images[i][0] for i in order], [images[i][1] for i in order]


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.integers(0, 3))
def test_classes_of_many_patients_are_near_their_shares_whatever_the_rare_ones_need(cohort, seed):
    labels, patients = cohort
    found = split(labels, patients, seed, "SOURCE")
    for label in set(labels):
        mine = np.array([sum(labels[i] == label for i in found[s]) for s in SECTIONS])
        assert mine.all()
        if len({p for c, p in zip(labels, patients, strict=True) if c == label}) >= 40:
            assert np.abs(mine / mine.sum() - list(SHARES.values())).max() < 0.05


@pytest.mark.parametrize(("rare", "dealt"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 1, 2])])
def test_a_rare_class_is_dealt_as_it_must_be_and_the_others_are_not_touched(rare, dealt):
    labels = ["common"] * 400 + ["rare"] * 4 * rare
    patients = [f"P{k // 4}" for k in range(400)] + [f"Q{k // 4}" for k in range(4 * rare)]
    found = split(labels, patients, 0, "SOURCE")
    assert [sum(labels[i] == "common" for i in found[s]) for s in SECTIONS] == [280, 40, 80]
    assert [sum(labels[i] == "rare" for i in found[s]) // 4 for s in SECTIONS] == dealt


def test_a_patient_with_most_images_of_a_class_is_for_training():
    labels = ["a"] * 60 + ["a"] * 10 + ["a"] * 10 + ["b"] * 40
    patients = ["big"] * 60 + ["p"] * 10 + ["q"] * 10 + [f"r{i // 2}" for i in range(40)]
    assert set(range(60)) <= set(split(labels, patients, 1, "SOURCE")["training"].tolist())


def test_a_patient_of_two_classes_may_be_what_both_need():
    labels = ["a", "b", "a", "b", "a", "b", "a", "b", "b", "b"]
    patients = ["x", "x", "y", "y", "z", "z", "w", "v", "u", "t"]
    for seed in range(20):
        found = split(labels, patients, seed, "SOURCE")
        assert all({labels[i] for i in found[s]} == {"a", "b"} for s in SECTIONS)


def test_the_shares_that_came_out_are_told_and_classes_that_had_to_come_out_otherwise():
    labels = ["common"] * 400 + ["rare [x]"] * 12
    patients = [f"P{k // 4}" for k in range(400)] + [f"Q{k // 4}" for k in range(12)]
    found = split(labels, patients, 0, "SOURCE")
    told = dealt_told({s: [(labels[i], patients[i]) for i in found[s]] for s in SECTIONS}, 0)
    assert told == (
        "69/11/20 % of the images were drawn for training, validation and test, by patient, with seed 0; "
        "class 'rare [x]' has 3 patients and came out as 33/33/33 %"
    )
    even = dealt_told({"training": [("a", str(i)) for i in range(7)], "validation": [("a", "8")],
                       "test": [("a", "9"), ("a", "10")]}, 4)  # fmt: skip
    assert (
        even
        == "70/10/20 % of the images were drawn for training, validation and test, stratified, with seed 4"
    )


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


def test_a_class_with_too_few_images_is_named():
    labels = ["[b]"] * 4 + ["a"] * 20
    with pytest.raises(InputError, match=r"class '\[b\]' has only 4 images"):
        split(labels, list(map(str, range(24))), 0, "SOURCE")


def test_images_of_patients_of_their_own_are_stratified():
    labels = np.repeat(["a", "b"], [40, 10]).tolist()
    found = split(labels, [str(i) for i in range(50)], 0, "SOURCE")
    assert [sum(labels[i] == "b" for i in found[s]) for s in SECTIONS] == [7, 1, 2]
    with pytest.raises(InputError, match="a class has only 4 images"):
        stratified(np.arange(14), np.repeat([0, 1], [10, 4]), 0, "SOURCE")
