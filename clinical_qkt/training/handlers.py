"""Small ignite handlers: repeatable epochs, and epochs in MLflow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from monai.data.utils import set_rnd
from monai.handlers import CheckpointLoader
from monai.utils import set_determinism
from torch import Tensor

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import private_folder

LOOKED_AT = 64
"""Losses of steps on a GPU that are looked at together."""


class SeedEachEpoch:
    """Seed everything anew at the start of each epoch.

    Shuffling and augmentation of epoch n then depend on the seed and n alone, so that a run continued from a
    checkpoint ends with the same figures as one that was never cut off.

    Args:
        seed: of the run.
        dataset: whose random transforms are to be seeded too.
    """

    def __init__(self, seed: int, dataset: Any) -> None:
        self.seed, self.dataset = seed, dataset

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = (self.seed * 1_000_003 + engine.state.epoch) % 2**31
        set_determinism(seed)
        set_rnd(self.dataset, seed)


class Progress:
    """Tell a loss how far the training is: its ``progress`` grows with the epochs from above 0.3 to 1.

    Linear, the plain form of TAID's schedule (Shing et al., arXiv 2501.16937).
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.loss.progress = min(1.0, 0.3 + 0.7 * engine.state.epoch / (engine.state.max_epochs or 1))


class FiniteLoss:
    """Stop a training whose loss is no number: its weights could not be used.

    On a GPU several steps are looked at together, since each look waits for all that the GPU has to do; and
    always at the end of an epoch, before anything is kept.
    """

    def __init__(self) -> None:
        self.unseen: list[Tensor] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """
        Raises:
            InputError: the loss is NaN or infinite.
        """
        output: Any = engine.state.output
        self.unseen.append(torch.as_tensor(output["loss"]).detach())
        ends = engine.state.iteration % (engine.state.epoch_length or 1) == 0
        if ends or len(self.unseen) >= (LOOKED_AT if self.unseen[0].is_cuda else 1):
            self.look(engine.state.epoch)

    def look(self, epoch: int) -> None:
        losses, self.unseen = [float(loss) for loss in torch.stack(self.unseen).cpu()], []
        bad = next((loss for loss in losses if not math.isfinite(loss)), None)
        if bad is not None:
            raise InputError(
                f"the loss became {bad} in epoch {epoch}; nothing was written",
                where="training",
                fix="set a smaller 'learning_rate'; if that is no help, look for images of odd intensities",
            )


class Resume:
    """Save everything that training needs after each epoch, and go on from there after a crash.

    ignite's ``Checkpoint`` and MONAI's ``CheckpointLoader``, on one folder.

    Args:
        folder: for the checkpoint, named after what is trained on what, see ``files.fingerprint``.
        objects: with ``state_dict`` and ``load_state_dict``: network, optimizer, scheduler; a ``best.Best``
            that keeps the last weights is left out.
        device: where the tensors are loaded to.
    """

    def __init__(self, folder: str | Path, objects: dict[str, Any], device: torch.device) -> None:
        self.folder, self.objects, self.device = Path(folder), objects, device

    def attach(self, engine: Engine) -> None:
        objects = {name: o for name, o in self.objects.items() if getattr(o, "wanted", True)}
        everything = {**objects, "trainer": engine}
        earlier = sorted(self.folder.glob("*.pt"), key=lambda p: p.stat().st_mtime)
        if earlier:
            onto: Any = self.device  # torch.load takes a device, MONAI's annotation a mapping
            CheckpointLoader(str(earlier[-1]), everything, map_location=onto).attach(engine)
        # MONAI's CheckpointSaver does not write atomically: a kill could leave half a checkpoint.
        private_folder(self.folder)  # ignite lets everybody read what it writes
        disk = DiskSaver(str(self.folder), atomic=True, create_dir=True, require_empty=False)
        save = Checkpoint(everything, disk, n_saved=2, global_step_transform=lambda e, _: e.state.epoch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, save)
