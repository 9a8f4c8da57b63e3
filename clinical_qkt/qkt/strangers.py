"""Images that show no class of any list: noise, shapes and drawings of another modality, made on the spot."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.batches import FLOAT, at_once
from clinical_qkt.core.rows import Rows
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.phantoms import RECIPES, draw_cell
from clinical_qkt.data.probes import COPIES, Noise, Shapes
from clinical_qkt.data.resampling import recoloured
from clinical_qkt.evidence.gate import Kind, Others
from clinical_qkt.evidence.pictures import NUMBERS_BYTES, numbers_of
from clinical_qkt.training.inference import logits_of

COUNT = 100
"""Images of each sort."""
ORGANS = 6
"""The most ellipses within a drawn tomogram."""
TOMOGRAM_BYTES = 200
"""That the drawing of one takes for each of its places."""


def strangers(
    network: nn.Module, given: InputContract, device: torch.device, *, count: int = COUNT, seed: int = 0
) -> list[Others]:
    """What a network says of images that show nothing of what it knows.

    Args:
        network: takes images as ``given`` says, gives logits.
        count: images of each sort.
        seed: the same one makes the same images.
    """
    generator = torch.Generator().manual_seed(seed)
    made = (count, given.channels, given.spatial_size, *given.value_range, generator)
    drawings, most = OtherModality(given, count, seed), _at_once(given)
    low, high = given.value_range

    def said(name: str, kind: Kind, take: Callable[[int], Tensor]) -> Others:
        logits, numbers = Rows(count), Rows(count)
        for start in range(0, count, most):
            normalised = given.normalised(take(min(most, count - start)))
            images = [{"image": image} for image in normalised]
            logits.add(logits_of(network, images, device, what="images of no class"))
            numbers.add(torch.from_numpy(numbers_of(normalised)))
        return Others(name, kind, logits.all().numpy(), numbers.all().numpy())

    return [
        said("noise", "noise and shapes", Noise(*made).take),
        said("shapes", "noise and shapes", Shapes(*made).take),
        said(drawings.name, "another modality", lambda n: drawings.take(n) * (high - low) + low),
    ]


def _at_once(given: InputContract) -> int:
    """How many are made at once."""
    places = math.prod(given.spatial_size)
    numbers, each = places * given.channels, max(NUMBERS_BYTES, COPIES * FLOAT)
    return at_once(lambda n: each * numbers * n + TOMOGRAM_BYTES * places, what="an image of no class")


class OtherModality:
    """Drawings of what the site's images are not: blood cells for grey pictures, tomograms for all others.

    Args:
        given: what a network takes.
        count: drawings in all.
        seed: the same one makes the same drawings.
    """

    def __init__(self, given: InputContract, count: int, seed: int) -> None:
        self.given, self.rng, self.made = given, np.random.default_rng(seed), 0
        self.cells = given.channels == 1 and len(given.spatial_size) == 2
        self.name = "drawn blood cells" if self.cells else "drawn tomograms"
        self.kinds = self.rng.choice(list(RECIPES), count) if self.cells else None

    def take(self, count: int) -> Tensor:
        """The next ones, ``(count, channels, *spatial_size)`` within ``[0, 1]``."""
        size, rows = self.given.spatial_size, slice(self.made, self.made + count)
        self.made += count
        if self.kinds is None:
            drawn = [torch.from_numpy(tomogram(size, self.rng)).float() for _ in range(count)]
            return torch.stack(drawn)[:, None].repeat(1, self.given.channels, *[1] * len(size))
        pixels = np.stack([draw_cell(str(kind), self.rng) for kind in self.kinds[rows]])
        cells = torch.from_numpy(pixels).float().permute(0, 3, 1, 2) / 255
        return F.interpolate(recoloured(cells, 1, axis=1), tuple(size), mode="area")


def tomogram(size: list[int], rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    """A head of ellipses, or ellipsoids, with noise, after Shepp and Logan (IEEE Trans. Nucl. Sci. 1974).

    Returns:
        Of the given size, within ``[0, 1]``.
    """
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    ones = (1,) * len(size)

    def distance(radii: np.ndarray, centre: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        away = (places - centre.reshape(-1, *ones)) / radii.reshape(-1, *ones)
        return np.asarray((away**2).sum(0))

    skull, image = rng.uniform(0.65, 0.92, len(size)), np.zeros(size)
    head = distance(skull, np.zeros(len(size)))
    image[head < 1] = rng.uniform(0.85, 1.0)
    image[head < 0.8] = rng.uniform(0.25, 0.45)
    for _ in range(int(rng.integers(2, ORGANS + 1))):
        organ = distance(rng.uniform(0.06, 0.3, len(size)), rng.uniform(-0.4, 0.4, len(size)))
        image[(organ < 1) & (head < 0.8)] += rng.uniform(-0.25, 0.35)
    return np.asarray((image + rng.normal(0, 0.03, size)).clip(0, 1))
