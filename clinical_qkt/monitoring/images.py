"""The images of a check: which there are, and what is kept of them, one batch at a time."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray
from pydantic import ValidationError
from tqdm import tqdm

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.parts import InParts
from clinical_qkt.core.refusals import sentences
from clinical_qkt.core.rows import Rows
from clinical_qkt.core.values import Strict
from clinical_qkt.data.datalist import SECTIONS, parse_datalist
from clinical_qkt.data.formats import ImageRefused, entries, missed
from clinical_qkt.data.images import raw_image, require_content, size_of
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import contract_transforms
from clinical_qkt.monitoring.descriptors import look, watched
from clinical_qkt.monitoring.drift import Seen
from clinical_qkt.packages.model import Model
from clinical_qkt.tasks.single_label import SINGLE_LABEL

BATCH = 64
LOOK_COPIES = 12
"""Of an image, that ``descriptors.look`` takes at most: it counts in double precision."""


class _New(Strict):
    image: str
    patient: str | int | None = None


class _NewImages(Strict):
    """A list of new images, which have no labels yet."""

    images: list[_New]


@dataclass
class Listed:
    """Images that are to be looked at.

    Attributes:
        patients: a number for the patient of each; None where no list names all of them.
        passed_over: files that may have been meant as images and cannot be looked at.
        older: left out since they are older than was asked for.
    """

    paths: list[Path]
    patients: list[int] | None = None
    passed_over: int = 0
    older: int = 0

    def since(self, day: datetime.date) -> Listed:
        """Those whose files were written on that day or later."""
        keep = [_written(path) >= day for path in self.paths]
        numbers = self.patients and [p for p, k in zip(self.patients, keep, strict=True) if k]
        paths = [p for p, k in zip(self.paths, keep, strict=True) if k]
        return Listed(paths, numbers, self.passed_over, len(keep) - len(paths))


@dataclass
class Raw:
    """What was kept of images, before anything is reduced to axes.

    Attributes:
        features: ``(N, D)``, or already ``(N, K)`` on axes.
        kept: positions in the list of those that could be read.
        unreadable: why others could not, in words without names.
    """

    look: NDArray[np.float64]
    features: NDArray[Any]
    called: NDArray[np.int64]
    stated: NDArray[np.float64]
    kept: NDArray[np.int64]
    unreadable: list[str] = field(default_factory=list)

    def seen(self, patients: Sequence[int] | None) -> Seen:
        """With the patient of each image, or each image for itself."""
        numbers = np.arange(len(self.kept)) if patients is None else np.asarray(patients)[self.kept]
        return Seen(self.look, self.features.astype(np.float64), self.called, self.stated, numbers)


def list_images(source: Path) -> Listed:
    """The images below a folder, or of a list: a datalist, or ``{"images": [{"image", "patient"}]}``.

    Labels in a datalist are not looked at.

    Raises:
        InputError: there are none; the list is wrong.
    """
    if source.is_dir():
        found = entries(source)
        listed = Listed([e.path for e in found if e.kind], None, len(missed(found)))
    else:
        listed = _of_list(source)
    if not listed.paths:
        raise InputError(
            "holds no images", where=str(source), fix="give a folder with images, or a list of some"
        )
    return listed


def _of_list(source: Path) -> Listed:
    rows = _plain_list(source)
    if rows is None:
        content = parse_datalist(source)
        rows = [(str(e.image), e.patient) for s in SECTIONS for e in getattr(content, s)]
    paths = [source.parent / image for image, _ in rows]
    named = [str(patient) for _, patient in rows if patient is not None]
    if len(named) < len(rows):
        if named:
            raise InputError(
                f"{len(rows) - len(named)} of {len(rows)} images name no patient",
                where=str(source),
                fix="name the patient of each image, or of none",
            )
        return Listed(paths)
    numbers = {name: i for i, name in enumerate(sorted(set(named)))}
    return Listed(paths, [numbers[name] for name in named])


def _plain_list(source: Path) -> list[tuple[str, str | int | None]] | None:
    """The rows of a list without labels; None if it is none, such as a datalist."""
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None  # whatever it is, the reader of datalists says what is wrong with it
    if not isinstance(content, dict) or "images" not in content:
        return None
    try:
        return [(row.image, row.patient) for row in _NewImages.model_validate(content).images]
    except ValidationError as e:
        raise InputError(
            f"field {sentences(e)[0]}",
            where=str(source),
            fix='write {"images": [{"image": "a.png", "patient": "p1"}]}, or give a datalist',
        ) from None


@torch.no_grad()
def looked_at(
    paths: Sequence[Path],
    read: list[Any],
    model: Model,
    device: torch.device,
    axes: NDArray[np.float64] | None = None,
    what: str = "new images",
) -> Raw:
    """Read images and ask the model, in batches: no more than one of them is in memory.

    Args:
        read: MONAI transforms from a file to a raw channel-first image.
        axes: see ``reference.Reference``; None keeps the features whole.

    Raises:
        InputError: not one image can be used, or not one fits into memory.
    """
    network, given = model.network.to(device).eval(), model.card.input
    shape = (given.channels, *given.spatial_size)
    size = images_at_once(network, shape, device, most=BATCH, making=LOOK_COPIES, where="model")
    unreadable: list[str] = []
    kept: list[int] = []
    parts = [Rows(len(paths)) for _ in range(4)]
    with watched(network) as caught:

        def asked(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            caught.clear()
            said = network(images.to(device)).float()
            return said, torch.cat(caught, 1).float().cpu()

        answers = InParts(asked, what)
        for batch, places in _batches(paths, read, given, unreadable, what, size):
            said, features = answers(batch)
            sure, named = SINGLE_LABEL.probabilities(said).max(1)
            kept += places
            reduced = features if axes is None else torch.from_numpy(features.numpy() @ axes)
            found = look(batch), reduced, named.cpu(), sure.cpu().double()
            for part, rows in zip(parts, found, strict=True):
                part.add(rows)
    if not kept:
        reason = max(set(unreadable), key=unreadable.count)
        raise InputError(
            f"not one of {len(paths)} images can be used: {reason}",
            where="images",
            fix="give images of the kind that the model was made for",
        )
    looks, seen, called, stated = (part.all().numpy() for part in parts)
    return Raw(looks, seen, called, stated, np.array(kept), unreadable)


def _batches(
    paths: Sequence[Path], read: list[Any], given: InputContract, unreadable: list[str], what: str, size: int
) -> Iterator[tuple[torch.Tensor, list[int]]]:
    prepare = Compose([*read, *contract_transforms(given)])
    images: list[torch.Tensor] = []
    places: list[int] = []
    for i, path in enumerate(tqdm(paths, what, leave=False, disable=None)):
        try:
            _require_usable(path, given)
        except ImageRefused as e:
            unreadable.append(str(e))
            continue
        images.append(prepare({"image": str(path)})["image"])
        places.append(i)
        if len(images) == size:
            yield torch.stack(images), places
            images, places = [], []
    if images:
        yield torch.stack(images), places


def _require_usable(path: Path, given: InputContract) -> None:
    """
    Raises:
        ImageRefused: with the reason; the model would not take the image, or it cannot be read.
    """
    raw = raw_image(path, given.intensity)
    require_content(raw.values, given)
    channels, *size = raw.shape
    if len(size) != len(given.spatial_size):
        raise ImageRefused(f"is {size_of(raw.shape)}, the model takes {len(given.spatial_size)} dimensions")
    convertible = given.other_channels == "convert" and {channels, given.channels} == {1, 3}
    if channels != given.channels and not convertible:
        raise ImageRefused(f"has {channels} channels, the model takes {given.channels}")


def _written(path: Path) -> datetime.date:
    try:
        return datetime.date.fromtimestamp(path.stat().st_mtime)
    except OSError:
        return datetime.date.max  # it is counted among those that cannot be read
