"""The steps of a training with differential privacy: DP-SGD by opacus, a patient as the unit.

DP-SGD (Abadi et al., CCS 2016): each step draws a random set of patients and of each one image, clips every
image's gradient and adds noise to their sum, so that the weights hardly depend on any one patient. What is
promised, and what not, is in docs/how-to/train-with-differential-privacy.md.

Everything random here but the network's first weights comes from the operating system, never from a site's
seed, which is no secret: noise that can be drawn again can be taken off. The same holds for augmentation:
with a known seed, one patient more or less would change how all later images are turned, and with them more
than the one gradient that the noise hides.
"""

from __future__ import annotations

import random
import secrets
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset, list_data_collate
from monai.data.utils import set_rnd
from opacus.accountants import PRVAccountant
from opacus.grad_sample import GradSampleHooks
from opacus.validators import ModuleValidator
from torch import Tensor, nn

from clinical_qkt.core.batches import MOST, OVERHEAD, at_once, size_told
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.footprint import Footprint
from clinical_qkt.core.runtime import loader
from clinical_qkt.networks.mix_style import mixes_images
from clinical_qkt.privacy.gradient_noise import noise_multiplier, without_notes
from clinical_qkt.privacy.noised_gradients import PrivateOptimizer
from clinical_qkt.privacy.statement import DifferentialPrivacy

GRADIENTS = 2**29
"""Bytes that all gradients of a part of a step may take: smaller parts are slower."""
GRADIENT_BYTES = 32
"""For each weight and image: its gradient, and while it is truncated copies in double precision."""


class PrivateTraining:
    """One training's plan: who is drawn how often, and how much noise hides each.

    Args:
        images: number of training images.
        patients: of each image; without, every image counts as a patient of its own.
        epsilon, delta: the guarantee, against adding or removing one patient.
        max_grad_norm: the norm to which each image's gradient is clipped.
        max_epochs: an epoch draws every patient once on average.
        batch_size: patients in a step, on average.

    Raises:
        InputError: a number is out of range, or no noise suffices.
    """

    def __init__(
        self,
        images: int,
        patients: Sequence[str] | None = None,
        *,
        epsilon: float,
        delta: float,
        max_grad_norm: float,
        max_epochs: int,
        batch_size: int,
    ) -> None:
        by_patient: dict[str, list[int]] = {}
        for i, patient in enumerate(patients if patients is not None else map(str, range(images))):
            by_patient.setdefault(patient, []).append(i)
        self.images_of = list(by_patient.values())
        self.unit: Any = "image" if patients is None else "patient"
        _require(epsilon, delta, max_grad_norm, len(self.images_of), self.unit)
        self.epsilon, self.delta, self.max_grad_norm = epsilon, delta, max_grad_norm
        self.sample_rate = min(1.0, batch_size / len(self.images_of))
        self.epoch_steps = max(1, round(1 / self.sample_rate))
        self.planned = max_epochs * self.epoch_steps
        self.noise_multiplier = noise_multiplier(epsilon, delta, self.sample_rate, self.planned)
        self.accountant = PRVAccountant()
        self.at_once = MOST

    @property
    def guarantee(self) -> DifferentialPrivacy:
        """What holds once the training is over; the epsilon as it was asked for, which bounds what was spent.

        Raises:
            RuntimeError: more was spent, which would be a bug.
        """
        spent = self.spent
        if spent > self.epsilon:
            raise RuntimeError(f"the training spent epsilon {spent:.3f}, more than {self.epsilon}")
        return DifferentialPrivacy(
            epsilon=self.epsilon,
            delta=self.delta,
            unit=self.unit,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self.max_grad_norm,
        )

    @property
    def spent(self) -> float:
        """The epsilon of the steps made so far, by opacus' PRV accountant (Gopi et al., NeurIPS 2021)."""
        if not len(self.accountant):
            return 0.0
        with without_notes():
            return float(self.accountant.get_epsilon(self.delta, eps_error=self.epsilon / 100))

    def loader(self, data: Dataset) -> DataLoader:
        """An epoch of random steps over images in the order in which they were counted."""
        return loader(data, batch_sampler=RandomPatients(self), collate_fn=_collate)

    def optimizer(self, plain: torch.optim.Optimizer) -> PrivateOptimizer:
        """An optimiser that clips, adds noise and counts."""
        private = PrivateOptimizer(
            plain,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self.max_grad_norm,
            expected_batch_size=self.sample_rate * len(self.images_of),
        )
        private.attach_step_hook(self.accountant.get_optimizer_hook_fn(self.sample_rate))
        return private

    def steps(self, network: nn.Module, data: Dataset) -> PrivateSteps:
        """The handler that a trainer needs beside ``update``.

        Raises:
            InputError: not even one image's gradient fits into memory.
        """
        device = next(network.parameters()).device
        self.at_once = gradients_at_once(network, data[0]["image"].shape, device)
        return PrivateSteps(network, data)

    def update(self, engine: Any, batch: Any) -> dict[str, Any]:
        """A trainer's step; one that drew nobody adds noise to nothing, since leaving it out would tell.

        The gradients of a step are computed as many at a time as fit into memory; their sum is whole, so the
        same. Noise is added once.
        """
        if batch:
            return self._in_parts(engine, batch)
        engine.optimizer.zero_grad()
        for p in engine.optimizer.params:
            p.grad_sample = p.new_zeros(0, *p.shape)
        engine.optimizer.step()
        return {"loss": torch.zeros(())}

    def _in_parts(self, engine: Any, batch: dict[str, Any]) -> dict[str, Any]:
        images, loss = len(batch["image"]), torch.zeros(())
        for start in range(0, images, self.at_once):
            part = {name: values[start : start + self.at_once] for name, values in batch.items()}
            engine.optimizer.signal_skip_step(start + self.at_once < images)
            found = _clipped(engine, part)
            loss = loss.to(found) + found * len(part["image"]) / images
        return {"loss": loss}


