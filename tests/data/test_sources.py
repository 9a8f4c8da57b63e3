import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.export import write_datalist, write_images
from clinical_qkt.data.sources import from_npz, open_source
from clinical_qkt.data.splits import stratified
from tests.conftest import COLOURS


def test_an_npz_with_splits_keeps_them(npz):
    source = open_source(npz)
    assert source.classes.names == list(COLOURS) and source.images.shape == (340, 20, 20, 3)
    assert [len(source.splits[s]) for s in ("training", "validation", "test")] == [200, 80, 60]


def test_an_npz_without_splits_is_split_without_its_duplicates(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 9, 8), dtype=np.uint8)
    images[30] = images[0]
    np.savez(tmp_path / "grey.npz", images=images, labels=np.repeat([0, 1, 2], 20))
    source = open_source(tmp_path / "grey.npz", seed=4)
    assert source.classes.names == ["class 0", "class 1", "class 2"]
    assert sum(map(len, source.splits.values())) == 59
    assert any("1 exact duplicates" in n for n in source.notes)
    again = open_source(tmp_path / "grey.npz", seed=4)
    assert all(np.array_equal(source.splits[s], again.splits[s]) for s in source.splits)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(10, 40), min_size=2, max_size=5), st.integers(0, 99))
def test_a_split_is_a_partition_and_stratified(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    splits = stratified(np.arange(len(labels)), labels, seed, "")
    everything = np.concatenate(list(splits.values()))
    assert sorted(everything.tolist()) == list(range(len(labels)))
    for c, count in enumerate(counts):
        assert abs((labels[splits["test"]] == c).sum() - 0.2 * count) <= 1
        assert (labels[splits["validation"]] == c).sum() >= 1


def test_a_folder_becomes_classes(folder):
    source = open_source(folder)
    assert source.classes.names == sorted(COLOURS) and len(source.images) == 60


def test_a_damaged_image_in_a_folder_is_left_out(folder):
    (folder / "red" / "03.png").write_bytes(b"\x89PNG\r\n")
    source = open_source(folder)
    assert source.left_out == [("03.png", "not an image")]
    assert sum(map(len, source.splits.values())) == 59


def test_a_datalist_round_trip_keeps_images_labels_and_splits(npz, tmp_path):
    source = open_source(npz)
    write_datalist(tmp_path / "d.json", source, write_images(source, tmp_path / "i"), source.splits)
    back = open_source(tmp_path / "d.json")
    assert sorted(back.classes.names) == sorted(source.classes.names)
    assert {s: len(p) for s, p in back.splits.items()} == {s: len(p) for s, p in source.splits.items()}


def test_fewer_images_a_class_are_taken_in_proportion(npz):
    limited = open_source(npz).limited(10, seed=0)
    assert np.bincount(limited.labels[limited.splits["training"]]).tolist() == [10] * 5
    assert np.bincount(limited.labels[limited.splits["test"]]).tolist() == [3] * 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train_images": np.zeros((4, 8, 8), np.uint8)}, "has no array 'train_labels'"),
        ({"pictures": np.zeros(3)}, "has no array 'images'"),
        ({"images": np.zeros((4, 8, 8)), "labels": np.zeros(4, int)}, "float64, not uint8"),
        ({"images": np.zeros((4, 8, 8, 8), np.uint8), "labels": np.zeros(4, int)}, "two-dimensional"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.zeros((4, 3), int)}, "for 4 images"),
        (
            {
                "images": np.zeros((4, 8, 8), np.uint8),
                "labels": np.array([0, 1, 2, 9]),
                "classes": np.array(["a", "b", "c"]),
            },
            "label 9 is outside the list of 3 classes",
        ),
        (
            {
                "images": np.zeros((2, 8, 8), np.uint8),
                "labels": np.array([0, 1]),
                "classes": np.array(["a", "A"]),
            },
            "same class",
        ),
        (
            {
                "images": np.zeros((2, 8, 8), np.uint8),
                "labels": np.array([0, 1]),
                "classes": np.array(["a", "b", "c"]),
            },
            "class 'c' has no images",
        ),
    ],
)
def test_a_wrong_npz_is_refused_with_the_reason(tmp_path, content, message):
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(InputError, match=message) as e:
        open_source(tmp_path / "x.npz")
    assert "x.npz" in e.value.where and e.value.fix


def of_labels(path, labels, **more):
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 8), dtype=np.uint8)
    np.savez(path / "l.npz", images=images, labels=labels, **more)
    return from_npz(path / "l.npz")


HALVES = np.arange(40) % 2


@pytest.mark.parametrize(
    "labels",
    [
        HALVES,
        HALVES.astype(float),
        HALVES[:, None],
        HALVES.astype(np.uint8),
        HALVES.astype(bool),
        HALVES.astype("f2"),
    ],
)
def test_whole_numbers_are_classes_however_an_npz_holds_them(tmp_path, labels):
    source = of_labels(tmp_path, labels)
    assert source.classes.names == ["class 0", "class 1"] and source.labels.tolist() == HALVES.tolist()


