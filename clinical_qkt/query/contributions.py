"""The answering site's one pass over its images of the queried classes; features are not kept."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.terms import Unit
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.transforms import adapter
from clinical_qkt.packages.query import Query
from clinical_qkt.privacy.mechanisms import PatientSums
from clinical_qkt.query.patient_batches import Batch, looked_at, of_images, of_patients, room_for
from clinical_qkt.statistics.class_statistics import ClassStatistics, Kind, Moments
from clinical_qkt.tasks.single_label import SINGLE_LABEL


@dataclass
class Seen:
    """What one pass over a class's images leaves behind.

    Attributes:
        kind: of the answer that is being prepared.
        patients: different ones, or images where the unit is the image.
    """

    kind: Kind
    moments: Moments
    sums: PatientSums
    patients: set[str]
    finite: bool = True

    def update(self, features: torch.Tensor, patients: Sequence[str]) -> None:
        self.patients.update(patients)
        if self.kind == "private_mean":
            self.sums.update(features[:, : self.sums.features], patients)
            return
        self.finite = self.finite and bool(torch.isfinite(features).all())
        if self.finite:
            self.moments.update(features)

    def exact(self) -> ClassStatistics:
        """What an exact response of its kind tells."""
        return self.moments.statistics().reduced(self.kind)


@dataclass(frozen=True)
class OnePass:
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

    def run(self, own: LabelSpace, kinds: Mapping[int, Kind]) -> dict[int, Seen]:
        """Statistics of each queried class that is responded for, by its position in the query.

        Args:
            own: the site's classes.
            kinds: of the responses, by that position.

        Raises:
            PackageError: this site's images cannot meet the query's input contract.
            InputError: patients are not named.
        """
        if not kinds:
            return {}
        self.require_same_kind()
        self.require_patients()
        card = self.query.card
        seen = {
            i: Seen(
                kind, Moments(card.extractor.features), PatientSums(card.private_axes, card.radius), set()
            )
            for i, kind in kinds.items()
        }
        place = {c: i for i in seen if (c := own.find(card.query[i], parts=False)) is not None}
        items = [item for s in ("training", "validation") for item in self.data.items[s]]
        items = [{**i, "patient": self.patient(i)} for i in SINGLE_LABEL.relabelled(items, place)]
        batches, left_out = self.batches(items, kinds), 0
        prepare = adapter(self.read, card.input)
        looks = looked_at(batches, self.query.extractor, card.input, prepare, self.device, self.processes)
        with tqdm(total=len(items), desc="statistics", leave=False, disable=_quiet(items)) as told:
            for batch, found in zip(batches, looks, strict=True):
                seen[batch.label].update(found.features, found.patients)
                left_out += found.left_out
                told.update(len(batch.files))
        warn_left_out(left_out)
        return seen

    def batches(self, items: Sequence[dict[str, Any]], kinds: Mapping[int, Kind]) -> list[Batch]:
        """A patient's images by themselves for private responses, any together for others.

        Args:
            items: ``{"image", "label", "patient"}`` with the position of the class in the query as label.
            kinds: of the answers, by that position.
        """
        extractor, given = self.query.extractor, self.query.card.input
        private = [item for item in items if kinds[item["label"]] == "private_mean"]
        others = [item for item in items if kinds[item["label"]] != "private_mean"]
        found = of_patients(private, room_for(extractor, given, self.device)) if private else []
        if others:
            shape, step = (given.channels, *given.spatial_size), extractor.features
            size = images_at_once(extractor, shape, self.device, step=step, where="query: input")
            found += of_images(others, size)
        return found

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


def _quiet(items: Sequence[Any]) -> bool | None:
    """No progress bar for what takes a moment; else one if somebody is watching."""
    return True if len(items) < 500 else None


def warn_left_out(count: int) -> None:
    """Say how many images are in no answer, for the eyes of this site alone."""
    if count:
        told = "images of the queried classes cannot be prepared as the query asks; the asker is not told"
        print(f"warning: left out {count} {told}", file=sys.stderr)
