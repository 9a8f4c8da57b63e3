"""Which files below a folder are images, and why others are passed over."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from clinical_qkt.bundle import image_items
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.formats import entries, image_files, name_of, passed_over
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.sources import from_folder
from clinical_qkt.prepare.source import open_files
from tests.conftest import COLOURS, run, square


def pictures(folder, count, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(square("red", start + i)).save(folder / f"{i:02d}.png")
    return folder


def seen(folder):
    return {str(e.path.relative_to(folder)): e.reason for e in entries(folder)}


def test_links_to_folders_and_files_are_followed_and_dangling_ones_are_named(tmp_path):
    home, share = pictures(tmp_path / "in" / "a", 2).parent, pictures(tmp_path / "share", 2)
    pictures(share / "deep", 1)
    (home / "b").symlink_to(share)
    (home / "one.png").symlink_to(share / "00.png")
    (home / "lost.png").symlink_to("/nowhere")
    (home / "circle").symlink_to("circle")
    (home / "notes.txt").write_text("x")
    os.mkfifo(home / "pipe.png")
    assert seen(home) == {
        "a/00.png": "",
        "a/01.png": "",
        "b/00.png": "",
        "b/01.png": "",
        "b/deep/00.png": "",
        "circle": "is a link to nothing",
        "lost.png": "is a link to nothing",
        "notes.txt": "is no image file",
        "one.png": "",
        "pipe.png": "is no file",
    }
    assert passed_over(entries(home)) == [
        "passed over: 2 × is a link to nothing",
        "passed over: 1 × is no file",
    ]
    assert list(image_files(home)) == [e.path for e in entries(home) if e.kind]


def test_each_real_folder_is_looked_into_once_and_not_by_a_link_where_it_can_be_helped(tmp_path):
    home = pictures(tmp_path / "in" / "z", 1).parent
    (home / "a").symlink_to("z")
    (home / "z" / "up").symlink_to("..")
    (home / "above").symlink_to(tmp_path)
    pictures(tmp_path / "beside", 1)
    found = seen(home)
    assert [path for path, reason in found.items() if not reason] == ["above/beside/00.png", "z/00.png"]
    twice = "is a link to a folder that is looked into already"
    assert found["a"] == found["z/up"] == twice


def test_images_that_are_not_read_or_not_named_so_are_counted_by_their_content(tmp_path):
    for i, kind in enumerate(("GIF", "WEBP", "JPEG2000", "AVIF", "PNG", "JPEG", "TIFF")):
        Image.fromarray(square("red", i)).save(tmp_path / f"{i}.x", kind)
    (tmp_path / "7.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "8.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    (tmp_path / "9.txt").write_text("BMW")
    Image.fromarray(square("red", 0)).save(tmp_path / "a.JFIF", "JPEG")
    unread = "is a {} file, which is not read: convert it to PNG"
    misnamed = "is a {} file by its content, and its name does not end so"
    assert list(seen(tmp_path).values()) == [
        *(unread.format(kind) for kind in ("GIF", "WebP", "JPEG 2000", "AVIF")),
        *(misnamed.format(kind) for kind in ("PNG", "JPEG", "TIFF")),
        unread.format("HEIC"),
        "is no image file",
        "is no image file",
        "",
    ]


def test_a_class_of_images_that_are_not_read_is_not_lost_without_a_word(tmp_path, capfd):
    home = pictures(tmp_path / "in" / "a", 12).parent
    pictures(home / "b", 12, start=12)
    for i in range(3):
        Image.fromarray(square("red", i)).save(home / "a" / f"{i}.gif")
    assert run("prepare", str(home), "--out", str(tmp_path / "out")) == 0
    assert "passed over: 3 × is a GIF file, which is not read" in " ".join(capfd.readouterr().out.split())


def test_sections_are_not_taken_for_classes(tmp_path, capfd):
    for i, section in enumerate(("train", "Val", "test")):
        pictures(tmp_path / "in" / section, 12, start=12 * i)
    with pytest.raises(InputError, match="called as sections are, not as classes: Val, test and train"):
        from_folder(tmp_path / "in")
    assert run("prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out")) == 2
    assert "called as sections" in " ".join(capfd.readouterr().err.split())


def test_hidden_files_and_folders_are_no_entries(tmp_path):
    pictures(tmp_path / ".cache", 1)
    (tmp_path / "._00.png").write_bytes(b"x")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".link").symlink_to("/nowhere")
    assert entries(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_and_a_file_that_may_not_be_opened_are_named(tmp_path):
    pictures(tmp_path / "closed", 1).chmod(0)
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0)
    found = seen(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert found == {
        "closed": "is a folder that may not be opened",
        "file": "is a file that may not be opened",
    }


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    closed = pictures(tmp_path / "closed", 1)
    real = type(tmp_path).iterdir

    def iterdir(path):
        if path == closed:
            raise PermissionError
        return real(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    assert seen(tmp_path) == {"closed": "is a folder that may not be opened"}


@pytest.fixture
def mixed(tmp_path):
    """Classes of which one is a link, with everything that may lie about in such a folder."""
    home = pictures(tmp_path / "in" / "red", 12).parent
    (home / "green").symlink_to(pictures(tmp_path / "share", 12, 20))
    pictures(home / "green" / "more", 2, 40)
    (home / "red" / "lost.png").symlink_to("/nowhere")
    (home / "red" / "._00.png").write_bytes(b"x")
    (home / "red" / "readme.txt").write_text("x")
    Image.fromarray(square("blue", 1)).save(home / "loose.png")
    np.save(home / "red" / "a.npy", np.zeros(3))
    return home


def test_prepare_the_demo_and_inference_agree_on_which_files_count(mixed, capfd):
    listed = open_files(mixed, 0, mixed / "x")
    source = from_folder(mixed)
    items = image_items(mixed, InputContract(channels=3, spatial_size=(20, 20)))
    paths = {str(path) for path, _, _ in listed.files}
    assert paths == {i["image"] for i in items} == {*map(str, source.images), str(mixed / "loose.png")}
    assert len(source.images) == 26 and source.left_out == [
        ("loose.png", "lies in no sub-folder, so it has no label")
    ]
    told = "passed over: 1 × is a link to nothing"
    assert told in listed.notes and told in source.notes
    assert "left out 'lost.png': is a link to nothing" in capfd.readouterr().err
    assert {name_of(p): r for p, r in listed.other.items()}["lost.png"] == "is a link to nothing"


def test_a_folder_of_nothing_but_dangling_links_is_refused_with_their_number(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").symlink_to(f"/nowhere/{i}")
    with pytest.raises(InputError, match="holds no images; passed over: 3 × is a link to nothing"):
        open_files(tmp_path, 0, tmp_path / "x")
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "a.png").symlink_to("/nowhere")
    with pytest.raises(InputError, match="class 'red' has no images") as e:
        from_folder(tmp_path)
    assert "passed over: 4 × is a link to nothing" in e.value.fix


def test_names_that_are_no_utf8_are_shown_with_escapes_and_go_through_a_list(tmp_path):
    from clinical_qkt.data.datalist import load_datalist
    from clinical_qkt.data.export import write_datalist, write_images

    for kind in list(COLOURS)[:2]:
        for i in range(10):
            path = pictures(tmp_path / "in" / kind, 0) / os.fsdecode(b"caf\xe9%d.png" % i)
            Image.fromarray(square(kind, i)).save(path)
    assert name_of(path) == "caf\\xe99.png"
    source = from_folder(tmp_path / "in")
    write_datalist(tmp_path / "l.json", source, write_images(source, tmp_path), source.splits)
    assert sum(load_datalist(tmp_path / "l.json", source.classes).counts("training").values()) == 14
    (tmp_path / "in" / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(InputError, match=r"'caf\\xe9' is not UTF-8"):
        from_folder(tmp_path / "in")
