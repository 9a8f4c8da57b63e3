"""An answering site's images, in batches, as a query asks for them, and what is seen of them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.progress import bar
from clinical_qkt.core.terms import Unit
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import adapter
from clinical_qkt.packages.query import Query
from clinical_qkt.query.patient_batches import (
    Batch,
    Looked,
    Looking,
    looked_at,
    of_images,
    of_patients,
    room_for,
)
from clinical_qkt.tasks.single_label import SINGLE_LABEL


@dataclass(frozen=True)
class SiteImages:
    """What is needed to look at a site's images as a query asks for them.

    Attributes:
        given: how images are prepared for the site's own model.
        read: MONAI transforms from a file to a raw channel-first image.
        unit: whom a private response protects.
        datalist: the file's name, for errors.
        processes: see ``patient_batches.looked_at``.
    """

    query: Query
    data: CheckedData
    given: InputContract
    read: list[Any]
    device: torch.device
    unit: Unit
    datalist: str
    processes: int | None = None

    def items(self, labels: Mapping[int, int | None]) -> list[dict[str, Any]]:
        """Images of own classes, with new labels and whom they show.

        Args:
            labels: by the class's place in the site's list; images of others are left out.
        """
        items = [item for s in ("training", "validation") for item in self.data.items[s]]
        return [{**i, "patient": self.patient(i)} for i in SINGLE_LABEL.relabelled(items, labels)]

    def batches(
        self,
        items: Sequence[dict[str, Any]],
        private: Collection[int],
        looking: Looking,
        given: InputContract,
        device: torch.device,
    ) -> list[Batch]:
        """A patient's images by themselves for private responses, any together for others.

        Args:
            items: ``{"image", "label", "patient"}``.
            private: labels of images that private responses are made of.
        """
        apart = [item for item in items if item["label"] in private]
        others = [item for item in items if item["label"] not in private]
        found = of_patients(apart, room_for(looking, given, device)) if apart else []
        if others:
            shape = (given.channels, *given.spatial_size)
            size = images_at_once(looking, shape, device, step=looking.features, where="query: input")
            found += of_images(others, size)
        return found

    def seen_by(
        self,
        looking: Looking,
        given: InputContract,
        batches: Sequence[Batch],
        device: torch.device,
        what: str,
    ) -> Iterator[tuple[Batch, Looked]]:
        """Each batch with what is seen of it; a bar if somebody watches."""
        count = sum(len(batch.files) for batch in batches)
        looks = looked_at(batches, looking, given, adapter(self.read, given), device, self.processes)
        with bar(count, what) as told:
            for batch, found in zip(batches, looks, strict=True):
                yield batch, found
                told.update(len(batch.files))

    def require_patients(self) -> None:
        """Refuse to protect patients who are not named, whatever class is asked for.

        Were the images of the queried classes looked at alone, the asker would learn something of them.

        Raises:
            InputError: an image of any class names no patient.
        """
        for section in ("training", "validation"):
            for item in self.data.items[section]:
                self.patient(item)

    def patient(self, item: dict[str, Any]) -> str:
        """Whom an image shows; stays in memory.

        Raises:
            InputError: the policy protects patients and the datalist does not name them.
        """
        if self.unit == "image":
            return str(item["image"])
        if item["image"] not in self.data.patients:
            raise InputError(
                "an image names no patient, so a patient cannot be protected",
                where=f"{self.datalist}: patient",
                fix="add 'patient' to each entry of the datalist; or, where no two images show the same "
                "patient, set 'unit: image' under 'policy'",
            )
        return self.data.patients[item["image"]]

    def require_same_kind(self) -> None:
        """
        Raises:
            PackageError: the query asks for images that this site's cannot become.
        """
        where = f"query of {self.query.card.site}: input"
        self.query.card.input.require_same_kind(self.given, where, "tell the asking site; nothing was sent")


def warn_left_out(count: int, whose: str = "the queried classes") -> None:
    """Say how many images are in no answer, for the eyes of this site alone."""
    if count:
        told = f"images of {whose} cannot be prepared as the query asks; the asker is not told"
        print(f"warning: left out {count} {told}", file=sys.stderr)
