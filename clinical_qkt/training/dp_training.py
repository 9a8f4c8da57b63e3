"""Training with differential privacy in MONAI's trainer: of a site's images, and of any; see ``dp_sgd``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.handlers import ProgressBar
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.privacy.statement import DifferentialPrivacy
from clinical_qkt.training.dp_sgd import PrivateTraining, require_separate_images
from clinical_qkt.training.loop import plain_tensors, prepare_batch


def of_site(data: CheckedData, network: nn.Module, settings: dict[str, Any]) -> PrivateTraining:
    """The plan for a site's training images; patients count as the unit where the datalist names them.

    Args:
        settings: of ``PrivateTraining``.

    Raises:
        InputError: some images name a patient and some do not; and as ``PrivateTraining`` and
            ``require_separate_images``.
    """
    require_separate_images(network)
    patients = [data.patients.get(item["image"]) for item in data.items["training"]]
    named = [p for p in patients if p is not None]
    if named and len(named) < len(patients):
        raise InputError(
            f"{len(patients) - len(named)} of {len(patients)} training images name no patient",
            where="datalist: patient",
            fix="name the patient of every training image, or of none where no two show the same patient",
        )
    return PrivateTraining(len(patients), named or None, **settings)


def train_privately(
    network: nn.Module,
    items: Sequence[dict[str, Any]],
    augment: Sequence[Any],
    loss: Callable[[Any, dict[str, Tensor]], Tensor],
    *,
    epsilon: float,
    delta: float,
    max_grad_norm: float,
    max_epochs: int,
    learning_rate: float,
    batch_size: int,
    device: torch.device,
    what: str,
    patients: Sequence[str] | None = None,
    handlers: Sequence[Any] = (),
) -> tuple[nn.Module, DifferentialPrivacy]:
    """``loop.train`` with differential privacy; there is no seed, see ``dp_sgd``.

    Args:
        network: changed in place; without batch norm, see ``require_separate_images``.
        items: ``{"image": tensor, …}``; every other entry rides in the batch to the loss.
        augment: MONAI transforms of the image.
        loss: a mean over the batch's images, each one's part free of the others.
        epsilon, delta, max_grad_norm, max_epochs, batch_size, patients: see ``PrivateTraining``.
        learning_rate: the highest of a one-cycle schedule.
        what: named in the progress bar.
        handlers: further ignite handlers.

    Returns:
        The network, ready for evaluation and as plain as it came, and what was guaranteed.

    Raises:
        InputError: as ``PrivateTraining`` and ``require_separate_images``.
    """
    plan = PrivateTraining(
        len(items),
        patients,
        epsilon=epsilon,
        delta=delta,
        max_grad_norm=max_grad_norm,
        max_epochs=max_epochs,
        batch_size=batch_size,
    )
    network = network.to(device).train()
    data = Dataset(items, Compose(list(augment)))
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = plan.optimizer(torch.optim.AdamW(weights, learning_rate, weight_decay=1e-4))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=plan.planned)
    with plain_tensors():
        SupervisedTrainer(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=plan.loader(data),
            network=network,
            optimizer=optimizer,
            loss_function=loss,
            prepare_batch=prepare_batch,
            iteration_update=plan.update,
            decollate=False,
            train_handlers=[
                plan.steps(network, data),
                LrScheduleHandler(scheduler, print_lr=False, epoch_level=False),  # type: ignore[arg-type]
                *handlers,
                ProgressBar(desc=what, persist=False, disable=None),
            ],
        ).run()
    return network.eval(), plan.guarantee
