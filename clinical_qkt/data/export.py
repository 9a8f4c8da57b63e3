"""Writing a source's images and datalists, so that simulated sites find what real ones have: files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from clinical_qkt.core.files import private_folder, write_json, write_whole
from clinical_qkt.data.datalist import SECTIONS, Section
from clinical_qkt.data.sources import Source


def write_images(source: Source, folder: Path) -> list[Path]:
    """One file for each image that is in a split, as PNG; images that are files already stay where they are.

    Returns:
        The path of each image, in the source's order; of images in no split too, though none is written.
    """
    if isinstance(source.images, list):
        return [p.absolute() for p in source.images]
    width = len(str(len(source.images)))
    paths = [folder / f"{i:0{width}d}.png" for i in range(len(source.images))]
    private_folder(folder)
    wanted = sorted(int(i) for positions in source.splits.values() for i in positions)
    for i in tqdm(wanted, "writing images", leave=False, disable=None):
        if not paths[i].exists():
            write_whole(paths[i], partial(Image.fromarray(source.images[i]).save, format="PNG"), private=True)
    return paths


def write_datalist(path: Path, source: Source, files: Sequence[Path], splits: dict[Section, Any]) -> None:
    """A datalist of some of the source's images; paths below it are relative."""
    names = source.classes.names
    sections = {
        s: [
            {"image": _from(path.parent, files[i]), "label": names[int(source.labels[i])]}
            for i in splits.get(s, ())
        ]
        for s in SECTIONS
    }
    head = {"name": source.name, "generated": source.generated, "left_out": source.left_out}
    write_json(path, {**head, **sections}, private=True)


def _from(folder: Path, file: Path) -> str:
    file = file.absolute()
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)
