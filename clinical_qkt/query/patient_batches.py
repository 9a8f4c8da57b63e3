"""What an extractor makes of a site's images, so that a patient's features follow from that patient's alone.

In a batch the last bits of an image's features depend on how many images there are and on the place it has,
and an extractor built for that can blow them up until one patient moves everybody's contribution. Neither
padding nor rounding helps as long as a batch holds several patients. So a batch holds the images of one, in
an order of their own, with blanks up to one of a few sizes. Which size follows from the number of these
images and from the extractor, never from who else is there or from the memory that happens to be free. How
many processes share the work does not matter: each computes with one thread, and whole batches.

Why blanks, and not batches of as many images as there are: libraries choose and keep a way of computing for
each size that they meet. Few sizes are chosen once each, and take no time of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from clinical_qkt.core import memory, runtime
from clinical_qkt.core.batches import FLOAT, OVERHEAD, budget_of, images_at_once
from clinical_qkt.core.errors import OutputError, QKTError, explained
from clinical_qkt.core.footprint import Footprint
from clinical_qkt.data import look
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor

SIZES = (1, 2, 4, 8, 16, 32)
"""Of a patient's batches, blanks included."""
FEW = 64
"""Batches that are not worth processes of their own."""
AT_ONCE = 16
"""Batches, each by itself, that a process looks at before it hands over what it saw."""


class Meter(nn.Module):
    """Measures how images look, in the place of an extractor.

    Args:
        given: as which they were prepared.
    """

    def __init__(self, given: InputContract) -> None:
        super().__init__()
        self.given, self.numbers = given, look.numbers(given.channels)

    def features(self, images: Tensor) -> Tensor:
        """``(N, numbers)``, see ``InputContract.look_of``."""
        return self.given.look_of(images)


Looking = Extractor | Meter


@dataclass(frozen=True)
class Batch:
    """Images of one class that are looked at together.

    Attributes:
        files: of the images.
        patients: of each.
        size: with blanks.
    """

    label: int
    files: tuple[str, ...]
    patients: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Looked:
    """What is seen of a batch.

    Attributes:
        features: ``(N, D)`` float64 on the CPU, of the images that could be prepared.
        patients: of each of these.
        left_out: images that could not.
    """

    features: Tensor
    patients: list[str]
    left_out: int


def of_patients(items: Sequence[dict[str, Any]], most: int) -> list[Batch]:
    """Batches of one patient each.

    Args:
        items: ``{"image": file, "label": …, "patient": …}`` in any order.
        most: of ``SIZES``, as from ``room_for``.
    """
    groups: dict[tuple[int, str], list[str]] = {}
    for item in items:
        groups.setdefault((item["label"], item["patient"]), []).append(str(item["image"]))
    return [
        Batch(label, files, (patient,) * len(files), next(size for size in SIZES if size >= len(files)))
        for (label, patient), found in groups.items()
        for files in _parts(sorted(found), most)
    ]