@pytest.mark.parametrize("kind", [str, bytes])
@pytest.mark.parametrize("classes", [None, ["red", "GREEN", "blue"]])
def test_text_labels_are_class_names(tmp_path, kind, classes):
    names = np.array(["green", "red", "blue"])[np.arange(40) % 3].astype(f"{np.dtype(kind).char}9")
    source = of_labels(tmp_path, names, **({"classes": np.array(classes)} if classes else {}))
    assert source.classes.names == (classes or ["blue", "green", "red"])
    found = [source.classes.names[i].lower() for i in source.labels]
    assert found == [n.decode() if kind is bytes else n for n in names.tolist()]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (HALVES * 0.5, "labels: label 0.5 at position 1 is a fraction"),
        (np.where(HALVES, np.nan, 0), "labels: label nan at position 1 is no number"),
        (np.where(HALVES, np.inf, 0), "is no number"),
        (-HALVES, "labels: label -1 at position 1 is negative"),
        (HALVES * 2, "label 2 is outside|class 1 has no images|class 'class 1' has no images"),
        (HALVES * 10**9, "label 1000000000 is there and label 2 is not|class 1 has no images|so class 2"),
        (HALVES.astype(np.uint64) * 2**63, "is too large"),
        (np.array(3), r"labels: has shape \(\) for 40 images"),
        (HALVES[:39], r"has shape \(39,\) for 40 images"),
        (np.zeros((40, 2)), r"has shape \(40, 2\) for 40 images"),
        (HALVES.astype(complex), "labels: holds complex128"),
        (HALVES.astype("M8[D]"), "holds datetime64"),
        (np.array([0, "a"] * 20, dtype=object), "labels: holds objects"),
        (np.array(["a", "A"] * 20), "'A' and 'a' are the same class"),
        (np.array(["a", "x" * 101] * 20), "has 101 characters"),
        (np.array(["a", ""] * 20), "the name of a class is empty"),
        (np.array(["a", "nan"] * 20), "label 'nan' at position 1 is a mark for a missing value"),
        (HALVES + 1, "class 'class 0' has no images"),
        (np.array([b"a", b"caf\xe9"] * 20), "holds bytes that are not UTF-8"),
    ],
)
def test_labels_that_are_none_are_refused_in_one_sentence_with_the_array(tmp_path, labels, message):
    with pytest.raises(InputError, match=message) as e:
        of_labels(tmp_path, labels)
    assert "\n" not in e.value.problem and "l.npz: labels" in e.value.where and e.value.fix


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (np.array(["a", "c"] * 20), ["a", "b"], "'c' is not in the array 'classes'"),
        (np.array(["0", "1"] * 20), ["a", "b"], "'0' is not in the array 'classes'"),
        (HALVES, [0.5, 1.5], "classes: holds float64, which names no class"),
        (HALVES, "red", r"classes: has the shape \(\)"),
        (HALVES, [["a", "b"]], r"classes: has the shape \(1, 2\)"),
        (HALVES, ["HER2", "her2"], "are the same class"),
        (HALVES, ["a", "-"], "'-' is no class name"),
    ],
)
def test_an_array_of_classes_that_fits_no_label_is_refused(tmp_path, labels, classes, message):
    with pytest.raises(InputError, match=message):
        of_labels(tmp_path, labels, classes=np.array(classes))


def test_names_in_one_split_and_numbers_in_another_are_refused(tmp_path, npz):
    with np.load(npz) as archive:
        content = dict(archive)
    content["val_labels"] = np.array(list(COLOURS))[content["val_labels"]]
    np.savez(tmp_path / "m.npz", **content)
    with pytest.raises(
        InputError, match="some labels are names and some are numbers: train_labels numbers, val_l"
    ):
        open_source(tmp_path / "m.npz")


def test_what_an_npz_holds_beside_images_and_labels_is_told_or_refused(tmp_path, npz):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 9, 9), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "M.NPZ", images=pictures, labels=labels, class_names=["a", "b"])
    (tmp_path / "M.NPZ.npz").rename(tmp_path / "M.NPZ")
    assert "arrays that are not read: 'class_names'" in open_source(tmp_path / "M.NPZ").notes
    halves = {
        f"{s}_{k}": v[i::2]
        for i, s in enumerate(("train", "test"))
        for k, v in (("images", pictures), ("labels", np.repeat([0, 1], 20)))
    }
    np.savez(tmp_path / "two.npz", **halves)
    told = open_source(tmp_path / "two.npz").notes
    assert "the file has no more than training and test: all images are dealt anew" in told
    for key in ("patients", "subject_ids"):
        np.savez(tmp_path / "p.npz", images=pictures, labels=labels, **{key: labels})
        with pytest.raises(InputError, match=f"has an array '{key}', and patients are not read"):
            open_source(tmp_path / "p.npz")


def test_the_note_of_a_split_tells_the_shares_that_came_out(tmp_path):
    (note,) = of_labels(tmp_path, HALVES).notes
    assert note.startswith("the data has no splits: 70/10/20 % of the images were drawn")
    (note,) = of_labels(tmp_path, np.repeat([0, 1], [28, 12])).notes
    assert "class 'class 1' has 12 images and came out as " in note


@settings(max_examples=30, deadline=None)
@given(junk=st.binary(max_size=200))
def test_junk_is_refused_and_never_a_traceback(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "x.npz"
    path.write_bytes(junk)
    with pytest.raises(InputError):
        open_source(path)
    path.with_suffix(".json").write_bytes(junk)
    with pytest.raises(InputError):
        open_source(path.with_suffix(".json"))


def test_missing_paths_other_files_and_empty_folders_are_refused(tmp_path, folder):
    with pytest.raises(InputError, match="does not exist"):
        open_source(tmp_path / "no.npz")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="'.txt' files are not understood"):
        open_source(tmp_path / "a.txt")
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="class 'empty' has no images"):
        open_source(folder)
