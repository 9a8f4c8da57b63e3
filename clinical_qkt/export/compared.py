"""Whether an exported model says what the original says: looked at before anything is put in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from pydantic import Field
from torch import Tensor, nn

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.values import Strict
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.probes import probes
from clinical_qkt.evidence.gate import Door
from clinical_qkt.export.from_raw import FromRaw
from clinical_qkt.export.gate import missed_by
from clinical_qkt.tasks.single_label import SINGLE_LABEL

LOGITS, OF_LARGE, PROBABILITIES, GATE = 1e-4, 1e-5, 1e-5, 1e-4
"""How far an exported model's numbers may be from the original's: logits, in addition so much of a large one;
probabilities; what a gate says, of numbers above 1 relative to them."""
Exported = Callable[[Tensor], Tensor | tuple[Tensor, Tensor]]
"""From raw intensities to logits; with a gate to logits and what that says, see ``gate.Gated``."""
IMAGES, SEED = 12, 0


class Compared(Strict):
    """What a comparison found."""

    images: int = Field(ge=1)
    """Generated images that were shown to both: noise and shapes over the whole range of intensities."""
    batches: list[int]
    """In batches of so many."""
    largest_logit_difference: float
    """Between the exported model and the original."""
    largest_probability_difference: float
    """The same of probabilities."""
    largest_gate_difference: float | None = None
    """The same of what the gate says, of numbers above 1 as a share; null without one."""
    allowed: str = (
        f"logits {LOGITS:g} and {OF_LARGE:g} of their size, probabilities {PROBABILITIES:g}, gate {GATE:g}"
    )
    """Beyond which nothing is written."""


@torch.no_grad()
def compared(original: FromRaw, exported: Exported, door: Door | None = None) -> Compared:
    """Show both the same generated images, in batches of several sizes.

    Args:
        door: the gate that is in the exported one.

    Raises:
        InputError: they differ by more than is allowed.
    """
    logits, shares, missed, sizes = 0.0, 0.0, 0.0, []
    for images in _batches(original, original.contract):
        wanted, said = original(images), exported(images)
        if door is not None:
            missed = max(missed, _gate_gap(door, wanted, original.contract.values(images), said[1]))
        found = said[0] if isinstance(said, tuple) else said
        wanted, found = wanted.double(), found.double()
        room = LOGITS + OF_LARGE * wanted.abs()
        # Relative to the mean of an image: nothing follows from what all logits have in common.
        gap = (_centred(found) - _centred(wanted)).abs()
        share = (SINGLE_LABEL.probabilities(found) - SINGLE_LABEL.probabilities(wanted)).abs()
        if not ((gap <= room).all() and (share <= PROBABILITIES).all()):
            raise _differs(
                f"{float(gap.max()):.2g} in a logit and by {float(share.max()):.2g} in a probability"
            )
        logits, shares = max(logits, float(gap.max())), max(shares, float(share.max()))
        sizes.append(len(images))
    return Compared(
        images=sum(sizes),
        batches=sizes,
        largest_logit_difference=logits,
        largest_probability_difference=shares,
        largest_gate_difference=None if door is None else missed,
    )


def _gate_gap(door: Door, logits: Tensor, prepared: Tensor, found: Tensor) -> float:
    """How far what an exported gate says is from what the site's own code says."""
    wanted = missed_by(door, logits, prepared)
    gap = (found.double() - wanted).abs() / wanted.abs().clamp(min=1)
    if not (gap <= GATE).all():
        raise _differs(f"{float(gap.max()):.2g} in what its gate says")
    return float(gap.max())


def _differs(by: str) -> InputError:
    return InputError(
        f"the exported model differs from the original by {by}; nothing was written",
        where="export",
        fix="export it as TorchScript, or report the fault with the kind of network",
    )


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(1, keepdim=True)


def _batches(network: nn.Module, contract: InputContract) -> Iterator[Tensor]:
    """One image, then as many as fit: the size of a batch must not matter."""
    shape = (contract.channels, *contract.spatial_size)
    most = min(8, images_at_once(network, shape))
    made = probes(IMAGES, *_of(contract), seed=SEED, at_once=IMAGES)
    images = torch.cat(list(made))
    yield images[:1]
    yield from images[1:].split(most)


def _of(contract: InputContract) -> tuple[int, list[int], float, float]:
    return contract.channels, contract.spatial_size, *contract.intensity_range
