"""TorchScript: a recorded network behind a check of what it is given."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.export.from_raw import FromRaw
from clinical_qkt.export.gate import Gated

FILE, CONTRACT = "model.ts", "contract.json"
BOUNDS = {"display": (0.0, 255.0), "relative": (0.0, 1.0)}
"""Between which intensities of a meaning lie; of Hounsfield units nothing is said."""
SLACK = 1e-3
"""Of a range: what rounding may add."""


class Checking(nn.Module):
    """Around a recorded network: images that it does not take are refused.

    Args:
        recorded: from raw intensities to logits, or to logits and what a gate says.
        shape: channels and places of an image.
        low, high: beyond which an image cannot mean what the contract says.
        display: intensities are brightness, so that an image all of 0 to 1 was scaled by somebody.
    """

    def __init__(self, recorded: nn.Module, shape: list[int], low: float, high: float, display: bool) -> None:
        super().__init__()
        self.recorded = recorded
        self.shape: list[int] = shape
        self.low, self.high, self.display = low, high, display

    def taken(self, image: Tensor) -> Tensor:
        """``(B, channels, *spatial_size)`` raw intensities as float32."""
        if image.dim() < 2 or list(image.shape[1:]) != self.shape:
            raise ValueError("this model takes images of shape (batch, " + str(self.shape)[1:-1] + ")")
        image = image.to(torch.float32)
        if image.numel() > 0:
            least, largest = float(image.min()), float(image.max())
            if not (least >= self.low and largest <= self.high):
                raise ValueError("intensities are beyond what contract.json says that they mean")
            if self.display and largest > 0.0 and largest <= 1.0:
                raise ValueError("brightness goes from 0 to 255 here, and these images end at 1")
        return image


class Checked(Checking):
    """From raw intensities to ``(B, classes)`` logits."""

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.recorded(self.taken(image))
        return out


class CheckedWithGate(Checking):
    """The same with what a gate says, see ``gate.Gated``."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self.recorded(self.taken(image))
        return out


def recorded(network: FromRaw | Gated, contract: InputContract) -> torch.jit.ScriptModule:
    """The network as TorchScript; whatever batch it is given later."""
    low, high = contract.intensity_range
    shape = [contract.channels, *contract.spatial_size]
    example = low + torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)) * (high - low)
    least, most = BOUNDS.get(contract.intensity, (-float("inf"), float("inf")))
    slack = SLACK * (most - least) if contract.intensity in BOUNDS else 0.0
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what would go wrong with other batches: ``compared`` looks
        network(example)
        traced = torch.jit.trace(network, example, check_trace=False)
        kind = CheckedWithGate if isinstance(network, Gated) else Checked
        made = kind(traced, shape, least - slack, most + slack, contract.intensity == "display")
        return torch.jit.freeze(torch.jit.script(made.eval()))


def write(path: Path, script: torch.jit.ScriptModule, contract: str) -> None:
    """Write the file with the contract in it; ``torch.jit.load(…, _extra_files=…)`` gives it back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(script, path, _extra_files={CONTRACT: contract})


def load(path: Path) -> torch.jit.ScriptModule:
    """The file as other programs read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path, map_location="cpu")
