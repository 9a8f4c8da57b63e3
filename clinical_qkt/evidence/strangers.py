"""Images that show no class of any list: noise, shapes and drawings of another modality, made on the spot."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.data.inputs import InputContract, recoloured
from clinical_qkt.data.phantoms import RECIPES, draw_cell
from clinical_qkt.evidence.gate import Kind, Others
from clinical_qkt.evidence.pictures import numbers_of
from clinical_qkt.masks import multiscale_noise, random_shapes
from clinical_qkt.targets import answer

COUNT = 100
"""Images of each sort."""
ORGANS = 6
"""The most ellipses within a drawn tomogram."""


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
    name, drawn = other_modality(given, count, seed)

    def said(name: str, kind: Kind, values: Tensor) -> Others:
        normalised = given.normalised(values)
        images = [{"image": image} for image in normalised]
        logits = answer(network, images, device, what="images of no class").numpy()
        return Others(name, kind, logits, numbers_of(normalised))

    low, high = given.value_range
    return [
        said("noise", "noise and shapes", multiscale_noise(*made)),
        said("shapes", "noise and shapes", random_shapes(*made)),
        said(name, "another modality", drawn * (high - low) + low),
    ]


def other_modality(given: InputContract, count: int, seed: int) -> tuple[str, Tensor]:
    """Drawings of what the site's images are not: blood cells for grey pictures, tomograms for all others.

    Returns:
        Their name, and ``(count, channels, *spatial_size)`` within ``[0, 1]``.
    """
    rng = np.random.default_rng(seed)
    if given.channels == 1 and len(given.spatial_size) == 2:
        kinds = rng.choice(list(RECIPES), count)
        cells = torch.from_numpy(np.stack([draw_cell(str(kind), rng) for kind in kinds])).float() / 255
        images = recoloured(cells.permute(0, 3, 1, 2), given.channels, axis=1)
        return "drawn blood cells", F.interpolate(images, tuple(given.spatial_size), mode="area")
    drawn = torch.from_numpy(np.stack([tomogram(given.spatial_size, rng) for _ in range(count)])).float()
    return "drawn tomograms", drawn[:, None].repeat(1, given.channels, *[1] * len(given.spatial_size))


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
