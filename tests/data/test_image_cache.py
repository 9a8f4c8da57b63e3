"""Prepared images stay in memory as far as they fit, then on disk: private, whole, and gone afterwards."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import CacheDataset
from monai.transforms import Compose
from PIL import Image
from safetensors.torch import load_file, save_file

from clinical_qkt.core import memory
from clinical_qkt.data import image_cache, on_disk
from clinical_qkt.data.image_cache import images_in, kept_images
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.on_disk import OnDisk
from clinical_qkt.data.transforms import adapter, reading, symmetries
from clinical_qkt.training.inference import labels_of

CONTRACT = InputContract(channels=3, spatial_size=[16, 16])
BYTES = 3 * 16 * 16


@pytest.fixture
def items(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(tmp_path / f"{k}.png")
    return [{"image": str(tmp_path / f"{k}.png"), "label": k} for k in range(6)]


@pytest.fixture
def transform() -> Compose:
    return adapter(reading("display"), CONTRACT)


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Which files are opened, in order."""
    opened: list[str] = []
    true = Image.open
    monkeypatch.setattr(
        Image, "open", lambda path, *a, **k: (opened.append(str(path)), true(path, *a, **k))[1]
    )
    return opened


@pytest.fixture
def room(monkeypatch):
    """Bytes that one section may take in memory."""
    return lambda most: monkeypatch.setattr(image_cache, "MOST", most)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def seen(images) -> torch.Tensor:
    return torch.stack([images[i]["image"] for i in range(len(images))])


def test_images_that_fit_are_in_memory_then_their_bytes_and_then_they_are_on_disk(
    items, transform, room, tmp_path
):
    plain, found = seen([transform(item) for item in items]), []
    for most in (4 * BYTES * 6, BYTES * 6, BYTES * 6 - 1):
        room(most)
        with images_in(tmp_path / "cache"):
            images = kept_images(items, transform, CONTRACT)
            assert torch.equal(seen(images), plain) and labels_of(images).tolist() == list(range(6))
            first = images._cache[0]["image"].dtype if isinstance(images, CacheDataset) else "disk"
            found.append((first, len(files_in(tmp_path / "cache"))))
    assert found == [(torch.float32, 0), (torch.uint8, 0), ("disk", 6)]


def test_on_disk_each_image_is_read_once_and_no_file_tells_or_is_open_to_others(
    items, transform, reads, tmp_path
):
    with images_in(tmp_path / "cache", "disk"):
        images = kept_images(items, transform, CONTRACT)
        first = seen(images)
        assert len(reads) == 6 + 6 and torch.equal(seen(images), first)  # six are prepared to see their size
        assert len(reads) == 6 + 6 and len(files_in(tmp_path / "cache")) == 6
        assert load_file(files_in(tmp_path / "cache")[0])["image"].dtype == torch.uint8
        modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "cache").rglob("*")]
        assert sorted(set(modes)) == [0o600, 0o700]
        assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
        assert [p.name for p in files_in(tmp_path / "cache")][:2] == [
            "00000000.safetensors",
            "00000001.safetensors",
        ]
    assert not (tmp_path / "cache").exists()


def test_they_are_gone_after_an_error_too_and_stay_if_the_site_says_so(items, transform, reads, tmp_path):
    with pytest.raises(ZeroDivisionError), images_in(tmp_path / "cache", "disk"):
        seen(kept_images(items, transform, CONTRACT))
        raise ZeroDivisionError
    assert not (tmp_path / "cache").exists()
    for _ in range(2):
        with images_in(tmp_path / "cache", "kept"):
            seen(kept_images(items, transform, CONTRACT))
    assert len(files_in(tmp_path / "cache")) == 6
    assert len(reads) == 12 + 12 + 6  # the second time they were prepared for their size alone


