"""What arrives at a network's head of images, computed once for a training that leaves the rest as it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clinical_qkt.training.inference import Images, head_inputs, labels_of


def frozen_features(
    images: Images, network: nn.Module, device: torch.device, what: str
) -> list[dict[str, Any]]:
    """Images as their features, in their order: ``{"image": (features,) float32, "label": int}``.

    The network computes as in evaluation, and of images as they are: without augmentation.

    Args:
        images: ``{"image", "label"}``, prepared.
        network: all of it, of which the head alone is to be trained.
        device: where it runs; the features are on the CPU.
        what: which images, for whoever waits.

    Raises:
        InputError: not even one image fits into memory.
    """
    print(f"frozen features of {len(images)} {what} images: once, without augmentation")
    before = network.training
    features, labels = head_inputs(network, images, device), labels_of(images)
    network.train(before)
    return [{"image": row, "label": int(label)} for row, label in zip(features, labels, strict=True)]
