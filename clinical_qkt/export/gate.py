"""'None of these' inside an exported model: a second output, which the same images and logits decide.

``evidence.gate.Door`` says it in the bundles' own ``inference``, with numpy; here it is said in operators
that TorchScript and ONNX have, in double precision too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from clinical_qkt.evidence.gate import SCORES, Door, Score
from clinical_qkt.evidence.pictures import Pictures, numbers_of
from clinical_qkt.export.from_raw import FromRaw

IN_TORCH: dict[Score, Callable[[Tensor], Tensor]] = {
    "max_probability": lambda logits: logits.softmax(1).amax(1),
    "margin": lambda logits: logits.topk(2).values @ logits.new_tensor([1.0, -1.0]),
    "max_logit": lambda logits: logits.amax(1),
    "energy": lambda logits: logits.logsumexp(1),
}
"""As ``evidence.gate.SCORES``."""
assert set(IN_TORCH) == set(SCORES)
UNSURE = "threshold minus the score: above 0 the model is less sure of the image than the gate asks"
UNLIKE = "distance of the picture from own ones, as a share of its limit, minus 1: above 0 it is unlike them"


class Gated(nn.Module):
    """A model with its gate: the logits, and by how much an image misses the gate.

    Args:
        model: from raw intensities to logits.
        door: its gate.
    """

    centre: Tensor
    scale: Tensor
    precision: Tensor

    def __init__(self, model: FromRaw, door: Door) -> None:
        super().__init__()
        self.model, self.door = model, door
        pictures = door.pictures or Pictures(centre=[], scale=[], precision=[], limit=1.0)
        for name in ("centre", "scale", "precision"):
            numbers = torch.tensor(getattr(pictures, name), dtype=torch.float64)
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Raw intensities to ``(B, classes)`` logits and ``(B, 1 or 2)``, see ``columns``."""
        prepared = self.model.contract.values(image)
        logits = self.model.network(prepared)
        missed = [self.door.threshold - IN_TORCH[self.door.score](logits.double())]
        if self.door.pictures is not None:
            away = (numbers_in_torch(prepared) - self.centre) / self.scale
            missed.append(((away @ self.precision) * away).sum(1) / self.door.pictures.limit - 1)
        return logits, torch.stack(missed, 1).float()


def columns(door: Door) -> list[str]:
    """What the second output's columns say; above 0 in any of them: 'none of these'."""
    return [UNSURE] if door.pictures is None else [UNSURE, UNLIKE]


def missed_by(door: Door, logits: Tensor, prepared: Tensor) -> Tensor:
    """The second output as the site's own code has it, to hold an exported model against.

    Args:
        logits: ``(B, classes)``.
        prepared: the images as the network took them.

    Returns:
        ``(B, 1 or 2)`` float64.
    """
    missed = [door.threshold - SCORES[door.score](logits.double().numpy())]
    if door.pictures is not None:
        missed.append(door.pictures.distance(numbers_of(prepared)) / door.pictures.limit - 1)
    return torch.from_numpy(np.stack(missed, 1))


def numbers_in_torch(images: Tensor) -> Tensor:
    """``evidence.pictures.numbers_of``, ``(B, 3 * channels)`` float64.

    >>> stripes = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1).tile(1, 1, 1, 4)
    >>> numbers_in_torch(stripes).round(decimals=2).tolist()
    [[0.5, -0.69, 0.0]]
    """
    values = images.double()
    places = list(range(2, values.dim()))
    steps = torch.stack([values.diff(dim=axis).abs().mean(places) for axis in places]).sum(0)
    mean = values.mean(places)
    spread = (values - values.mean(places, keepdim=True)).square().mean(places).sqrt()
    return torch.cat([mean, spread.clamp(min=1e-3).log(), steps.clamp(min=1e-3).log()], 1)
