"""What networks like a site's own said of training images they were not fitted to: see ``own_folds``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinical_qkt.core.files import fingerprint
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.folds import folds_of
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model
from clinical_qkt.site.config import Site
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training import own_folds

ALONE = "validation images alone show forgetting"


def wanted(site: Site, card: Card) -> bool:
    """Whether there should be such logits: the site asks for classes, and its training keeps no secret.

    Networks by folds would be further looks at patients to whom a training with differential privacy has
    promised what one network tells.
    """
    return bool(site.query) and site.held_out_folds > 1 and card.privacy.training is None


def made_of(site: Site, card: Card, data: CheckedData) -> own_folds.MadeOf:
    """What decides the logits of a site's training images.

    Args:
        card: of its own model.
        data: images of queried classes do not count.
    """
    images = [
        (os.path.relpath(i["image"], site.data.parent), i["label"], data.patients.get(i["image"]))
        for i in _own(site, data)
    ]
    return own_folds.MadeOf(card.weights_sha256, fingerprint(images), str(site.held_out_folds))


def folds(site: Site, data: CheckedData) -> tuple[NDArray[np.int64], str]:
    """Which fold each training image is in, and what speaks against them; an empty text if nothing does.

    Args:
        data: images of queried classes do not count.
    """
    items = _own(site, data)
    labels, patients = SINGLE_LABEL.targets(items), data.whose_are(items)
    found = folds_of(labels, patients, count=site.held_out_folds, seed=site.seed)
    alone = own_folds.missing_class(found, labels)
    if alone is None:
        return found, ""
    few = f"'{data.labels[alone].name}' has too few training images, or of too few patients"
    return found, f"{few}, for {site.held_out_folds} folds"


def read(site: Site, own: Model, data: CheckedData, own_logits: Callable[[], Tensor]) -> Tensor | None:
    """Logits of the training images, by networks like the site's own one that were not fitted to them.

    Args:
        own: the site's model.
        data: its images; ``data.labels`` is its classes, then the queried ones.
        own_logits: ``(N, own classes)`` of the own model, called where images of queried classes are among
            the training images: it was not fitted to these.

    Returns:
        ``(N, own classes)`` float32; None if there are none that belong to this model and these images.
    """
    if not wanted(site, own.card):
        return None
    kept = own_folds.read(site.output_dir / own_folds.FILE, made_of(site, own.card, data))
    if kept is None:
        missing = "of this model and these training images there are no networks by folds; run `train` again"
        print(f"note: {folds(site, data)[1] or missing}: {ALONE}", file=sys.stderr)
        return None
    mine = torch.tensor([i["label"] < len(site.classes) for i in data.items["training"]])
    if bool(mine.all()):
        return kept
    found = own_logits().clone()
    found[mine] = kept
    return found


def _own(site: Site, data: CheckedData) -> list[dict[str, Any]]:
    return [i for i in data.items["training"] if i["label"] < len(site.classes)]