def of_images(items: Sequence[dict[str, Any]], most: int) -> list[Batch]:
    """Batches of a class each, whoever is in them, for statistics that promise nothing to anybody."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item["label"], []).append(item)
    return [
        Batch(label, tuple(str(i["image"]) for i in part), tuple(i["patient"] for i in part), len(part))
        for label, found in groups.items()
        for part in _parts(found, most)
    ]


def room_for(extractor: Looking, given: InputContract, device: torch.device) -> int:
    """The largest of ``SIZES`` for an extractor, the images that it takes and a kind of device.

    Not for the memory that is free: that depends on what else is done, and on how much there is of it.
    """
    needed = _needed(extractor, (given.channels, *given.spatial_size), SIZES[-1])
    return max((size for size in SIZES if needed(size) <= budget_of(device)), default=1)


def looked_at(
    batches: Sequence[Batch],
    extractor: Looking,
    given: InputContract,
    prepare: Callable[[dict[str, Any]], Any],
    device: torch.device,
    processes: int | None = None,
) -> Iterator[Looked]:
    """What the extractor sees of each batch, in order; the same to the last bit with any number of processes.

    Args:
        given: what the extractor takes.
        prepare: from ``{"image": file}`` to ``{"image": tensor}`` as it takes it.
        device: where it runs; a GPU is used by this process alone.
        processes: that share the work, 0 for none but this one; as many as the machine can bear by default.

    Raises:
        InputError: not even one image fits into memory.
        OutputError: the machine is to blame, such as a disk that gives errors.
    """
    extractor, shape = extractor.to(device).eval(), (given.channels, *given.spatial_size)
    images_at_once(extractor, shape, device, most=1, step=extractor.features, where="query: input")
    if processes is None:
        processes = _side_by_side(batches, extractor, shape, device)
    looks = _Looks(batches, extractor, shape, prepare, device)
    # What is prepared with here cannot be sent to a process that starts afresh.
    how: dict[str, Any] = {"multiprocessing_context": "fork", "prefetch_factor": 4} if processes else {}
    with _one_way(), _ended_early():
        for some in DataLoader(looks, batch_size=None, num_workers=processes, collate_fn=_as_it_is, **how):
            for found in some:
                if isinstance(found, QKTError):
                    raise found
                features, patients, left_out = found
                yield Looked(torch.from_numpy(features), patients, left_out)


class _Looks(Dataset[Any]):
    """What ``Looked`` holds of some batches in a row; or of one the error, which would lose its causes."""

    def __init__(
        self,
        batches: Sequence[Batch],
        extractor: Looking,
        shape: Sequence[int],
        prepare: Callable[[dict[str, Any]], Any],
        device: torch.device,
    ) -> None:
        self.batches, self.extractor, self.shape = batches, extractor, shape
        self.prepare, self.device = prepare, device

    def __len__(self) -> int:
        return math.ceil(len(self.batches) / AT_ONCE)

    def __getitem__(self, index: int) -> list[tuple[NDArray[np.float64], list[str], int] | QKTError]:
        return [self.look(batch) for batch in self.batches[index * AT_ONCE : (index + 1) * AT_ONCE]]

    @torch.no_grad()
    def look(self, batch: Batch) -> tuple[NDArray[np.float64], list[str], int] | QKTError:
        """The features of the images that could be prepared, whose they are, and how many could not."""
        images = torch.zeros(batch.size, *self.shape)
        there: list[str] = []
        for file, patient in zip(batch.files, batch.patients, strict=True):
            try:
                image = prepared(self.prepare, {"image": file})
            except OutputError as e:
                return e
            if image is not None:
                images[len(there)] = image
                there.append(patient)
        features = self.extractor.features(images.to(self.device))
        return features[: len(there)].double().cpu().numpy(), there, len(batch.files) - len(there)


def prepared(prepare: Callable[[dict[str, Any]], Any], item: dict[str, Any]) -> Tensor | None:
    """An image as the query asks for it; None if it cannot be made so.

    Such an image is left out: an error would tell the asker that the class has one.

    Raises:
        OutputError: the machine is to blame, such as a full memory or a disk that gives errors.
    """
    try:
        image: Tensor = prepare(item)["image"]
    except Exception as e:  # arbitrary bytes can raise anything
        if isinstance(told := explained(e), OutputError):
            raise told from e
        return None
    return image


def _as_it_is(found: Any) -> Any:
    return found


@contextmanager
def _ended_early() -> Iterator[None]:
    """
    Raises:
        OutputError: a process was ended from outside, as systems do with who takes too much memory.
    """
    try:
        yield
    except RuntimeError as e:
        if not str(e).startswith("DataLoader worker"):
            raise
        raise OutputError(
            "a process that looks at images was ended; the memory may not suffice",
            where="statistics",
            fix="end other programs, and answer again",
        ) from None


def _parts(found: Sequence[Any], most: int) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(found), most):
        yield tuple(found[start : start + most])


def _needed(extractor: Looking, shape: Sequence[int], most: int) -> Callable[[int], float]:
    """Bytes for a batch of up to ``most``: the layers' and two copies of each image."""
    layers, images = Footprint(extractor, shape, most, extractor.features), 2 * FLOAT * math.prod(shape)
    return lambda size: OVERHEAD * layers(size) + images * size


def _side_by_side(
    batches: Sequence[Batch], extractor: Looking, shape: Sequence[int], device: torch.device
) -> int:
    """How many processes: as many as cores, as far as each finds the memory for its batches."""
    cores = runtime.processes(device)
    if not cores or len(batches) < FEW:
        return 0
    free, largest = memory.free(device), max(b.size for b in batches)
    return cores if free is None else min(cores, int(free / 2 / _needed(extractor, shape, largest)(largest)))


@contextmanager
def _one_way() -> Iterator[None]:
    """One thread and, on a GPU, no choice by the clock: the same numbers are computed in the same way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(threads)
