"""An archive of unlabelled images: opened one by one, and what a model says of each. Pixels are not kept."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from numpy.typing import NDArray

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.core.spreadsheets import harmless
from clinical_qkt.data.datalist import parse_datalist
from clinical_qkt.data.formats import entries, missed, name_of
from clinical_qkt.data.images import check_images
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import adapter, reading
from clinical_qkt.packages.model import Model
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import logits_of

Array = NDArray[Any]
TRAINED_ON = "is among the images that the site's models were trained or chosen on"


@dataclass(frozen=True)
class Archive:
    """The images below a folder that can be used.

    Attributes:
        paths: in order.
        left_out: how many images are not used, by reason.
    """

    folder: Path
    paths: list[Path]
    left_out: dict[str, int]

    def file(self, position: int) -> str:
        """An image's path below the folder, with slashes on every system."""
        return self.paths[position].relative_to(self.folder).as_posix()


def open_archive(folder: Path, contract: InputContract, datalist: Path) -> Archive:
    """Open every image below a folder once.

    Args:
        folder: with images, in folders of any depth.
        contract: of the model.
        datalist: the site's; the training and validation images that it lists are left out, since a model
            is better on these than on others. They are known by their bytes, wherever they lie.

    Raises:
        InputError: it holds no image, too many that cannot be read, or others than the model takes.
    """
    found = entries(folder)
    paths = [entry.path for entry in found if entry.kind]
    if not paths:
        fix = "give a folder of pictures, DICOM or NIfTI files"
        raise InputError("holds no images", where="--images", fix=fix)
    check = check_images(paths, "--images", allow_mixed_sizes=True, contract=contract)
    if check.channels != contract.channels and contract.other_channels == "refuse":
        raise InputError(
            f"images have {check.channels} channels, the model takes {contract.channels}",
            where="--images",
            fix="give the archive of images that the model is made for",
        )
    left_out = Counter(reason for _, reason in (*missed(found), *check.skipped))
    usable = [p for p, readable in zip(paths, check.readable, strict=True) if readable]
    fresh = _fresh(folder, usable, datalist, left_out)
    if not fresh:
        raise InputError("holds no image that can be used", where="--images", fix="give another folder")
    return Archive(folder, fresh, dict(left_out))


def _fresh(folder: Path, paths: list[Path], datalist: Path, left_out: Counter[str]) -> list[Path]:
    """Those that the site's models have not seen, and whose names can be written down."""
    listed = parse_datalist(datalist)
    seen = [datalist.parent / e.image for s in ("training", "validation") for e in getattr(listed, s)]
    there = [p for p in seen if p.is_file()]
    sizes, digests = {p.stat().st_size for p in there}, {sha256(p) for p in there}
    fresh = []
    for path in paths:
        if name_of(path, whole=True) != os.fspath(path):
            left_out["its name is not UTF-8"] += 1
        elif harmless(f"./{path.relative_to(folder)}") != f"./{path.relative_to(folder)}":
            left_out["its name would be a formula in a spreadsheet"] += 1
        elif path.stat().st_size in sizes and sha256(path) in digests:
            left_out[TRAINED_ON] += 1
        else:
            fresh.append(path)
    return fresh


def probabilities(archive: Archive, model: Model, device: torch.device) -> Array:
    """What a model says of each image, read as the stage ``inference`` reads them, a batch at a time.

    Returns:
        ``(N, classes)`` float32.
    """
    contract = model.card.input
    items = [{"image": str(p)} for p in archive.paths]
    images = Dataset(items, adapter(reading(contract.intensity), contract))
    said = logits_of(model.network, images, device, what="the model's answers")
    return np.asarray(SINGLE_LABEL.probabilities(said).numpy())
