"""Two laboratories' pictures of the same classes, as two sites of a federation.

What each of them has is a folder with a sub-folder of pictures a class. A ``labels.csv`` beside these, with
columns ``image`` and ``slide``, tells which pictures are of one slide: these stay together in a section.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clinical_qkt.core.errors import InputError
from clinical_qkt.data import formats
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.sources import Source
from clinical_qkt.data.splits import split
from clinical_qkt.research.benchmark.config import OtherSite

TABLE = "labels.csv"


def two_sites(folder: Path, given: OtherSite, most: int, seed: int) -> tuple[Source, NDArray[np.int64]]:
    """The pictures of both, of the classes that both have, reduced by averaging areas.

    Args:
        given: what a scenario says of the other one.
        most: training pictures used of each class of each of them.
        seed: of the splits.

    Returns:
        The source, and ``(N,)`` 0 for a picture of ``folder``, 1 for one of the other.

    Raises:
        InputError: the folders do not fit together.
    """
    other = folder.parent / given.data
    names = tuple(common_classes(folder, other))
    first, second = parts = [
        _of_one(place, names, scale, given.side, seed).limited(most, seed)
        for place, scale in ((folder, 1.0), (other, given.magnified))
    ]
    source = replace(
        first,
        name=f"{folder.name} and {other.name}",
        images=np.concatenate([np.asarray(part.images) for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        splits={
            s: np.concatenate([first.splits[s], second.splits[s] + len(first.labels)]) for s in first.splits
        },
    )
    return source, np.repeat([0, 1], [len(part.labels) for part in parts])


def common_classes(folder: Path, other: Path) -> list[str]:
    """The names of sub-folders that both have, sorted.

    Raises:
        InputError: a folder cannot be read, or they are fewer than three.
    """
    for place in (folder, other):
        if not place.is_dir():
            raise InputError(
                "is no folder",
                where=str(place),
                fix="name a folder with a sub-folder of pictures for each class",
            )
    here, there = ({p.name for p in place.iterdir() if p.is_dir()} for place in (folder, other))
    if len(here & there) < 3:
        raise InputError(
            f"has {len(here & there)} classes in common with {folder.name}; three are needed",
            where=str(other),
            fix="name sub-folders alike where they show the same",
        )
    return sorted(here & there)


def pictures_of(folder: Path, name: str) -> list[Path]:
    """The pictures of a class, sorted."""
    return [entry.path for entry in formats.entries(folder / name) if entry.kind == "picture"]


def _of_one(folder: Path, names: tuple[str, ...], scale: float, side: int, seed: int) -> Source:
    files = [pictures_of(folder, name) for name in names]
    labels = np.repeat(np.arange(len(names)), [len(found) for found in files])
    paths = [path for found in files for path in found]
    slides = _slides(folder, paths)
    splits = split([names[c] for c in labels], slides, seed, str(folder))
    return Source(folder.name, LabelSpace(list(names)), _read(tuple(paths), scale, side), labels, splits)


def _slides(folder: Path, paths: list[Path]) -> list[str]:
    """Of each picture; its own name where no table tells."""
    told: dict[str, str] = {}
    if (folder / TABLE).is_file():
        with (folder / TABLE).open(newline="", encoding="utf-8") as table:
            told = {row["image"]: row["slide"] for row in csv.DictReader(table) if row.get("slide")}
    return [told.get(name := path.relative_to(folder).as_posix(), name) for path in paths]


@lru_cache(maxsize=4)
def _read(paths: tuple[Path, ...], scale: float, side: int) -> NDArray[np.uint8]:
    """``(N, side, side, 3)``."""
    return np.stack([_reduced(path, scale, side) for path in paths])


def _reduced(path: Path, scale: float, side: int) -> NDArray[np.uint8]:
    """A picture's centre; where things are made smaller, its edge is continued by its mirror image."""
    with Image.open(path) as opened:
        picture = np.asarray(opened.convert("RGB"))
    field = min(picture.shape[:2]) / scale
    pad = max(0, int(np.ceil((field - min(picture.shape[:2])) / 2)))
    wide = Image.fromarray(np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), "reflect"))
    left, top = (wide.width - field) / 2, (wide.height - field) / 2
    box = (left, top, left + field, top + field)
    return np.asarray(wide.resize((side, side), Image.Resampling.BOX, box=box))
