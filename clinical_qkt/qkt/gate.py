"""The gate of a network: from images to what it lets pass, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from clinical_qkt.core.batches import at_once
from clinical_qkt.core.rows import Rows
from clinical_qkt.evidence import gate
from clinical_qkt.evidence.gate import Answers, Door
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.evidence.parts import Gate
from clinical_qkt.evidence.pictures import NUMBERS_BYTES, Pictures, numbers_of
from clinical_qkt.networks.gaussian_classifier import GaussianSpec
from clinical_qkt.packages.card import Card
from clinical_qkt.qkt.strangers import strangers
from clinical_qkt.training.inference import Images, labels_of, logits_of


def gated(
    network: nn.Module,
    card: Card,
    training: Images,
    validation: Images,
    tested: Answers,
    names: Sequence[str],
    query: Sequence[int],
    device: torch.device,
    *,
    seed: int = 0,
) -> tuple[Door, Gate] | None:
    """Open a gate with own training and validation images, and measure it on test images and strangers.

    Args:
        network: gives logits for ``names``.
        card: of the model, or of the one that it was made of: its network and what it takes.
        training, validation: prepared as the card's input says; labels are columns.
        tested: what the network says of test images, see ``answers``.
        names: the label space: the retained classes, then the queried ones.
        query: the columns of the queried classes.
        seed: of the images that show no class.

    Returns:
        None without validation images.
    """
    retained = [c for c in range(len(names)) if c not in query]
    checked = answers(logits_of(network, validation, device), validation)
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


def answers(logits: Tensor, images: Images, patients: Array | None = None) -> Answers:
    """What a network says of labelled images, and what these are like.

    Args:
        logits: ``(N, C)``.
        patients: ``(N,)``; each image counts for itself if None.
    """
    return Answers(logits.numpy(), labels_of(images).numpy(), patients, picture_numbers(images))


def picture_numbers(images: Images) -> Array:
    """``pictures.numbers_of`` for a list of images, ``(N, D)``."""
    places = images[0]["image"].numel() if len(images) else 1
    batch = at_once(lambda n: NUMBERS_BYTES * places * n)
    numbers = Rows(len(images))
    for a in range(0, len(images), batch):
        part = [torch.as_tensor(images[i]["image"]) for i in range(a, min(a + batch, len(images)))]
        numbers.add(torch.from_numpy(numbers_of(torch.stack(part))))
    return numbers.all().numpy()
