"""What ``--data`` takes: a MedMNIST-style npz file, a folder with one sub-folder a class, or a datalist.

All three become a ``Source``: images with labels and splits, not yet dealt to any site.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_qkt.data import formats
from clinical_qkt.data.datalist import SECTIONS, Section, load_datalist, parse_datalist
from clinical_qkt.data.images import check_images
from clinical_qkt.errors import InputError
from clinical_qkt.labels import LabelSpace
from clinical_qkt.prepare.splits import stratified

Array = np.ndarray[Any, Any]
NPZ_SPLITS: dict[str, Section] = {"train": "training", "val": "validation", "test": "test"}
SUFFIXES = {suffix for suffix, kind in formats.SUFFIXES.items() if kind == "picture"}


@dataclass
class Source:
    """Labelled images with splits.

    Attributes:
        images: ``(N, H, W)`` or ``(N, H, W, C)`` uint8, or the images' paths.
        labels: ``(N,)`` positions in ``classes``.
        splits: the images' positions per section.
        left_out: images that cannot be read, ``(file name, reason)``.
        notes: what else was decided about the data, for the user.
    """

    name: str
    classes: LabelSpace
    images: Array | list[Path]
    labels: Array
    splits: dict[Section, Array]
    generated: bool = False
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def limited(self, per_class: int, seed: int) -> Source:
        """At most ``per_class`` training images a class, and as large a share of the other sections."""
        training = np.bincount(self.labels[self.splits["training"]], minlength=len(self.classes))
        if training.max() <= per_class:
            return self
        rng = np.random.default_rng(seed)
        splits: dict[Section, Array] = {}
        for section, positions in self.splits.items():
            keep = []
            for c in range(len(self.classes)):
                mine = rng.permutation(positions[self.labels[positions] == c])
                keep.append(mine[: round(len(mine) * min(1.0, per_class / max(1, training[c])))])
            splits[section] = np.sort(np.concatenate(keep))
        note = f"at most {per_class} training images a class are used (--max-per-class)"
        return replace(self, splits=splits, notes=[*self.notes, note])


def open_source(path: Path, seed: int = 0, *, allow_mixed_sizes: bool = False) -> Source:
    """Read whatever kind of data ``path`` is.

    Args:
        path: an ``.npz`` file, a ``.json`` datalist or a folder.
        seed: of the stratified split, where the data has none.

    Raises:
        InputError: names the file and what is wrong with it.
    """
    if not path.exists():
        raise InputError("does not exist", where=str(path), fix="check the path given to --data")
    if path.is_dir():
        return from_folder(path, seed, allow_mixed_sizes=allow_mixed_sizes)
    if path.suffix == ".npz":
        return from_npz(path, seed)
    if path.suffix == ".json":
        return from_datalist(path, allow_mixed_sizes=allow_mixed_sizes)
    raise InputError(
        f"'{path.suffix}' files are not understood",
        where=str(path),
        fix="give an .npz file, a datalist .json, or a folder with one sub-folder of images per class",
    )


def from_npz(path: Path, seed: int = 0) -> Source:
    """A MedMNIST-style file: ``train_images``, ``train_labels``, …; or ``images``, ``labels``, unsplit."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {k: archive[k] for k in archive.files if not k.endswith("_files")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise InputError(
            f"cannot be read as an .npz file ({type(e).__name__})", where=str(path), fix="copy the file again"
        ) from None
    given = [s for s in NPZ_SPLITS if f"{s}_images" in content]
    prefixes = [f"{s}_" for s in given] or [""]
    pairs = []
    for prefix in prefixes:
        for key in (f"{prefix}images", f"{prefix}labels"):
            if key not in content:
                raise InputError(
                    f"has no array '{key}'", where=str(path), fix=f"it has: {', '.join(content) or 'nothing'}"
                )
        pairs.append(_check_arrays(path, prefix, content[f"{prefix}images"], content[f"{prefix}labels"]))
    if len({p[0].shape[1:] for p in pairs}) > 1:
        raise InputError("splits have images of different shapes", where=str(path), fix="make them alike")
    images, labels = (np.concatenate(x) for x in zip(*pairs, strict=True))
    classes = _npz_classes(path, content.get("classes"), labels)
    ends = np.cumsum([0, *(len(p[0]) for p in pairs)])
    found = {NPZ_SPLITS[s]: np.arange(ends[i], ends[i + 1]) for i, s in enumerate(given)}
    notes: list[str] = []
    if set(found) == set(SECTIONS):
        return Source(path.stem, classes, images, labels, found)
    keep = _first_of_each(images)
    if len(keep) < len(images):
        notes.append(f"{len(images) - len(keep)} exact duplicates were dropped before splitting")
    splits = stratified(keep, labels, seed, str(path))
    return Source(path.stem, classes, images, labels, splits, notes=[*notes, _split_note(seed)])


