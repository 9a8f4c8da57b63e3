"""How fast a network is trained: by a bare loop, by MONAI's trainer, and by ours, one after the other.

Images are noise and labels follow from nothing: speed does not depend on what they show.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, ThreadDataLoader
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.core.runtime import WORKERS, mixed, mixed_precision
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.spec import preset
from clinical_qkt.training.loop import plain_tensors, train

CLASSES = 8
LEARNING_RATE = 1e-3
EPOCHS = 10_000
"""More than anybody waits for: the clock ends a training."""


@dataclass(frozen=True)
class Case:
    """A training that is measured.

    Attributes:
        network: a preset.
        pixels: a side of the square images, of three channels.
        batch: images in a step.
        images: in an epoch.
        precision: ``single``: float32, with convolutions in TensorFloat-32 as PyTorch has them by default on
            cards that can; ``mixed``: what ``runtime.mixed_precision`` says.
    """

    network: str
    pixels: int
    batch: int
    images: int
    precision: Literal["single", "mixed"]

    def build(self, device: torch.device) -> nn.Module:
        torch.manual_seed(0)
        return preset(self.network, 3, [self.pixels] * 2).build(CLASSES).to(device)


@dataclass
class Laps:
    """Epochs by the clock, of which the first is left out; as a handler it ends a training by itself.

    Attributes:
        seconds: after which the training ends, with the epoch that is under way then.
        count: epochs that were timed.
        clock: of the wall; of the processor where the machine is shared.
    """

    device: torch.device
    seconds: float
    count: int = -1
    start: float = 0.0
    taken: float = 0.0
    busy: list[int] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: self.more() or e.terminate())

    def more(self) -> bool:
        """An epoch has ended; whether another one is wanted."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now, self.count = self.clock(), self.count + 1
        if self.count == 0:
            self.start = now
        self.taken = now - self.start
        return self.taken < self.seconds

    @contextmanager
    def watched(self) -> Iterator[None]:
        """How busy the GPU says that it is, ten times a second."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                if self.count >= 0:
                    self.busy.append(torch.cuda.utilization(self.device))

        thread = threading.Thread(target=watch) if _tells_use(self.device) else None
        if thread:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if thread:
                thread.join()


def measured(
    case: Case, device: torch.device, seconds: float, ways: Sequence[str], repeats: int = 1
) -> dict[str, Any]:
    """One case by each way: images a second, memory at most, how busy the GPU was.

    The ways take turns, and of each way's repeats the fastest counts: what else a machine does slows down.
    """
    found: dict[str, Any] = {}
    for way in [way for _ in range(repeats) for way in ways]:
        told = _once(case, device, seconds, way)
        if way not in found or told["images_per_second"] > found[way]["images_per_second"]:
            found[way] = told
    return {**asdict(case), "ways": found, **_waits(case, device)}


def _once(case: Case, device: torch.device, seconds: float, way: str) -> dict[str, Any]:
    laps = Laps(device, seconds)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False)
    with flags, laps.watched(), mixed(case.precision == "mixed"):
        WAYS[way](case, device, laps)
    return {
        "images_per_second": round(laps.count * case.images / laps.taken, 1),
        "memory_gb": _peak(device),
        "busy": round(sum(laps.busy) / len(laps.busy)) if laps.busy else None,
    }


def bare(case: Case, device: torch.device, laps: Laps) -> None:
    """What PyTorch does without any library: all on the device, a batch turned at once."""
    pictures, labels = (t.to(device) for t in _data(case.pixels, case.images))
    network, precision, last = case.build(device).train(), mixed_precision(device), device.type == "cuda"
    format_ = torch.channels_last if last else torch.contiguous_format
    network.to(memory_format=format_)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-4, fused=last)
    steps = EPOCHS * -(-case.images // case.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    while True:
        for rows in torch.randperm(case.images, device=device).split(case.batch):
            batch = _turned(pictures[rows]).contiguous(memory_format=format_)
            with torch.autocast(device.type, precision, enabled=precision is not None):
                said = network(batch)
            loss = F.cross_entropy(said.float(), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        if not laps.more():
            return


def monai(case: Case, device: torch.device, laps: Laps) -> None:
    """MONAI's trainer as its guide to fast training says: images cached on the device, a loader in a thread.

    See https://github.com/Project-MONAI/tutorials/blob/main/acceleration/fast_model_training_guide.md.
    """
    items = [{**item, "image": item["image"].to(device)} for item in _items(case)]
    change = Compose(symmetries([case.pixels] * 2))
    data = CacheDataset(items, change, progress=False, copy_cache=False)
    batches = ThreadDataLoader(data, num_workers=WORKERS, batch_size=case.batch, shuffle=True)
    network, precision = case.build(device), mixed_precision(device)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=EPOCHS * len(batches)
    )
    by_step: Any = LrScheduleHandler(schedule, print_lr=False, epoch_level=False)  # type: ignore[arg-type]
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=EPOCHS,
        train_data_loader=batches,
        network=network,
        optimizer=optimizer,
        loss_function=nn.CrossEntropyLoss(),
        non_blocking=True,
        decollate=False,
        amp=precision is not None,
        train_handlers=[by_step, laps],
    )
    with plain_tensors():
        trainer.run()


def plain_loss(said: Tensor, targets: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(said, targets["label"])


def ours(
    case: Case,
    device: torch.device,
    *handlers: Any,
    loss: Callable[..., Tensor] = plain_loss,
    epochs: int = EPOCHS,
) -> nn.Module:
    """``training.loop.train``."""
    return train(
        case.build(device),
        _items(case),
        symmetries([case.pixels] * 2),
        loss,
        max_epochs=epochs,
        learning_rate=LEARNING_RATE,
        batch_size=case.batch,
        seed=0,
        device=device,
        what="ours",
        handlers=handlers,
    )


WAYS: dict[str, Callable[[Case, torch.device, Laps], Any]] = {
    "bare": bare,
    "MONAI": monai,
    "ours": ours,
}


class Waits:
    """Handler: how often the processor waits for the GPU in the second epoch, which is the last."""

    def __init__(self) -> None:
        self.count, self.seen = 0, ExitStack()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED(once=2), self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), self.end)

    def start(self, engine: Engine) -> None:
        self.told = self.seen.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")

    def end(self, engine: Engine) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self.count = sum("synchronizing CUDA operation" in str(w.message) for w in self.told)
        self.seen.close()
        engine.terminate()


def _waits(case: Case, device: torch.device) -> dict[str, Any]:
    """Of an epoch of ours; None where there is no GPU to wait for."""
    steps = -(-case.images // case.batch)
    if device.type != "cuda":
        return {"steps": steps, "waits": None}
    waits = Waits()
    with mixed(case.precision == "mixed"):
        ours(case, device, waits)
    return {"steps": steps, "waits": waits.count}


@lru_cache(maxsize=1)
def _data(pixels: int, images: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.rand(images, 3, pixels, pixels) * 2 - 1, torch.arange(images) % CLASSES


def _items(case: Case) -> list[dict[str, Any]]:
    pictures, labels = _data(case.pixels, case.images)
    return [{"image": p, "label": int(c)} for p, c in zip(pictures, labels, strict=True)]


def _turned(images: Tensor) -> Tensor:
    """Each image as one of its eight symmetries, all at once."""
    chosen = torch.rand(3, len(images), 1, 1, 1, device=images.device) < 0.5
    for mask, change in zip(chosen, (lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.mT), strict=True):
        images = torch.where(mask, change(images), images)
    return images


def _tells_use(device: torch.device) -> bool:
    try:
        return device.type == "cuda" and torch.cuda.utilization(device) >= 0
    except (ModuleNotFoundError, RuntimeError):  # without nvidia-ml-py nobody tells
        return False


def _peak(device: torch.device) -> float | None:
    return round(torch.cuda.max_memory_allocated(device) / 1e9, 2) if device.type == "cuda" else None
