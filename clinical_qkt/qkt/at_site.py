"""What goes on around the method's steps at a site: they are timed, logged, and kept for a next start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from torch import Tensor, nn

from clinical_qkt.core.tensor_cache import cached
from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.qkt.method import DISTILLATION, HEADS, Surroundings
from clinical_qkt.review.tracking.handlers import LogEpochs
from clinical_qkt.review.tracking.tracker import Tracker


class AtSite(Surroundings):
    """
    Args:
        tracker, tags, run: where the phases are logged, below the transfer's run.
        work: the folder of what is kept until the transfer is done.
        timed: measures what is done within it, under a stage's name.
        started: what is to be checked before anything is trained.
    """

    STAGES: Mapping[str, str] = {HEADS: "phase 2", DISTILLATION: "phase 1"}
    """Under which stage a step's seconds count, if not under its own name."""

    def __init__(
        self,
        tracker: Tracker,
        tags: dict[str, str],
        run: Run,
        work: Path,
        timed: Callable[[str], AbstractContextManager[None]],
        started: Callable[[nn.Module, CardedNetwork], None],
    ) -> None:
        self.tracker, self.tags, self.run, self.timed = tracker, tags, run, timed
        self.work: Path = work
        self._started = started

    @contextmanager
    def step(self, name: str) -> Iterator[Sequence[Any]]:
        with self.timed(self.STAGES.get(name, name)):
            if name == DISTILLATION:
                with self.tracker.run(name, self.tags, parent=self.run) as child:
                    yield [LogEpochs(self.tracker, child)]
            else:
                yield ()

    def started(self, network: nn.Module, start: CardedNetwork) -> None:
        self._started(network, start)

    def kept(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return cached(self.work / f"{name}.safetensors", make)
