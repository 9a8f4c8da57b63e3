import numpy as np
import pytest
from conftest import COLOURS
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.data.export import write_datalist, write_images
from clinical_qkt.data.sources import open_source
from clinical_qkt.errors import InputError
from clinical_qkt.prepare.splits import stratified


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
