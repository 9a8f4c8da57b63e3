"""The two phases of a transfer: distillation from the relevant teachers, refinement of the head.

What comes before (teachers, masks, the choice of the relevant ones) is in ``teachers``, their soft targets
on the student's images in ``targets``.

QKT (Alballa et al., ICLR 2025, arXiv 2504.09205) with our additions, which docs/explanation/method.md keeps
apart from the paper. Nothing here reads a queried image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.handlers import ProgressBar
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from torch import nn

from clinical_qkt.core.runtime import loader
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import linear_head
from clinical_qkt.qkt.hard_augmentation import HardImages, Said
from clinical_qkt.qkt.losses import TransferLoss
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.validation_curves import ValidationCurves
from clinical_qkt.training.handlers import Progress
from clinical_qkt.training.inference import Images, head_inputs
from clinical_qkt.training.loop import prepare_batch, train
from clinical_qkt.training.second_head import SecondHead

HEAD_BATCH = 256
"""Images in a step of phase 2: of the method and not of the machine, since figures depend on it."""


def distil(
    network: nn.Module,
    images: Dataset,
    augment: Sequence[Any],
    validation: Images,
    query: Sequence[int],
    settings: TransferSettings,
    seed: int,
    device: torch.device,
    work: Path | None = None,
    handlers: Sequence[Any] = (),
    asked: tuple[InputContract, Said] | None = None,
) -> nn.Module:
    """Phase 1: query-focused distillation on the student's own images.

    Args:
        network: the starting point, with a row a class.
        images: with targets, as from ``targets.with_targets``; with ``subclass`` also ``parts``.
        augment: MONAI transforms for the images; the soft targets stay those to the plain image, unless
            others are asked for.
        validation: own images that no gradient sees, for the curves only.
        query: the columns of the queried classes.
        work: folder for checkpoints; none are kept without it.
        handlers: further ignite handlers; ``engine.state.metrics`` holds the curves.
        asked: with ``hard_augmentation`` what the images were prepared for, and what is said of others.
    """
    local = [c for c in range(linear_head(network).out_features) if c not in set(query)]
    loss = _loss(local, query, settings)
    learner = _with_second_head(network, images.data[0], seed) if settings.subclass > 1 else network
    train(
        learner,
        images.data,
        augment,
        loss,
        max_epochs=settings.max_epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        seed=seed,
        device=device,
        what="phase 1",
        handlers=[Progress(loss), ValidationCurves(validation, local, query, device), *handlers],
        work=work,
        prepare=asked and HardImages(network, *asked, settings.hard_augmentation, settings.temperature),
    )
    return network.eval()


def retrain_head(
    network: nn.Module,
    images: Dataset,
    query: Sequence[int],
    settings: TransferSettings,
    seed: int,
    device: torch.device,
) -> None:
    """Phase 2: retrain the head on frozen features, ``settings.refine_epochs`` long; in place."""
    if settings.refine_epochs == 0:
        return
    head = linear_head(network)
    local = [c for c in range(head.out_features) if c not in set(query)]
    seen = head_inputs(network, images.data, device)
    batches = [
        {"image": seen[i], **{k: item[k] for k in ("label", "soft_targets", "own")}}
        for i, item in enumerate(images.data)
    ]
    torch.manual_seed(seed)
    SupervisedTrainer(
        device=device,
        max_epochs=settings.refine_epochs,
        train_data_loader=loader(Dataset(batches), batch_size=HEAD_BATCH, shuffle=True),
        network=head,
        optimizer=torch.optim.Adam(head.parameters(), settings.refine_learning_rate),
        loss_function=_loss(local, query, settings),
        prepare_batch=prepare_batch,
        decollate=False,
        train_handlers=[ProgressBar(desc="phase 2", persist=False, disable=None)],
    ).run()


def _with_second_head(network: nn.Module, item: dict[str, Any], seed: int) -> SecondHead:
    """The network with a head for the parts of each teacher's classes, of which ``item`` tells how many."""
    shape = item["parts"].shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        second = nn.Linear(linear_head(network).in_features, shape.numel())
    return SecondHead(network, nn.Sequential(second, nn.Unflatten(1, shape)))


def _loss(local: Sequence[int], query: Sequence[int], settings: TransferSettings) -> TransferLoss:
    return TransferLoss(
        local,
        query,
        kind=settings.divergence,
        label_weight=settings.label_weight,
        divergence_weight=settings.divergence_weight,
        self_weight=settings.self_weight,
        temperature=settings.temperature,
    )