@pytest.mark.parametrize("harm", ["half", "empty", "other", "shape"])
def test_a_file_that_is_not_whole_is_made_again(items, transform, tmp_path, harm):
    with images_in(tmp_path / "cache", "disk"):
        images = kept_images(items, transform, CONTRACT)
        plain, file = seen(images), files_in(tmp_path / "cache")[2]
        whole = file.read_bytes()
        if harm in ("half", "empty"):
            file.write_bytes(whole[: len(whole) // 2 if harm == "half" else 0])
        else:
            save_file({"image" if harm == "shape" else "other": torch.zeros(1, 2, 2)}, file)
        assert torch.equal(seen(images), plain) and file.read_bytes() == whole


@pytest.mark.parametrize("what", ["version", "picture", "contract"])
def test_a_cache_of_another_version_picture_or_contract_is_not_used(
    items, transform, tmp_path, monkeypatch, what
):
    contract = CONTRACT
    with images_in(tmp_path / "cache", "kept"):
        before = seen(kept_images(items, transform, CONTRACT))
        if what == "version":
            monkeypatch.setattr(on_disk, "__version__", "0.0.1")
        if what == "picture":
            Image.new("RGB", (16, 16), "red").save(items[0]["image"])
            os.utime(items[0]["image"], ns=(1, 1))
        if what == "contract":
            contract = CONTRACT.model_copy(update={"value_range": (0.0, 1.0)})
        after = seen(kept_images(items, adapter(reading("display"), contract), contract))
        assert len(list((tmp_path / "cache").iterdir())) == 2
        assert torch.equal(before, after) == (what == "version")


def test_a_disk_that_fills_up_is_told_once_and_nothing_is_lost(
    items, transform, tmp_path, monkeypatch, capsys
):
    plain = seen([transform(item) for item in items])

    def full(path, write, *, private=False):
        if path.name >= "00000003":
            raise OSError(28, "No space left on device")
        write_whole(path, write, private=private)

    write_whole = on_disk.write_whole
    monkeypatch.setattr(on_disk, "write_whole", full)
    with images_in(tmp_path / "cache", "disk"):
        images = kept_images(items, transform, CONTRACT)
        assert torch.equal(seen(images), plain) and torch.equal(seen(images), plain)
        assert len(files_in(tmp_path / "cache")) == 3
    assert capsys.readouterr().err.count("cannot be kept on disk any more") == 1


def test_without_room_on_the_disk_as_many_as_memory_holds_are_kept(
    items, transform, room, tmp_path, monkeypatch, capsys, reads
):
    room(10)
    monkeypatch.setattr(image_cache, "ON_DISK", 0)
    monkeypatch.setattr(memory, "free", lambda device: int(BYTES * 4 / image_cache.KEPT))
    with images_in(tmp_path / "cache"):
        images = kept_images(items, transform, CONTRACT)
        reads.clear()
        seen(images)
    assert len(reads) == 2 and isinstance(images, CacheDataset)
    told = capsys.readouterr().err
    assert "are free at" in told and "2 of 6 images do not fit into memory" in told


@pytest.mark.parametrize(("how", "kind"), [("memory", CacheDataset), ("disk", OnDisk), ("kept", OnDisk)])
def test_a_site_may_choose(items, transform, tmp_path, how, kind, reads):
    with images_in(tmp_path / "cache", how):
        assert isinstance(kept_images(items, transform, CONTRACT), kind)
    with images_in(tmp_path / "cache", "none"):
        images = kept_images(items, transform, CONTRACT)
        reads.clear()
        assert torch.equal(seen(images), seen(images)) and len(reads) == 12


def test_images_that_are_looked_at_once_take_no_memory_and_are_read_from_disk_if_they_are_there(
    items, transform, tmp_path, reads
):
    with images_in(tmp_path / "cache", "disk"):
        assert not isinstance(kept_images(items, transform, CONTRACT, once=True), CacheDataset | OnDisk)
        plain = seen(kept_images(items, transform, CONTRACT))
        reads.clear()
        assert torch.equal(seen(kept_images(items, transform, CONTRACT, once=True)), plain) and not reads


def test_random_changes_are_made_anew_each_time_wherever_images_are_kept(items, tmp_path):
    turned = Compose([*adapter(reading("display"), CONTRACT).transforms, *symmetries([16, 16])])
    for how in ("memory", "disk"):
        with images_in(tmp_path / "cache", how):
            images = kept_images(items, turned.set_random_state(0), CONTRACT)
            looks = {images[0]["image"].numpy().tobytes() for _ in range(30)}
            assert len(looks) > 4
