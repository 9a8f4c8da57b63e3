"""One training loop for every method: MONAI's trainer, one optimiser, one schedule.

What methods differ in is the loss, the starting point and what rides in the batch, so that a comparison of
methods compares those and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.handlers import ProgressBar
from monai.data import set_track_meta
from monai.data.meta_obj import get_track_meta
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from clinical_qkt.core.batches import require_trainable
from clinical_qkt.core.progress import TRAINING_BAR, UNIT
from clinical_qkt.core.runtime import loader, mixed_precision
from clinical_qkt.training.augmented import Augmented, whole
from clinical_qkt.training.handlers import FiniteLoss, Resume, SeedEachEpoch


def train(
    network: nn.Module,
    items: Sequence[dict[str, Any]],
    augment: Sequence[Any],
    loss: Callable[[Any, dict[str, Tensor]], Tensor],
    *,
    max_epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
    device: torch.device,
    what: str,
    handlers: Sequence[Any] = (),
    work: Path | None = None,
    prepare: Callable[..., tuple[Tensor, dict[str, Tensor]]] | None = None,
) -> nn.Module:
    """Train all of a network's weights that ask for gradients.

    Args:
        network: changed in place.
        items: ``{"image": tensor, …}``; every other entry rides in the batch to the loss.
        augment: MONAI transforms of the image.
        loss: of the network's output and the batch's other entries.
        max_epochs: none at all leaves the network as it is.
        learning_rate: the highest of a one-cycle schedule.
        what: named in the progress bar.
        handlers: further ignite handlers.
        prepare: from a batch to images and targets, as ``prepare_batch``, which it is if None.
        work: folder for checkpoints, from which a run that was cut off goes on; none are kept without it.

    Returns:
        The network, ready for evaluation.

    Raises:
        InputError: a batch does not fit into memory.
    """
    network = network.to(device).train()
    gpu, multiplied = device.type == "cuda", mixed_precision(device)
    if max_epochs == 0:
        return network.eval()
    require_trainable(network, items[0]["image"].shape, min(batch_size, len(items)), device)
    data = Augmented(items, augment, device)
    # A batch of one image has no spread, so that batch normalisation cannot use it.
    lonely = len(items) % batch_size == 1 and len(items) > 1
    batches = loader(data, batch_size=batch_size, shuffle=True, drop_last=lonely, collate_fn=whole)
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, learning_rate, weight_decay=1e-4, fused=gpu)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=max_epochs * len(batches)
    )
    state = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
    told: dict[str, Any] = {"desc": what, "disable": None, "bar_format": TRAINING_BAR}
    told |= {"unit": UNIT, "unit_scale": batch_size}
    with plain_tensors(), channels_last(network, gpu and items[0]["image"].ndim == 3):
        trainer = SupervisedTrainer(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=batches,
            network=network,
            optimizer=optimizer,
            loss_function=_in_single_precision(loss) if multiplied else loss,
            prepare_batch=prepare or prepare_batch,
            non_blocking=gpu,
            optim_set_to_none=True,
            decollate=False,
            amp=multiplied is not None,
            amp_kwargs={"dtype": multiplied} if multiplied else None,
            train_handlers=[
                SeedEachEpoch(seed, data),
                FiniteLoss(),
                LrScheduleHandler(scheduler, print_lr=False, epoch_level=False),  # type: ignore[arg-type]
                *handlers,
                *([Resume(work, state, device)] if work else []),
                ProgressBar(persist=False, **told),
            ],
        )
        if multiplied is torch.bfloat16:  # has the range of single precision: no gradient has to be scaled
            trainer.scaler = torch.amp.GradScaler("cuda", enabled=False)  # type: ignore[assignment]
        trainer.run()
    return network.eval()


def _in_single_precision(loss: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """A loss whose sums are not made of numbers with eight bits."""
    return lambda said, targets: loss(tree_map(lambda t: t.float(), said), targets)


@contextmanager
def channels_last(network: nn.Module, wanted: bool) -> Iterator[None]:
    """The weights of convolutions over pictures as a GPU computes fastest; afterwards as they were."""
    if wanted:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        yield
    finally:
        if wanted:
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def prepare_batch(
    batch: dict[str, Any], device: torch.device, non_blocking: bool = False, **_: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """Targets ride in the batch like a label: ``(image, {everything else})``."""
    targets = {
        k: v.to(device, non_blocking=non_blocking)
        for k, v in batch.items()
        if k != "image" and isinstance(v, Tensor)
    }
    return batch["image"].to(device, non_blocking=non_blocking), targets


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Random transforms without MetaTensor, whose bookkeeping costs three times the transforms' own work."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
