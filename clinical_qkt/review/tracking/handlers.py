"""Ignite handlers that write a training's epochs into MLflow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from ignite.engine import Engine, Events
from mlflow.entities import Run

from clinical_qkt.core.errors import explained
from clinical_qkt.core.files import sha256
from clinical_qkt.review.tracking.tracker import Tracker
from clinical_qkt.site.config import Site


class TrackTraining:
    """A training run in MLflow: opened at the start, one batch of metrics an epoch, closed in any case.

    Args:
        site, task: see ``tracker.Tracker``.
        name: of the run.
        device: on which it is trained.
        params: of the training, as they are logged.
        metrics: called with the trainer after each epoch, gives what is logged.
        work: names what decides the result.
    """

    def __init__(
        self,
        site: Site,
        task: str,
        name: str,
        device: torch.device,
        params: dict[str, Any],
        metrics: Callable[[Engine], dict[str, float]],
        work: str,
    ) -> None:
        self.site, self.task, self.name, self.device = site, task, name, device
        self.params, self.metrics, self.work = params, metrics, work
        self.tracker: Tracker | None = None
        self._open = ExitStack()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def start(self, engine: Engine) -> None:
        tracker = self.tracker = Tracker.of(self.site, self.task)
        tags, place = {"site": self.site.site}, self.site.output_dir / "model"
        run = tracker.run(self.name, tags, place=place, work=self.work)
        self.run = self._open.enter_context(run)
        digest = sha256(self.site.data)
        facts = {"seed": self.site.seed, "data_sha256": digest, **_start(self.site)}
        tracker.params(self.run, self.params | facts)
        tracker.dataset(self.run, self.site.site, digest, "training")
        tracker.software(self.run, self.device)

    def epoch(self, engine: Engine) -> None:
        assert self.tracker
        self.tracker.log(self.run, self.metrics(engine), step=engine.state.epoch)

    def finish(self, engine: Engine) -> None:
        assert self.tracker
        self._open.close()
        self.tracker.deliver()

    def fail(self, engine: Engine, error: BaseException) -> None:
        try:
            self._open.__exit__(type(error), error, error.__traceback__)
            if self.tracker:
                self.tracker.deliver()
        except Exception as e:  # a full disk stops the closing of the run, too; the first error is told
            if explained(e) is None:
                raise
        raise error


def _start(site: Site) -> dict[str, str]:
    """What a training starts from, where that is not random weights."""
    if site.pretrained is None:
        return {}
    found = {"pretrained_sha256": sha256(site.pretrained), "trained_layers": site.trained_layers}
    return found if site.head_penalty is None else {**found, "head_penalty": str(site.head_penalty)}


class LogEpochs:
    """An engine's loss and metrics into a run that somebody else opened and closes, one batch an epoch."""

    def __init__(self, tracker: Tracker, run: Run) -> None:
        self.tracker, self.run = tracker, run

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        output: Any = engine.state.output
        curves = {"loss": float(output["loss"]), **engine.state.metrics}
        self.tracker.log(self.run, curves, step=engine.state.epoch)
