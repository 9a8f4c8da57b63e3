"""The noised sum of clipped gradients, in whole numbers, in the place of opacus' floating-point one.

As in a private response, each image's gradient is truncated to whole steps of the clipping norm, and what is
added is whole: no last bit of a floating-point number tells what was added to what (Mironov, CCS 2012). The
noise is rounded from normal numbers in double precision; exact whole noise would take a second a step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from opacus.optimizers import DPOptimizer
from torch import Tensor

from clinical_qkt.privacy.mechanisms import FINE, system_noise


class PrivateOptimizer(DPOptimizer):
    """opacus' optimiser with whole gradients and noise from the operating system.

    Gradients that are not finite count as zero.
    """

    def clip_and_accumulate(self) -> None:
        """Each parameter's ``summed_grad``: in steps, of which the clipping norm has ``FINE``."""
        # By whole numbers: an image's gradient that came out longer, by rounding, is left out.
        lengths = sum((w.square().flatten(1).sum(1) for w in self._whole()), torch.zeros(()))
        kept = (lengths <= FINE**2).double()
        for p, whole in zip(self.params, self._whole(), strict=True):
            total = torch.einsum("i,i...", kept.to(whole.device), whole)
            p.summed_grad = total if p.summed_grad is None else p.summed_grad + total
            p.grad_sample._processed = True  # as opacus marks what must not be used twice

    def add_noise(self) -> None:
        """Noise with a standard deviation of ``noise_multiplier * max_grad_norm`` on the clipped sum."""
        noise = (self.noise_multiplier * FINE * system_noise(sum(p.numel() for p in self.params))).round()
        for p, part in zip(self.params, noise.split([p.numel() for p in self.params]), strict=True):
            released = p.summed_grad + part.view_as(p).to(p.device)
            p.grad = (released * (self.max_grad_norm / FINE)).to(p.dtype)

    def _whole(self) -> Iterator[Tensor]:
        """Of each parameter ``(B, *shape)``: every image's gradient, clipped and truncated, in whole steps.

        In float64, which holds whole numbers exactly up to 2^53: sums of billions of images.
        """
        samples = self.grad_samples
        finite = torch.stack([torch.isfinite(g).flatten(1).all(1) for g in samples]).all(0)
        squares = [_safe(g, finite).square().flatten(1).sum(1) for g in samples]
        length = torch.stack(squares).sum(0).sqrt()
        scale = FINE / length.clamp_min(self.max_grad_norm)
        for g in samples:
            yield (_safe(g, finite) * scale.view(-1, *[1] * (g.ndim - 1))).trunc()


def _safe(gradients: Tensor, finite: Tensor) -> Tensor:
    """In float64, with zeros for images whose gradient is not finite."""
    shape = (-1, *[1] * (gradients.ndim - 1))
    return torch.where(finite.view(shape), gradients.double(), 0.0)
