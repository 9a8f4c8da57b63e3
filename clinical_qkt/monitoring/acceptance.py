"""The yardstick of acceptance: made once of the images by which the model was accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.data.datalist import Datalist, listed_class, parse_datalist
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.monitoring.images import looked_at
from clinical_qkt.monitoring.reference import MOST, About, Reference, counts_of, main_axes, some
from clinical_qkt.packages.model import Model
from clinical_qkt.site.config import Site


def at_acceptance(site: Site, model: Model, read: list[Any], device: torch.device) -> Reference:
    """Make the yardstick of acceptance: the validation and test images of the site's datalist.

    No training images: the model fits those better than any others.

    Raises:
        InputError: too few of them, or the datalist is wrong.
    """
    content = parse_datalist(site.data)
    rows = _rows(site, content, model.card.labels)
    if len(rows) < site.monitoring.minimum_images:
        raise InputError(
            f"{len(rows)} validation and test images are too few for a yardstick",
            where=str(site.data),
            fix=f"{site.monitoring.minimum_images} at least are needed ('monitoring: minimum_images')",
        )
    named = all(patient is not None for *_, patient in rows)
    numbers = {p: i for i, p in enumerate(sorted({str(p) for *_, p in rows}))}
    patients = np.array([numbers[str(p)] for *_, p in rows]) if named else np.arange(len(rows))
    chosen = some(patients, MOST, site.seed)
    raw = looked_at([rows[i][0] for i in chosen], read, model, device, what="images of the acceptance")
    axes = main_axes(raw.features, raw.called)
    raw.features = raw.features @ axes
    seen = raw.seen([int(patients[i]) for i in chosen])
    truth = np.array([rows[i][1] for i in chosen])[raw.kept]
    counted, units = counts_of(seen, model.card.labels.names, by_patient=named)
    sections = (content.training, content.validation, content.test)
    about = About(
        kind="acceptance",
        name="acceptance",
        weights_sha256=model.card.weights_sha256,
        data_sha256=sha256(site.data),
        classes=model.card.labels.names,
        patients_named=named,
        unreadable=len(content.left_out) + len(raw.unreadable),
        listed=sum(map(len, sections)) + len(content.left_out),
        counted=counted,
        units=units,
    )
    return Reference(about, seen, truth, axes)


def _rows(site: Site, content: Datalist, labels: LabelSpace) -> list[tuple[Path, int, str | None]]:
    """Path, class and patient of each image whose class the model has."""
    rows = []
    own = LabelSpace(content.classes, where=f"{site.data}: classes") if content.classes else None
    for section in ("validation", "test"):
        for k, entry in enumerate(getattr(content, section)):
            found = labels.find(listed_class(entry.label, own, f"{site.data}: {section}[{k}].label"))
            if found is not None:
                rows.append((site.data.parent / entry.image, found, entry.patient))
    return rows
