"""What ``--data`` takes: a MedMNIST-style npz file, a folder with one sub-folder a class, or a datalist.

All three become a ``Source``: images with labels and splits, not yet dealt to any site.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_qkt.core.errors import InputError
from clinical_qkt.data import formats
from clinical_qkt.data.class_names import in_words, shown
from clinical_qkt.data.datalist import SECTIONS, Section, load_datalist, parse_datalist
from clinical_qkt.data.images import check_images
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.leaks import refuse_sections
from clinical_qkt.data.npz_labels import read_labels
from clinical_qkt.data.splits import dealt_told, stratified
from clinical_qkt.data.words import patient_like

Array = np.ndarray[Any, Any]
NPZ_SPLITS: dict[str, Section] = {"train": "training", "val": "validation", "test": "test"}


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
    if path.suffix.lower() == ".npz":
        return from_npz(path, seed)
    if path.suffix.lower() == ".json":
        return from_datalist(path, allow_mixed_sizes=allow_mixed_sizes)
    raise InputError(
        f"'{path.suffix}' files are not understood",
        where=str(path),
        fix="give an .npz file, a datalist .json, or a folder with one sub-folder of images per class",
    )


def from_npz(path: Path, seed: int = 0, *, where: str = "") -> Source:
    """A MedMNIST-style file: ``train_images``, ``train_labels``, …; or ``images``, ``labels``, unsplit.

    Args:
        seed: of the stratified split, where the file has none.
        where: how errors call the file, if not by its path.

    Raises:
        InputError: names the array and what is wrong with it.
    """
    where = where or str(path)
    content = _arrays(path, where)
    given = [s for s in NPZ_SPLITS if f"{s}_images" in content]
    prefixes = [f"{s}_" for s in given] or [""]
    for key in (f"{prefix}{what}" for prefix in prefixes for what in ("images", "labels")):
        if key not in content:
            raise InputError(
                f"has no array '{key}'", where=where, fix=f"it has: {', '.join(content) or 'nothing'}"
            )
    parts = [_grey_or_colour(content[f"{p}images"], f"{where}: {p}images") for p in prefixes]
    if len({p.shape[1:] for p in parts}) > 1:
        raise InputError("splits have images of different shapes", where=where, fix="make them alike")
    given_labels = {f"{p}labels": content[f"{p}labels"] for p in prefixes}
    for part, (key, column) in zip(parts, given_labels.items(), strict=True):
        if column.shape not in ((len(part),), (len(part), 1)):
            raise InputError(
                f"has shape {column.shape} for {len(part)} images",
                where=f"{where}: {key}",
                fix="give one label an image; of rows with a one in the place of the class, np.argmax(…, 1)",
            )
    classes, labels = read_labels(where, given_labels, content.get("classes"))
    images = np.concatenate(parts)
    ends = np.cumsum([0, *map(len, parts)])
    found = {NPZ_SPLITS[s]: np.arange(ends[i], ends[i + 1]) for i, s in enumerate(given)}
    notes = _unused(content, prefixes, where)
    if set(found) == set(SECTIONS):
        return Source(path.stem, classes, images, labels, found, notes=notes)
    if found:
        notes.append(f"the file has no more than {in_words(found)}: all images are dealt anew")
    keep = _first_of_each(images)
    if len(keep) < len(images):
        notes.append(f"{len(images) - len(keep)} exact duplicates were dropped before splitting")
    splits = stratified(keep, labels, seed, where, classes.names)
    notes.append(_split_note(seed, splits, labels, classes))
    return Source(path.stem, classes, images, labels, splits, notes=notes)


def _unused(content: Collection[str], prefixes: Sequence[str], where: str) -> list[str]:
    """Arrays that nothing is taken from.

    Raises:
        InputError: one seems to tell patients, whose images would be dealt as if they had none.
    """
    read = {f"{prefix}{what}" for prefix in prefixes for what in ("images", "labels")} | {"classes"}
    unused = [key for key in content if key not in read]
    if patient := patient_like(key.removeprefix(p) for key in unused for p in (*prefixes, "")):
        raise InputError(
            f"has an array {shown(patient)}, and patients are not read from such files",
            where=where,
            fix="write pictures and a CSV file with the columns file, label and patient",
        )
    return [f"arrays that are not read: {', '.join(map(shown, unused))}"] if unused else []


def from_folder(path: Path, seed: int = 0, *, allow_mixed_sizes: bool = False) -> Source:
    """A folder with one sub-folder of pictures per class; the sub-folder's name is the class's.

    Which files count is said by ``formats.entries``, as everywhere.
    """
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    refuse_sections([p.name for p in folders], str(path))
    if not folders:
        raise InputError(
            "has no sub-folders",
            where=str(path),
            fix="put the images of each class into a sub-folder of its name",
        )
    classes = LabelSpace([p.name for p in folders], where=str(path))
    found = formats.entries(path)
    images, left_out = _pictures(found, path)
    place = {folder.name: c for c, folder in enumerate(folders)}
    labels = np.array([place[p.relative_to(path).parts[0]] for p in images], dtype=np.int64)
    for c, folder in enumerate(folders):
        if c not in labels:
            raise InputError(
                f"class '{folder.name}' has no images",
                where=str(folder),
                fix="; ".join(["add some or remove the folder", *formats.passed_over(found)]),
            )
    check = check_images(images, str(path), allow_mixed_sizes=allow_mixed_sizes)
    splits = stratified(np.flatnonzero(check.readable), labels, seed, str(path), classes.names)
    notes = [*formats.passed_over(found), _split_note(seed, splits, labels, classes)]
    left_out += check.skipped
    return Source(path.name, classes, images, labels, splits, left_out=left_out, notes=notes)


def _pictures(found: list[formats.Entry], path: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """The pictures in sub-folders, and all other images with the reason why they are left out."""
    images, left_out = [], []
    for entry in found:
        if entry.kind not in (None, "picture"):
            left_out.append((formats.name_of(entry.path), "is another kind of file than pictures"))
        elif entry.kind and len(entry.path.relative_to(path).parts) < 2:
            left_out.append((formats.name_of(entry.path), "lies in no sub-folder, so it has no label"))
        elif entry.kind:
            images.append(entry.path)
    return images, left_out


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


def _arrays(path: Path, where: str) -> dict[str, Array]:
    """The file's arrays; what lists file names is not looked at.

    Raises:
        InputError: names the array that cannot be read.
    """
    key = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {}
            for key in (k for k in archive.files if not k.endswith("_files")):
                content[key] = archive[key]
            return content
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as e:
        if key and isinstance(e, ValueError):
            raise InputError(
                "holds objects, which only a program could read, or is damaged",
                where=f"{where}: {key}",
                fix="save it as an array of numbers or of text (dtype=str)",
            ) from None
        raise InputError(
            f"cannot be read as an .npz file ({type(e).__name__})", where=where, fix="copy the file again"
        ) from None


def _grey_or_colour(images: Array, where: str) -> Array:
    """``(N, H, W)`` or ``(N, H, W, 3)``."""
    if images.dtype != np.uint8:
        raise InputError(f"is {images.dtype}, not uint8", where=where, fix="scale the images to 0..255")
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))):
        raise InputError(
            f"has shape {images.shape}; two-dimensional images are expected",
            where=where,
            fix="give (N, H, W) or (N, H, W, 1 or 3); volumes need a bundle for volumes",
        )
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images


def _first_of_each(images: Array) -> Array:
    first: dict[bytes, int] = {}
    for i, image in enumerate(images):
        first.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), i)
    return np.array(sorted(first.values()))


def _split_note(seed: int, splits: dict[Section, Array], labels: Array, classes: LabelSpace) -> str:
    names = classes.names
    drawn = {s: [(names[int(labels[i])], str(i)) for i in positions] for s, positions in splits.items()}
    return f"the data has no splits: {dealt_told(drawn, seed)}"
