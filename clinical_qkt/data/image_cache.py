"""Where prepared images are kept: in memory, on disk, or nowhere.

Reading and preparing a picture of 512 pixels takes some 15 ms, taking it from memory or disk some 3. What is
kept where, by default:

1. in memory as the network takes them (``CacheDataset``), where a section's images take no more than
   ``MOST`` bytes and ``batches.KEPT`` of the memory that is free;
2. in memory as bytes, a quarter of that, see ``whole_steps``, where these fit;
3. on disk, see ``on_disk``: however many there are, the process holds none of them. What memory the machine
   has left, the system uses for files that were read, and takes it back when somebody needs it;
4. where there is no folder for that, or no room on its disk: as many as memory holds, the rest is prepared
   whenever it is looked at.

What a stage keeps on disk lies in its ``output_dir``, under ``unfinished/images``, for its owner alone (the
folder 0700, files 0600), without a name that tells of anybody, and is gone when the stage ends, however it
ends; only a process that is killed leaves it, for the next start. A site says otherwise with its key
``image_cache``.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose
from torch import Tensor

from clinical_qkt.core import memory
from clinical_qkt.core.batches import FLOAT, KEPT, PASSING, kept
from clinical_qkt.core.files import drop_unfinished
from clinical_qkt.core.memory import bytes_told
from clinical_qkt.core.runtime import WORKERS
from clinical_qkt.core.terms import ImageCache
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.on_disk import OnDisk, there
from clinical_qkt.data.whole_steps import compact

MOST = 2**29
"""Bytes in memory of one section's images, where there is a disk: training, validation and test images of a
site's model and the libraries together stay well below 3 GB."""
LOOKED_AT = 8
"""Images that are prepared to see whether they are whole steps."""
ON_DISK = 0.5
"""Of what is free on the disk, what the images may take."""


@dataclass(frozen=True)
class Place:
    """What is said of the images of a stage.

    Attributes:
        how: the site's choice.
        folder: for images on disk; None: there is none.
    """

    how: ImageCache = "auto"
    folder: Path | None = None


Shape = tuple[int, ...]
_USUAL = Place()
_NOW: ContextVar[Place] = ContextVar("place", default=_USUAL)


@contextmanager
def images_in(folder: Path, how: ImageCache = "auto") -> Iterator[None]:
    """Where prepared images go within it; at its end they are removed, unless they are to stay.

    Args:
        folder: that holds nothing else.
    """
    before = _NOW.set(Place(how, folder))
    try:
        yield
    finally:
        _NOW.reset(before)
        if how != "kept":
            drop_unfinished(folder)


def kept_images(
    items: Sequence[dict[str, Any]],
    transform: Compose,
    contract: InputContract,
    *,
    what: str = "images",
    own: bool = True,
    once: bool = False,
) -> Dataset:
    """A section's images, prepared once and kept where they fit.

    Args:
        items: ``{"image": file, "label", …}``.
        transform: reads and prepares; what is random in it comes last, and is done anew each time.
        contract: as which it prepares them.
        what: they are, for whoever watches.
        own: whether the site's own model takes them, so that they are used again and again.
        once: whether they are looked at a single time, so that memory for them would be lost on them.
    """
    place, shape = _NOW.get(), (contract.channels, *contract.spatial_size)
    if once and place.folder is not None and there(place.folder, items, contract):
        return OnDisk(items, compact(transform), contract, place.folder)
    if place.how == "none" or once or not items:
        return Dataset(items, transform)
    room, plain = _room(place, own), FLOAT * math.prod(shape) * len(items)
    if plain <= room and place.how in ("auto", "memory"):
        return _in_memory(items, transform, len(items), what, torch.float32, shape)
    smaller = compact(transform)
    each = _bytes_each(items, smaller)
    if each * len(items) <= room and place.how in ("auto", "memory"):
        return _in_memory(items, smaller, len(items), what, torch.uint8, shape)
    if place.folder is not None and place.how != "memory" and _fits(place.folder, each * len(items)):
        if show_progress():
            print(f"{len(items)} {what} are prepared once and kept on disk", file=sys.stderr)
        return OnDisk(items, smaller, contract, place.folder)
    fit = int(_room(Place("memory"), own) / each) if own else 0
    if fit < len(items):
        told = f"{len(items) - fit} of {len(items)} {what} do not fit into memory and are read as often as"
        print(f"note: {told} they are needed", file=sys.stderr)
    return _in_memory(items, smaller, min(fit, len(items)), what, torch.uint8, shape)


def in_memory(images: int, shape: Sequence[int]) -> int:
    """How many of a stage's images are in memory at most, by their shape alone; for estimates."""
    return min(kept(images, shape), int(MOST / FLOAT / math.prod(shape)))


def _room(place: Place, own: bool) -> float:
    """Bytes in memory for a section's images."""
    free = memory.free(torch.device("cpu"))
    share = math.inf if free is None else (KEPT if own else PASSING) * free
    capped = place.folder is not None and place.how != "memory"
    return min(share, MOST * (1 if own else PASSING / KEPT)) if capped else share


def _bytes_each(items: Sequence[dict[str, Any]], smaller: Compose) -> float:
    """Bytes that an image takes on average, of some from all over the list."""
    step = max(1, len(items) // LOOKED_AT)
    some = CacheDataset(list(items[::step]), smaller, num_workers=WORKERS, copy_cache=False, progress=False)
    sizes = [item["image"].nbytes for item in some._cache]
    return sum(sizes) / len(sizes)


def _fits(folder: Path, needed: float) -> bool:
    """Whether the disk has room; what an earlier start left counts as free, since it is used again."""
    base = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(base).free
    if needed > ON_DISK * free:
        told = f"images on disk would take {bytes_told(needed)}, {bytes_told(free)} are free at {base}"
        print(f"note: {told}", file=sys.stderr)
        return False
    return True


class _InOneBlock(CacheDataset):
    """MONAI's, with all images of a kind in one block of memory.

    One by one they would lie between what their making took and freed, which leaves holes that nothing fits
    into.

    Args:
        block: ``(images kept, channels, *places)``; images of another type or size lie by themselves.
    """

    def __init__(self, block: Tensor, *given: Any, **how: Any) -> None:
        self.block = block
        super().__init__(*given, **{**how, "cache_num": len(block)})

    def _load_cache_item(self, index: int) -> Any:
        item = super()._load_cache_item(index)
        image, place = item["image"], self.block[index]
        if image.dtype != place.dtype or image.shape != place.shape:
            return item
        return {**item, "image": place.copy_(image)}


def _in_memory(
    items: Sequence[dict[str, Any]],
    transform: Compose,
    keep: int,
    what: str,
    block: torch.dtype,
    shape: Shape,
) -> CacheDataset:
    if keep and show_progress():
        print(f"reading {keep} {what}", file=sys.stderr)
    return _InOneBlock(
        torch.empty(keep, *shape, dtype=block),
        items,
        transform,
        num_workers=WORKERS,
        copy_cache=False,
        progress=show_progress(),
    )


def show_progress() -> bool:
    """Whether somebody is watching: progress bars would only clutter a log file."""
    return sys.stderr.isatty()