def from_folder(path: Path, seed: int = 0, *, allow_mixed_sizes: bool = False) -> Source:
    """A folder with one sub-folder of images per class; the sub-folder's name is the class's."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise InputError(
            "has no sub-folders",
            where=str(path),
            fix="put the images of each class into a sub-folder of its name",
        )
    classes = LabelSpace([p.name for p in folders], where=str(path))
    images: list[Path] = []
    labels: list[int] = []
    for c, folder in enumerate(folders):
        mine = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not mine:
            raise InputError(
                f"class '{folder.name}' has no images", where=str(folder), fix="add some or remove the folder"
            )
        images += mine
        labels += [c] * len(mine)
    check = check_images(images, str(path), allow_mixed_sizes=allow_mixed_sizes)
    found = np.array(labels)
    splits = stratified(np.flatnonzero(check.readable), found, seed, str(path))
    return Source(
        path.name, classes, images, found, splits, left_out=check.skipped, notes=[_split_note(seed)]
    )


def from_datalist(path: Path, *, allow_mixed_sizes: bool = False) -> Source:
    """A datalist file, see ``clinical_qkt.data.datalist``; its classes are those it names or lists."""
    content = parse_datalist(path)
    if content.classes:
        classes = LabelSpace(content.classes, where=f"{path}: classes")
    else:
        names = dict.fromkeys(str(e.label) for s in SECTIONS for e in getattr(content, s))
        if not names:
            raise InputError("lists no images", where=str(path), fix="add entries to 'training'")
        classes = LabelSpace(sorted(names), where=f"{path}: labels")
    data = load_datalist(path, classes, allow_mixed_sizes=allow_mixed_sizes)
    items = [item for s in SECTIONS for item in data.items[s]]
    ends = np.cumsum([0, *(len(data.items[s]) for s in SECTIONS)])
    return Source(
        content.name or path.stem,
        classes,
        [Path(item["image"]) for item in items],
        np.array([item["label"] for item in items]),
        {s: np.arange(ends[i], ends[i + 1]) for i, s in enumerate(SECTIONS)},
        generated=content.generated,
        left_out=data.skipped,
    )


def _check_arrays(path: Path, prefix: str, images: Array, labels: Array) -> tuple[Array, Array]:
    where = f"{path}: {prefix}images"
    if images.dtype != np.uint8:
        raise InputError(f"is {images.dtype}, not uint8", where=where, fix="scale the images to 0..255")
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))):
        raise InputError(
            f"has shape {images.shape}; two-dimensional images are expected",
            where=where,
            fix="give (N, H, W) or (N, H, W, 1 or 3); volumes need a bundle for volumes",
        )
    flat = labels.reshape(len(labels), -1)
    if len(labels) != len(images) or flat.shape[1:] != (1,):
        raise InputError(
            f"has shape {labels.shape} for {len(images)} images",
            where=f"{path}: {prefix}labels",
            fix="give one label an image",
        )
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images, flat[:, 0].astype(
        np.int64
    )


def _npz_classes(path: Path, names: Array | None, labels: Array) -> LabelSpace:
    count = int(labels.max()) + 1 if names is None else len(names)
    outside = labels[(labels < 0) | (labels >= count)]
    if len(outside):
        raise InputError(
            f"label {outside[0]} is outside the list of {count} classes",
            where=f"{path}: labels",
            fix="extend 'classes'",
        )
    classes = LabelSpace(
        [f"class {i}" for i in range(count)] if names is None else [str(n) for n in names],
        where=f"{path}: classes",
    )
    empty = sorted(set(range(count)) - set(labels.tolist()))
    if empty:
        raise InputError(
            f"class '{classes[empty[0]].name}' has no images",
            where=f"{path}: labels",
            fix="drop it from 'classes'",
        )
    return classes


def _first_of_each(images: Array) -> Array:
    first: dict[bytes, int] = {}
    for i, image in enumerate(images):
        first.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), i)
    return np.array(sorted(first.values()))


def _split_note(seed: int) -> str:
    return f"the data has no splits: 70/10/20 % were drawn, stratified, with seed {seed}"
