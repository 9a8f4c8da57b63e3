"""The gate of a network: from images to what it lets pass, what that is worth, and the file that keeps it.

The file lies beside the model's folder and stays at the site: it describes the site's own pictures by a few
numbers, and a model that leaves takes nothing of it along.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, ValidationError
from torch import nn

from clinical_qkt.core.batches import at_once
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import write_json
from clinical_qkt.core.values import Strict
from clinical_qkt.evidence import gate
from clinical_qkt.evidence.gate import Answers, Door, Score
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.evidence.parts import Gate
from clinical_qkt.evidence.pictures import NUMBERS_BYTES, Pictures, numbers_of
from clinical_qkt.networks.gaussian_classifier import GaussianSpec
from clinical_qkt.packages.card import Card
from clinical_qkt.qkt.strangers import strangers
from clinical_qkt.training.inference import Images, labels_of, logits_of

FILE = "gate.json"


class GateFile(Strict):
    """``gate.json``: the gate of one model."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: Literal["clinical-qkt/gate/1"] = Field(default="clinical-qkt/gate/1", alias="schema")
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    score: Score
    threshold: float
    pictures: Pictures | None

    @property
    def door(self) -> Door:
        return Door(self.score, self.threshold, self.pictures)


def gated(
    network: nn.Module,
    card: Card,
    training: Images,
    validation: Images,
    test: Images,
    names: Sequence[str],
    query: Sequence[int],
    device: torch.device,
    *,
    patients: Array | None = None,
    seed: int = 0,
) -> tuple[Door, Gate] | None:
    """Open a gate with own training and validation images, and measure it on test images and strangers.

    Args:
        network: gives logits for ``names``.
        card: of the model, or of the one that it was made of: its network and what it takes.
        training, validation, test: prepared as the card's input says; labels are columns.
        names: the label space: the retained classes, then the queried ones.
        query: the columns of the queried classes.
        patients: ``(N,)`` of the test images; each image counts for itself if None.
        seed: of the images that show no class.

    Returns:
        None without validation images.
    """
    retained = [c for c in range(len(names)) if c not in query]
    checked, tested = said(network, validation, device), said(network, test, device, patients)
    numbers, labels = picture_numbers(training), labels_of(training).numpy()
    own = np.isin(labels, retained)
    assert checked.numbers is not None
    pictures = Pictures.of(
        np.concatenate([numbers[own], checked.numbers]), np.concatenate([labels[own], checked.labels])
    )
    found = gate.opened(checked, retained, pictures, levels=not isinstance(card.network, GaussianSpec))
    if found is None:
        return None
    door, candidates = found
    others = strangers(network, card.input, device, seed=seed)
    return door, gate.measured(door, candidates, checked, tested, retained, query, names, others)


def said(network: nn.Module, images: Images, device: torch.device, patients: Array | None = None) -> Answers:
    """What a network says of labelled images, and what these are like."""
    logits = logits_of(network, images, device).numpy()
    return Answers(logits, labels_of(images).numpy(), patients, picture_numbers(images))


def picture_numbers(images: Images) -> Array:
    """``pictures.numbers_of`` for a list of images, ``(N, D)``."""
    places = images[0]["image"].numel() if len(images) else 1
    batch = at_once(lambda n: NUMBERS_BYTES * places * n)
    starts = range(0, len(images), batch)
    stacked = (
        torch.stack([torch.as_tensor(images[i]["image"]) for i in range(a, min(a + batch, len(images)))])
        for a in starts
    )
    return np.concatenate([numbers_of(part) for part in stacked])


def write_gate(folder: Path, door: Door, weights_sha256: str) -> Path:
    """Write ``gate.json`` beside a model.

    Args:
        folder: the model's; the file lies in the folder around it, since a model's own takes nothing else.
        weights_sha256: on the model's card.
    """
    content = GateFile(
        weights_sha256=weights_sha256, score=door.score, threshold=door.threshold, pictures=door.pictures
    )
    write_json(folder.parent / FILE, content.model_dump(mode="json"))
    return folder.parent / FILE


def read_gate(folder: Path, weights_sha256: str) -> Door | None:
    """The gate of the model in a folder; None if it has none.

    Raises:
        InputError: the file is damaged, or is that of another model.
    """
    path = folder.parent / FILE
    if not path.exists():
        return None
    try:
        found = GateFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise InputError(
            "cannot be read, so that 'none of these' cannot be told",
            where=str(path),
            fix="run `transfer` again, or delete the file to go without",
        ) from None
    if found.weights_sha256 != weights_sha256:
        raise InputError(
            "belongs to another model: its weights have another digest",
            where=str(path),
            fix="run `transfer` again, or delete the file to go without",
        )
    return found.door