def _clipped(engine: Any, part: dict[str, Any]) -> Tensor:
    """Add a part's clipped gradients to those that the optimiser holds; the part's mean loss.

    The plain iteration of MONAI's trainer, without mixed precision; its own has no public name.
    """
    images, targets = engine.prepare_batch(part, engine.state.device, engine.non_blocking)
    engine.network.train()
    engine.optimizer.zero_grad(set_to_none=engine.optim_set_to_none)
    loss: Tensor = engine.loss_function(engine.inferer(images, engine.network), targets).mean()
    loss.backward()
    engine.optimizer.step()
    return loss.detach()


def gradients_at_once(network: nn.Module, shape: Sequence[int], device: torch.device) -> int:
    """Of how many images the gradients are computed at once: each has one of its own for every weight.

    Args:
        shape: ``(channels, *spatial_size)`` of an image.

    Raises:
        InputError: one does not fit.
    """
    layers, weights = (
        Footprint(network, shape, MOST, training=True),
        sum(p.numel() for p in network.parameters()),
    )
    return at_once(
        lambda n: OVERHEAD * layers(n) + GRADIENT_BYTES * weights * n,
        device,
        budget=GRADIENTS,
        what=f"the gradient of an image of {size_told(shape)}",
    )


def _require(epsilon: float, delta: float, max_grad_norm: float, units: int, unit: str) -> None:
    for name, value, most in (
        ("epsilon", epsilon, 1000),
        ("max_grad_norm", max_grad_norm, 1e6),
        ("delta", delta, 1 / max(1, units)),
    ):
        if not 0 < value <= most:
            ends = f"one in the number of training {unit}s" if name == "delta" else f"{most:g}"
            raise InputError(f"is {value}", where=name, fix=f"give more than 0 and at most {ends}")


class RandomPatients(torch.utils.data.Sampler[list[int]]):
    """Poisson sampling: each step draws every patient by itself at the same rate, and of each one image."""

    def __init__(self, plan: PrivateTraining) -> None:
        self.plan, self.random = plan, random.SystemRandom()

    def __len__(self) -> int:
        return self.plan.epoch_steps

    def __iter__(self) -> Iterator[list[int]]:
        """Positions of images; none at all is a step too."""
        for _ in range(len(self)):
            yield [
                self.random.choice(images)
                for images in self.plan.images_of
                if self.random.random() < self.plan.sample_rate
            ]


def _collate(items: list[Any]) -> Any:
    return list_data_collate(items) if items else {}


class PrivateSteps:
    """Handler: gradients of each image while the trainer runs, and fresh randomness for each epoch.

    There is no resuming: weights that a cut-off run left on the disk would be a second release, with steps
    that nobody counted. So nothing is kept, and a run that was cut off starts afresh with new noise.

    Args:
        network: plain again when the training ends.
        dataset: whose random transforms are drawn anew.

    Raises:
        InputError: the network has a layer that mixes images, such as batch norm.
    """

    def __init__(self, network: nn.Module, dataset: Any) -> None:
        require_separate_images(network)
        self.network, self.dataset = network, dataset

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_STARTED, self.draw)
        engine.add_event_handler(Events.COMPLETED, self.end)

    def start(self, engine: Engine) -> None:
        # images ask for no gradient of their own, and need none here
        warnings.filterwarnings("ignore", "Full backward hook is firing when gradients are computed")
        self.hooks = GradSampleHooks(self.network, loss_reduction="mean")

    def draw(self, engine: Engine) -> None:
        torch.manual_seed(secrets.randbits(63))  # dropout
        set_rnd(self.dataset, secrets.randbits(32))

    def end(self, engine: Engine) -> None:
        self.hooks.cleanup()
        for p in self.network.parameters():
            vars(p).pop("summed_grad", None)  # the optimiser's


def require_separate_images(network: nn.Module) -> None:
    """Refuse a network in which an image's gradient depends on the images beside it.

    Raises:
        InputError: names all layers that opacus cannot tell apart by image.
    """
    problems = [str(e).split(". ")[0] for e in ModuleValidator.validate(network, strict=False)]
    changed = [n for n, m in network.named_modules() if getattr(m, "inplace", False)]
    if changed:
        problems.append(f"{len(changed)} layers change their input in place, e.g. {changed[0]}")
    if mixes_images(network):
        problems.append("mix_style mixes the images of a batch")
    if problems:
        raise InputError(
            f"cannot be trained with differential privacy: {'; '.join(sorted(set(problems)))}",
            where="architecture",
            fix="set 'architecture: densenet_private'",
        )
